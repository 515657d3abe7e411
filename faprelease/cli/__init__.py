"""faprelease: release an artifact to hosts, roll back, and see what runs where.

Each group of verbs is a module here; it adds its commands to `group.cli`, and imports what they need when
they run. `request` turns their words and flags into a `Request`.
"""

import contextlib
import gc
import os
import sys
import traceback
from typing import NoReturn

import click

from artifact_store.core import text
from artifact_store.core.commands import add_common, reason, show_usage_error, standard_streams
from artifact_store.core.errors import FapError
from faprelease.cli import config, converge, doctor, freeze, init, migrate, once, release, status, trust
from faprelease.cli.group import cli
from faprelease.steps.redaction import redact

__all__ = [
    "command",
    "config",
    "converge",
    "doctor",
    "freeze",
    "init",
    "main",
    "migrate",
    "once",
    "release",
    "status",
    "trust",
]

add_common(cli)


def command() -> NoReturn:
    """The console script: `main`, in a process that costs no more than it must."""
    # Nearly all that is made here lives to the end: to look for garbage in it takes a tenth of the start.
    gc.set_threshold(50_000)
    code: str | int | None = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        print(redact(traceback.format_exc()), file=sys.stderr)
        code = 1
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    # All sessions are closed; taking the modules apart one by one would take longer than a host.
    os._exit(code if isinstance(code, int) else 1 if code else 0)


def main() -> None:
    """The only place that prints errors and chooses the exit code."""
    with standard_streams():
        try:
            cli(prog_name="faprelease", standalone_mode=False)
        except FapError as error:
            _show_error(error)
            sys.exit(error.exit_code)
        except click.ClickException as error:
            show_usage_error(error)
            sys.exit(error.exit_code)
        except OSError as error:
            _show_error(FapError(reason(error)))
            sys.exit(1)
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted; see what each host runs: faprelease status STAGE", err=True)
            sys.exit(130)


def _show_error(error: FapError) -> None:
    """What failed, and what to type next; on GitHub also where a run's page shows its errors."""
    lines = [f"{click.style('error', fg='red')}: {_plain(error.message)}"]
    if error.hint:
        lines.append(f"{click.style('hint', fg='cyan')}: {_plain(error.hint)}")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from faprelease.report.outputs import github_error

        lines = [github_error(lines, _plain(f"{error.message}\n{error.hint}").strip())]
    # The reader of the output may be gone; the exit code must still be right.
    with contextlib.suppress(OSError):
        click.echo("\n".join(lines), err=True)


def _plain(said: str) -> str:
    """Text without colours and control characters: it may quote what hosts print."""
    return text.plain(click.unstyle(said))
