"""The command `fapstore`. Results go to stdout, messages to stderr.

Each module adds its commands to `group.fapstore`.
"""

import shlex
import sys
from collections.abc import Sequence

import click

from artifact_store.cli import artifacts, maintenance, signatures, stages
from artifact_store.cli.group import fapstore, say
from artifact_store.core.commands import add_common, reason, show_usage_error, standard_streams
from artifact_store.core.errors import FapError

__all__ = ["artifacts", "fapstore", "main", "maintenance", "signatures", "stages"]

add_common(fapstore)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `fapstore`; print an error with its hint, and exit with its code."""
    with standard_streams():
        try:
            sys.exit(fapstore.main(arguments, prog_name="fapstore", standalone_mode=False))
        except FapError as error:
            say(f"fapstore: {error.message}")
            if error.hint:
                command = _command(sys.argv[1:] if arguments is None else arguments)
                for line in f"hint: {error.hint.filled(fapstore=command)}".split("\n"):
                    say(line)
            sys.exit(error.exit_code)
        except click.ClickException as error:
            show_usage_error(error)
            sys.exit(error.exit_code)
        except OSError as error:
            say(f"fapstore: {reason(error)}")
            sys.exit(1)
        except (click.Abort, KeyboardInterrupt):
            say("fapstore: interrupted")
            sys.exit(130)


def _command(arguments: Sequence[str]) -> str:
    """The start of a command in a hint: `fapstore`, with the store and the rules that options name."""
    command = ["fapstore"]
    words = iter(arguments)
    for word in words:
        option, has_value, value = word.partition("=")
        if option not in ("--store", "--config", "--signers"):
            break
        command += [option, shlex.quote(value if has_value else next(words, ""))]
    return " ".join(command)
