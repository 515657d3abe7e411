"""The help of every command, as a terminal of 80 columns shows it."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from artifact_store.cli.group import fapstore
from fapbuild.cli.group import fapbuild
from faprelease.cli import cli as faprelease

PROGRAMS = {"fapbuild": fapbuild, "fapstore": fapstore, "faprelease": faprelease}


def commands() -> Iterator[tuple[str, click.Command]]:
    for program, group in PROGRAMS.items():
        yield program, group
        for name, command in group.commands.items():
            yield f"{program} {name}", command


@pytest.mark.parametrize(("path", "command"), [pytest.param(*each, id=each[0]) for each in commands()])
def test_help_fits_a_terminal_and_is_not_cut(path: str, command: click.Command) -> None:
    context = click.Context(command, info_name=path, terminal_width=80)
    lines = command.get_help(context).splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert [line for line in lines[1:] if line.rstrip().endswith("...")] == []
    assert (command.help or "").strip().partition("\n")[0].endswith(".")


@pytest.mark.parametrize("program", ["fapbuild", "artifact_store", "faprelease"])
def test_a_module_is_its_command(program: str) -> None:
    done = subprocess.run([sys.executable, "-m", program, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: ")
