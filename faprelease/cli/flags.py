"""Keys of deploy.yml as flags: `--key value`, `--key=value`; for true and false `--key` and `--no-key`.

`--without HOST` is `--hosts '!HOST'`.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from faprelease.config.keys import Key

WITHOUT = "without"
WORDS = {"true": "true", "yes": "true", "on": "true", "1": "true"}
WORDS |= {"false": "false", "no": "false", "off": "false", "0": "false"}


def split(words: tuple[str, ...], file: Path) -> tuple[list[str], dict[str, Any]]:
    """Stage and role, and the flags by their keys; a list has commas in it, or several flags.

    `config.check` reports unknown flags later. Raises click.UsageError for a missing value.
    """
    keys = _keys(words, file)
    places: list[str] = []
    flags: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            places.append(word)
            continue
        name, equals, value = word.removeprefix("--").partition("=")
        key = name.replace("-", "_")
        if _is_switch(key.removeprefix("no_"), keys) and key.startswith("no_") and not equals:
            flags[key.removeprefix("no_")] = "false"
        elif _is_switch(key, keys):
            said = value if equals else rest.pop(0) if rest and rest[0].lower() in WORDS else "true"
            flags[key] = WORDS.get(said.lower(), said)
        elif not equals and not rest and key in keys:
            raise click.UsageError(f"--{name} needs a value")
        elif name == WITHOUT:
            left_out = (value if equals else rest.pop(0) if rest else "").split(",")
            flags["hosts"] = [*flags.get("hosts", []), *(f"!{host}" for host in left_out)]
        else:
            text = value if equals or not rest else rest.pop(0)
            is_list = key in keys and keys[key].is_list
            flags[key] = [*flags.get(key, []), *text.split(",")] if is_list else text
    return places, flags


def _is_switch(key: str, keys: "Mapping[str, Key]") -> bool:
    return key in keys and keys[key].is_switch


def _keys(words: tuple[str, ...], file: Path) -> "Mapping[str, Key]":
    """The keys that flags can be; deploy.yml is read only where a plugin of its own may bring some."""
    from faprelease.config import deployfile
    from faprelease.config.target import CORE
    from faprelease.errors import ConfigError
    from faprelease.plugins import registry

    known = {**CORE, **registry.built_in_keys()}
    names = {word.removeprefix("--").partition("=")[0] for word in words if word.startswith("--")}
    names.discard(WITHOUT)
    if not {name.replace("-", "_").removeprefix("no_") for name in names} <= known.keys() and file.is_file():
        with suppress(ConfigError):  # it is told when the file is read for good
            known |= registry.options_of(deployfile.read(file))
    return known
