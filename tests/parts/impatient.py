"""The command `faprelease`, for which a login that begins no shell has less time."""

from faprelease import cli
from faprelease.transports import session


def main() -> None:
    session.BEGIN_SECONDS = 8
    cli.main()
