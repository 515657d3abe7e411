"""deploy.yml as it is on disk: YAML with line numbers, and `%(name)s` in values.

This module does not know any key. Their meaning is in `settings` and `target`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Any

from faprelease.config import yaml_text
from faprelease.errors import ConfigError

KeyPath = tuple[str, ...]
MOST_LISTED = 12
"""The most names that a hint lists."""
MOST_EXPANDED = 100_000
"""The most characters that all `%(name)s` of a role or host may stand for together."""
_NAME = re.compile(r"%\((\w+)\)s|%%")


@dataclass(frozen=True)
class DeployFile:
    """The values of the file, and the line (from 1) of every key and item by its path from the top."""

    name: str
    values: dict[str, Any]
    lines: Mapping[KeyPath, int]
    written: Mapping[KeyPath, str] = field(default_factory=dict)
    """How the file spells numbers, dates and booleans: YAML reads `0777` as 511 and `on` as true."""
    digest: str = ""
    """The sha256 of its bytes, in hexadecimal."""

    def where(self, *path: str) -> str:
        """Return `deploy.yml, line 12`, or only the file's name if the key is not in the file."""
        line = self.lines.get(path)
        return f"{self.name}, line {line}" if line else self.name


def read(path: Path) -> DeployFile:
    """Read a deploy.yml.

    Raises ConfigError if the file is missing, is not YAML (with line and column), stands for too many values,
    or sets a key twice.
    """
    data = _content(path)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise _unreadable(path, error) from error
    document = yaml_text.Document(text, str(path))
    notes = _Notes(str(path))
    notes.read(document.node, (), ())
    values = document.value()
    if not isinstance(values, dict):
        raise ConfigError(f"{path} contains no settings", hint="begin with a line like `app_name: shop`")
    return DeployFile(str(path), values, notes.lines, notes.written, sha256(data).hexdigest())


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(yaml_text.MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist",
            hint="run this in the folder of your deploy.yml, or give its path: faprelease -f FILE …; "
            "`faprelease init` writes a first one",
        ) from None
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"can't read {path}: {error}", hint="deploy.yml must be a UTF-8 text file")


class _Notes:
    """Lines and spellings, which are in the YAML nodes but not in the values."""

    def __init__(self, name: str) -> None:
        import yaml

        self._name, self._yaml = name, yaml
        self.lines: dict[KeyPath, int] = {}
        self.written: dict[KeyPath, str] = {}

    def read(self, node: Any, path: KeyPath, within: tuple[Any, ...]) -> None:
        if isinstance(node, self._yaml.MappingNode):
            self._read_mapping(node, path, within)
        elif isinstance(node, self._yaml.SequenceNode):
            for number, item in enumerate(node.value):
                self._read_value(item, item, (*path, str(number)), (*within, node))
        elif isinstance(node, self._yaml.ScalarNode) and not node.tag.endswith((":str", ":null")):
            self.written[path] = node.value

    def _read_mapping(self, node: Any, path: KeyPath, within: tuple[Any, ...]) -> None:
        merged: list[Any] = []
        own: set[str] = set()
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                merged += value.value if isinstance(value, self._yaml.SequenceNode) else [value]
                continue
            if not isinstance(key, self._yaml.ScalarNode):
                raise ConfigError(
                    f"{self._name}, line {key.start_mark.line + 1}: a list or a mapping can't be a key",
                    hint="write keys as plain words",
                )
            if key.value in own:
                raise ConfigError(
                    f"{self._name}, line {key.start_mark.line + 1}: {key.value!r} is set twice"
                    f" (first in line {self.lines[(*path, str(key.value))]})",
                    hint="remove one of them",
                )
            own.add(key.value)
            here = (*path, str(key.value))
            if here not in self.lines:  # the mapping's own keys win over merged ones
                self._read_value(key, value, here, (*within, node))
        for other in merged:
            if other is node or any(other is outer for outer in within):
                raise ConfigError(f"{self._name} contains itself: <<", hint="use another anchor")
            if isinstance(other, self._yaml.MappingNode):
                self._read_mapping(other, path, (*within, node))

    def _read_value(self, key: Any, value: Any, here: KeyPath, within: tuple[Any, ...]) -> None:
        line = key.start_mark.line + 1
        if any(value is outer for outer in within):
            raise ConfigError(
                f"{self._name}, line {line}: {here[-1]!r} contains itself", hint="use another anchor"
            )
        self.lines[here] = line
        self.read(value, here, within)


def unknown(name: str, known: Iterable[str], where: str, what: str = "key") -> ConfigError:
    """Return the error for an unknown name, with the most similar known one."""
    known = sorted(known)
    near = get_close_matches(name, known, n=1)
    listed = f"choose from: {', '.join(known)}"
    if len(known) > MOST_LISTED:
        listed = "list them all: faprelease config --keys"
    hint = f"did you mean {near[0]!r}?" if near else listed
    return ConfigError(f"{where}: unknown {what} {name!r}", hint=hint)


def refuse_unknown(names: Iterable[str], known: Iterable[str], where: str, what: str = "key") -> None:
    """Raise ConfigError for the first of `names` that is not `known`, with the most similar known one."""
    known = list(known)
    for name in names:
        if name not in known:
            raise unknown(name, known, where, what)


def names_in(value: Any, place: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Yield every `%(name)s` in a value, with its path."""
    if isinstance(value, str):
        yield from ((place, match[1]) for match in _NAME.finditer(value) if match[1])
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from names_in(item, (*place, str(number)))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from names_in(item, (*place, str(key)))


def expand(values: Mapping[str, Any], literal: Iterable[str], file: DeployFile) -> dict[str, Any]:
    """Replace `%(name)s` in strings, lists and dicts by the value of that name; `%%` is one `%`.

    Only names in `values` are replaced; any other `%` stays. Values of the keys in `literal` (they came from
    flags) are not changed. Raises ConfigError for values that refer to themselves, or that become too long.
    """
    literal = set(literal)
    done: dict[str, Any] = {}
    left = MOST_EXPANDED

    def value_of(key: str, within: KeyPath) -> Any:
        if key in within:
            raise ConfigError(
                f"{file.where(key)}: {' → '.join([*within, key])} refers to itself",
                hint=f"set {key} without %({key})s",
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
        nonlocal left
        name = match[1]
        if name is None:
            return "%"
        if values.get(name) is None:
            return match[0]
        text = str(value_of(name, within))
        left -= len(text)
        if left < 0:
            raise ConfigError(
                f"{file.where(within[0])}: %(name)s stands for more than {MOST_EXPANDED} characters",
                hint=f"{within[0]} and {name} refer to too many other keys",
            )
        return text

    return {key: value_of(key, ()) for key in values}
