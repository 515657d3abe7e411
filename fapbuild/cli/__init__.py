"""`fapbuild`: make artifacts and look into them. Results go to stdout, messages to stderr.

Each group of commands is a module here; it adds its commands to `group.fapbuild`, and imports what they
need when they run.
"""

import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from artifact_store.core.commands import add_common, reason, show_usage_error, standard_streams
from artifact_store.core.errors import FapError
from fapbuild.cli import artifact, pack, project
from fapbuild.cli.group import fapbuild

__all__ = ["artifact", "fapbuild", "main", "pack", "project"]

add_common(fapbuild)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `fapbuild`: the one place of this package that prints errors and exits."""
    with standard_streams():
        signal.signal(signal.SIGTERM, _stop)
        try:
            sys.exit(fapbuild.main(arguments, prog_name="fapbuild", standalone_mode=False))
        except FapError as error:
            _fail(error.message, error.hint, error.exit_code)
        except click.ClickException as error:
            show_usage_error(error)
            sys.exit(error.exit_code)
        except (KeyboardInterrupt, click.Abort):
            _fail("interrupted; no incomplete artifact is left", "run it again", 130)
        except OSError as error:
            _fail(reason(error), "fix this, then run it again", 1)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _fail(message: str, hint: str, code: int) -> NoReturn:
    from fapbuild import report

    report.show_error(message, hint)
    sys.exit(code)
