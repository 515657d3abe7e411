"""What the three programs have in common: the commands completion, help and version, options that were
renamed, and closed standard streams.

Completion is click's: https://click.palletsprojects.com/shell-completion.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from typing import Any

import click
from click.shell_completion import get_completion_class


class RenamedOption(click.Option):
    """An option that is also accepted by its `old` name, which no help shows."""

    def __init__(self, *arguments: Any, old: str, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.old = old

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        super().add_to_parser(parser, ctx)
        parser.add_option(self, [self.old], dest=self.name, action="store")


def add_common(group: click.Group) -> None:
    """Add the commands completion, help and version to a program, which has the name of its group."""
    program = str(group.name)
    for command in (_completion(group, program), _help(group), _version(program)):
        group.add_command(command)


@contextmanager
def standard_streams() -> Iterator[None]:
    """Open the standard streams that are closed, and at the end drop what could not be written, for example
    to a full disk: Python would try again when it ends, and exit with code 120."""
    _open_closed_streams()
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def show_usage_error(error: click.ClickException) -> None:
    """Print what is wrong with the command line. If nobody can read it, the exit code still says so."""
    with suppress(OSError):
        error.show()


def reason(error: OSError) -> str:
    """What the system says of an error, and the file's name, for people."""
    return ": ".join(str(part) for part in (error.strerror or error, error.filename) if part)


def _open_closed_streams() -> None:
    """Open the standard streams that are closed (`>&-`), so that printing to them is no error.

    Python has None for such a stream, and the next file that is opened would get its number.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115


def _completion(group: click.Group, program: str) -> click.Command:
    @click.command(
        help=f"""Print what completes {program} in a shell.

        \b
          bash, in ~/.bashrc:   eval "$({program} completion bash)"
          zsh, in ~/.zshrc:     eval "$({program} completion zsh)"
          fish, in config.fish: {program} completion fish | source
        """
    )
    @click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
    def completion(shell: str) -> None:
        kind = get_completion_class(shell)
        if kind is None:
            raise click.UsageError(f"click completes nothing in {shell}")
        click.echo(kind(group, {}, program, f"_{program.upper()}_COMPLETE").source())

    return completion


def _help(group: click.Group) -> click.Command:
    @click.command(name="help")
    @click.argument(
        "command",
        default="",
        shell_complete=lambda _, __, typed: [name for name in group.commands if name.startswith(typed)],
    )
    @click.pass_context
    def show_help(context: click.Context, command: str) -> None:
        """Show the help of a command."""
        parent = context.find_root()
        if not command:
            click.echo(parent.get_help())
            return
        named = group.commands.get(command)
        if named is None:
            near = get_close_matches(command, group.commands, n=1)
            more = f"; did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"there is no command {command!r}{more}")
        click.echo(named.get_help(click.Context(named, parent=parent, info_name=command)))

    return show_help


def _version(program: str) -> click.Command:
    @click.command()
    def version() -> None:
        """Show the version."""
        from importlib.metadata import version as version_of

        click.echo(f"{program}, version {version_of('fapkit')}")

    return version
