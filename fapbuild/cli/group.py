"""The command `fapbuild` itself, the options that its commands share, and how they print."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fapbuild.archive.writer import Artifact

EXIT_CODES = """\b
Exit codes:
  0    done
  1    failed; no incomplete artifact is left
  2    wrong usage or settings, or files that must not be packed
  6    an artifact or a package failed verification
  7    a store or a URL can't be reached
  130  interrupted
"""

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.version_option(package_name="fapkit", prog_name="fapbuild")
def fapbuild() -> None:
    """Pack a commit of a Python web app into one artifact that installs offline.

    In a new project, start with `init`, then `lock`, `check` and `pack`.
    """


def path_or_url(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """An argument as given; `-` stands for the next line of standard input, which nobody else can see."""
    if value != "-":
        return value
    if line := sys.stdin.readline().strip():
        return line
    raise click.BadParameter("there is no path or URL on standard input")


def say(message: str) -> None:
    """Print a line for people, on standard error."""
    click.echo(message, err=True)


def print_result(facts: object, lines: Sequence[str], as_json: bool) -> None:
    """Print a command's result on standard output: one JSON document, or lines for people."""
    import msgspec

    from artifact_store.core import text

    click.echo(msgspec.json.encode(facts).decode() if as_json else "\n".join(map(text.printable, lines)))


def print_artifact(artifact: "Artifact", as_json: bool) -> None:
    """Print an artifact: its facts, or its path and digest."""
    print_result(artifact.facts(), [f"{artifact.path} {artifact.digest}"], as_json)
