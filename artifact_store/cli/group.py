"""The command group of fapstore: its global options, how the store is opened, and how results are printed."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec

from artifact_store.core import duration as durations
from artifact_store.core import text
from artifact_store.core.commands import RenamedOption
from artifact_store.store.store import Store, open_store
from artifact_store.trust import rules
from artifact_store.trust.rules import Trust

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
override_option = click.option(
    "--override",
    cls=RenamedOption,
    old="--reason",
    metavar="REASON",
    default="",
    help="Override the app's rules. The reason is recorded in the history.",
)
key_option = click.option(
    "--key",
    type=click.Path(path_type=Path),
    envvar="FAP_SIGNING_KEY",
    show_envvar=True,
    help="SSH key to sign with: a private key, or the .pub of a key in ssh-agent.",
)
why_option = click.option("--why", metavar="TEXT", default="", help="Reason, recorded in the history.")
repository_option = click.option(
    "--repository",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="Git clone that contains the commits.  [default: this folder]",
)


def duration(context: click.Context, parameter: click.Parameter, value: str) -> timedelta:
    """Parse an option's `30m`, `1h` or `7d`."""
    try:
        return durations.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def lifetime(context: click.Context, parameter: click.Parameter, value: str | None) -> timedelta | None:
    """Parse an option's duration; None if it was not given, and zero for `never`."""
    return timedelta(0) if value == "never" else duration(context, parameter, value) if value else None


def time_option(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    """Parse an option's point in time: ISO 8601, in UTC if it names no zone, or a duration before now."""
    try:
        return None if value is None else durations.moment(value, now())
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


expires_option = click.option(
    "--expires",
    "lifetime",
    metavar="TIME",
    callback=lifetime,
    help="Releases refuse the entry as the last one after this time: 14d, or never.  [default: as before]",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--store",
    "url",
    envvar="FAP_STORE",
    metavar="URL",
    default="",
    show_envvar=True,
    help="s3://bucket/prefix, file:///dir, or a read-only https://host/path.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="File with the app's rules.  [default: ./fapstore.toml, or [tool.fapstore] in ./pyproject.toml]",
)
@click.option(
    "--signers",
    type=click.Path(path_type=Path),
    help="Require signatures by keys of this allowed-signers file.  [default: as the rules say]",
)
@click.option(
    "--unsafe-store",
    "unsafe",
    is_flag=True,
    help="Change stages even in a store that allows overwriting; see `fapstore doctor`.",
)
@click.version_option(package_name="fapkit", prog_name="fapstore")
@click.pass_context
def fapstore(
    context: click.Context, url: str, config: Path | None, signers: Path | None, unsafe: bool
) -> None:
    """Store immutable artifacts and promote them from stage to stage.

    \b
    Exit codes:
      0    done
      1    failed; nothing was changed
      2    usage or configuration error
      3    the stage was changed, or may be, but the check of it failed
      6    bytes or signatures are not as expected
      7    no connection
      130  interrupted
    """
    context.obj = Opener(url, config, signers, unsafe)


@dataclass(frozen=True)
class Opener:
    """Opens the store that the command line names, with the rules and signers it names."""

    url: str
    config: Path | None
    signers: Path | None
    unsafe: bool

    def __call__(self, key: Path | None = None) -> Store:
        """Open the store; `key` signs what is written."""
        return self.at(self.url, key)

    def at(self, url: str, key: Path | None = None) -> Store:
        """Open another store with the same rules."""
        return open_store(url, self.trust(key), unsafe=self.unsafe, existing=True)

    def trust(self, key: Path | None = None) -> Trust:
        """Load the rules in force."""
        return rules.load(Path(), self.config, self.signers, key)


def now() -> datetime:
    """The current time in UTC, from which ages are computed."""
    return datetime.now(UTC)


def say(message: str) -> None:
    """Print a message for people to stderr. A closed one does not stop the command."""
    with suppress(OSError):
        click.echo(text.printable(message), err=True)


def emit(value: object, as_json: bool, *lines: str) -> None:
    """Print a result to stdout: `value` as JSON, or `lines`."""
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))
        return
    for line in lines:
        click.echo(text.printable(line))
