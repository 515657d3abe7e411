"""Every command and option that the documentation shows exists, and the reference lists every command."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import click
import pytest

from artifact_store.cli import fapstore
from fapbuild.cli import fapbuild
from faprelease.cli import cli as faprelease
from faprelease.cli.flags import WITHOUT
from faprelease.config.settings import Settings
from faprelease.plugins.registry import built_in_keys
from faprelease.verbs.converge import Outcome
from tests.parts.pages import CODE, DOCS, PAGES
from tests.parts.repository import ROOT

COMMANDS: dict[str, click.Group] = {"fapbuild": fapbuild, "fapstore": fapstore, "faprelease": faprelease}
ALWAYS = {"--help", "-h", "--version"}


@cache
def flags() -> set[str]:
    """The options of faprelease that are keys of deploy.yml, and --without."""
    names = [name.replace("_", "-") for name in (*Settings.__struct_fields__, *built_in_keys())]
    return {f"--{WITHOUT}", *(f"--{prefix}{name}" for name in names for prefix in ("", "no-"))}


def shown_calls(text: str) -> Iterator[list[str]]:
    """Every call of one of the commands in the code of a page, as words; quoted text is one word."""
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", CODE.sub("", text))
    lines = [line for line in "\n".join(CODE.findall(text)).split("\n") if not line.startswith("#>")]
    for code in [*spans, *lines]:
        plain = re.sub(r"'[^']*'|\"[^\"]*\"", "TEXT", code)
        for call in re.findall(rf"(?:^|[\s(/])((?:{'|'.join(COMMANDS)}) [^|;&)>#]+)", plain):
            yield call.split()


def unknown_words(call: list[str]) -> Iterator[str]:
    """The commands and options in a call that do not exist."""
    group = command = COMMANDS[call[0]]
    if group is faprelease:
        command, more = group.commands["release"], ALWAYS | flags()
    else:
        command, more = group, ALWAYS
    words = iter(call[1:])
    named = False
    for word in words:
        if word == "--":
            return
        if word.startswith("-") and word != "-":
            name = word.partition("=")[0]
            options = {name: each for each in (*group.params, *command.params) for name in each.opts}
            if name not in options and name not in more:
                yield name
            option = options.get(name)
            if isinstance(option, click.Option) and not option.is_flag:
                next(words, None)
        elif not named:
            named = True
            if word in group.commands:
                command = group.commands[word]
            elif group is not faprelease and word.isalpha() and word.islower():
                yield word


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_that_a_page_shows_exists(page: Path) -> None:
    unknown = {
        (" ".join(words), word) for words in shown_calls(page.read_text()) for word in unknown_words(words)
    }
    assert unknown == set()


def test_a_wrong_command_would_be_found() -> None:
    text = (
        "Type `fapstore promote shop 1 --reason x`, or\n\n"
        "    faprelease production --keep-releases 3 --no-such\n"
        "    faprelease once production --command 'a --b'; fapbuild pak  # --comment\n"
        "    fapstore --store URL --to X\n"
    )
    unknown = [word for call in shown_calls(text) for word in unknown_words(call)]
    assert sorted(unknown) == ["--no-such", "--reason", "--to", "pak"]


def test_the_reference_lists_every_command() -> None:
    page = (DOCS / "reference" / "commands.md").read_text()
    for name, group in COMMANDS.items():
        shown = [command for command, each in group.commands.items() if not each.hidden]
        assert [command for command in shown if f"`{name} {command}`" not in page] == []


def test_the_page_of_engines_lists_every_outcome() -> None:
    page = (ROOT / "examples" / "engines" / "README.md").read_text()
    listed = {
        word for row in re.findall(r"^\| \d+ \| (.+?) \|", page, re.MULTILINE) for word in row.split(", ")
    }
    assert listed == set(get_args(Outcome)) - {"planned"}
