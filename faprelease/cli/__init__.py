"""faprelease: release an artifact to hosts, roll back, and see what runs where.

Each group of verbs is a module here; it adds its commands to `group.cli`, and imports what they need when
they run. `request` turns their words and flags into a `Request`.
"""

import sys

import click

from artifact_store.errors import FapError
from faprelease.cli import locks, look, migrate, release
from faprelease.cli.group import cli

__all__ = ["locks", "look", "main", "migrate", "release"]


def main() -> None:
    """The console script: the only place that prints errors and chooses the exit code."""
    try:
        cli(prog_name="faprelease", standalone_mode=False)
    except FapError as error:
        click.echo(f"{click.style('error', fg='red')}: {error.message}", err=True)
        if error.hint:
            click.echo(f"{click.style('hint', fg='cyan')}: {error.hint}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; see what is where: faprelease status STAGE", err=True)
        sys.exit(130)
