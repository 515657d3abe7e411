"""The group of fapstore's commands: its options, how its store is opened, and how it talks."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec

from artifact_store.core import text
from artifact_store.store.store import Store, open_store
from artifact_store.trust import rules
from artifact_store.trust.rules import Trust

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
reason_option = click.option(
    "--reason", default="", help="Override the app's rules for this reason; both are recorded."
)
key_option = click.option(
    "--key",
    type=click.Path(path_type=Path),
    envvar="FAP_SIGNING_KEY",
    show_envvar=True,
    help="Sign with this ssh key, or with the one in ssh-agent whose .pub this is.",
)
why_option = click.option("--why", default="", help="What for; told in the history.")


def duration(context: click.Context, parameter: click.Parameter, value: str) -> timedelta:
    """An option's `30m`, `1h` or `7d`."""
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", value)
    if not match:
        raise click.BadParameter(f"{value!r} is no duration: write 30m, 1h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--store",
    "url",
    envvar="FAP_STORE",
    metavar="URL",
    default="",
    show_envvar=True,
    help="s3://bucket/prefix, file:///dir, or https://host/path to read.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The app's rules.  [default: ./fapstore.toml, or [tool.fapstore] of ./pyproject.toml]",
)
@click.option(
    "--signers",
    type=click.Path(path_type=Path),
    help="Demand signatures by the keys of this allowed-signers file.  [default: as the rules say]",
)
@click.option(
    "--unsafe-store",
    "unsafe",
    is_flag=True,
    help="Change stages even in a store that overwrites what is there; see `fapstore doctor`.",
)
@click.version_option(package_name="fapkit", prog_name="fapstore")
@click.pass_context
def fapstore(
    context: click.Context, url: str, config: Path | None, signers: Path | None, unsafe: bool
) -> None:
    """Immutable artifacts, and the logs of the stages that run them.

    Exit codes: 0 done, 1 failed and nothing changed, 2 usage or configuration, 6 bytes or signatures are
    not what they should be, 7 can't connect, 130 interrupted.
    """
    context.obj = Opener(url, config, signers, unsafe)


@dataclass(frozen=True)
class Opener:
    """Opens the store of this command line; the files it names are read then."""

    url: str
    config: Path | None
    signers: Path | None
    unsafe: bool

    def __call__(self, key: Path | None = None) -> Store:
        """The store, with a key to sign with."""
        return open_store(self.url, self.trust(key), unsafe=self.unsafe)

    def trust(self, key: Path | None = None) -> Trust:
        """The rules that are in force here."""
        return rules.load(Path(), self.config, self.signers, key)


def now() -> datetime:
    """The time by which ages are told."""
    return datetime.now(UTC)


def say(message: str) -> None:
    """Talk to people, on stderr."""
    click.echo(text.printable(message), err=True)


def tell(value: object, as_json: bool, *lines: str) -> None:
    """Print data on stdout: `value` as JSON, or `lines`."""
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))
        return
    for line in lines:
        click.echo(text.printable(line))
