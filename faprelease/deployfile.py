"""deploy.yml as it stands on disk: YAML with line numbers, layers, and `%(name)s` values.

It knows no single key; what keys mean is `config`'s business.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from faprelease.errors import ConfigError

KeyPath = tuple[str, ...]
_NAME = re.compile(r"%\((\w+)\)s|%%")


@dataclass(frozen=True)
class DeployFile:
    """The file's values, and the line (from 1) of every key by its path from the top."""

    name: str
    values: dict[str, Any]
    lines: Mapping[KeyPath, int]

    def where(self, *path: str) -> str:
        """`deploy.yml, line 12`, or the file's name where the key is not in the file."""
        line = self.lines.get(path)
        return f"{self.name}, line {line}" if line else self.name


def read(path: Path) -> DeployFile:
    """Read a deploy.yml.

    Raises ConfigError: the file is missing, is no YAML (with line and column), or names a key twice.
    """
    import yaml

    try:
        text = path.read_text()
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {path}",
            hint="go to the folder of your deploy.yml, or name it: faprelease -f FILE …",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read {path}: {error}", hint="deploy.yml is a UTF-8 text file") from error
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)  # the C one is ten times as fast
        node = loader.get_single_node()
        lines: dict[KeyPath, int] = {}
        _note_lines(str(path), node, (), lines, (), yaml)
        values = loader.construct_document(node) if node else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(
            f"{path}{at}: {error.problem or 'not YAML'}", hint="look at the indentation and the quotes there"
        ) from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that no calendar has
        raise ConfigError(f"{path}: {error}", hint="deploy.yml is a YAML file") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no settings", hint="it starts with, for example, `app_name: shop`")
    return DeployFile(str(path), values, lines)


def _note_lines(
    name: str, node: Any, path: KeyPath, lines: dict[KeyPath, int], within: tuple[Any, ...], yaml: Any
) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        here = (*path, str(key.value))
        line = key.start_mark.line + 1
        if here in lines and key.value != "<<":
            raise ConfigError(
                f"{name}, line {line}: {key.value!r} is set twice (first in line {lines[here]})",
                hint="keep one of them",
            )
        if value is node or any(value is outer for outer in within):
            raise ConfigError(f"{name}, line {line}: {key.value!r} holds itself", hint="name another anchor")
        lines[here] = line
        _note_lines(name, value, here, lines, (*within, node), yaml)


def refuse_unknown(keys: Iterable[str], known: Iterable[str], where: str, what: str = "key") -> None:
    """Raise ConfigError for the first of `keys` that is not `known`, with the nearest known one."""
    known = sorted(known)
    for key in keys:
        if key in known:
            continue
        near = get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there is: {', '.join(known)}"
        raise ConfigError(f"{where}: unknown {what} {key!r}", hint=hint)


def expand(values: Mapping[str, Any], literal: Iterable[str], file: DeployFile) -> dict[str, Any]:
    """Replace `%(name)s` in strings, lists and dicts by the value of that name; `%%` is one `%`.

    Only names that are in `values` are replaced, any other `%` stays. Keys in `literal` (they came from
    flags) are taken as they are. Raises ConfigError for names that lead round in a circle.
    """
    literal = set(literal)
    done: dict[str, Any] = {}

    def value_of(key: str, within: KeyPath) -> Any:
        if key in within:
            raise ConfigError(
                f"{file.where(key)}: {' → '.join([*within, key])} leads round in a circle",
                hint=f"set {key} without naming itself",
            )
        if key not in done:
            value = values[key]
            done[key] = value if key in literal else expanded(value, (*within, key))
        return done[key]

    def expanded(value: Any, within: KeyPath) -> Any:
        if isinstance(value, str):
            return _NAME.sub(lambda match: replacement(match, within), value)
        if isinstance(value, list):
            return [expanded(item, within) for item in value]
        if isinstance(value, dict):
            return {key: expanded(item, within) for key, item in value.items()}
        return value

    def replacement(match: re.Match[str], within: KeyPath) -> str:
        name = match[1]
        if name is None:
            return "%"
        return str(value_of(name, within)) if values.get(name) is not None else match[0]

    return {key: value_of(key, ()) for key in values}
