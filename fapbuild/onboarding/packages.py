"""The names of the packages that an app gets, from its lock or its requirements, without running a tool."""

import json
import posixpath
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

from artifact_store.core import toml_text
from fapbuild.project.config import PYPROJECT, subtable

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?")
_BRINGS = {"fastapi": ("standard", "uvicorn"), "channels": ("daphne", "daphne")}
"""Extras that bring a web server, for requirements that are not locked yet."""


def selected(
    lock: str, requirements: str, files: Collection[str], read: Callable[[str], str]
) -> frozenset[str]:
    """The normalized names of the packages without those of groups and extras that are not chosen."""
    name, text = posixpath.basename(lock), read(lock) if lock in files or lock.startswith("../") else ""
    try:
        match name:
            case "uv.lock":
                return _of_uv(toml_text.loads(text), read)
            case "poetry.lock":
                packages = toml_text.loads(text).get("package", [])
                return _names(one for one in packages if "main" in one.get("groups", ["main"]))
            case "pdm.lock":
                packages = toml_text.loads(text).get("package", [])
                return _names(one for one in packages if "default" in one.get("groups", ["default"]))
            case "Pipfile.lock":
                return frozenset(map(_normal, json.loads(text).get("default", {})))
            case _ if name.endswith(".toml"):
                packages = toml_text.loads(text).get("packages", [])
                return _names(one for one in packages if " in " not in one.get("marker", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return frozenset()
    lines = text.splitlines() if text else [*_lines(requirements, files, read), *_of_pyproject(read)]
    return frozenset(name for line in lines for name in brought(line))


def _of_uv(lock: dict[str, Any], read: Callable[[str], str]) -> frozenset[str]:
    packages = {_normal(one["name"]): one for one in lock.get("package", [])}
    own = _normal(str(subtable(toml_text.loads(read(PYPROJECT)), "project").get("name", "")))
    if own not in packages:
        return frozenset(packages)
    reached: set[tuple[str, frozenset[str]]] = set()
    waiting = [(own, frozenset[str]())]
    while waiting:
        if (one := waiting.pop()) in reached:
            continue
        reached.add(one)
        package = packages.get(one[0], {})
        needed = [*package.get("dependencies", [])]
        for extra in one[1]:
            needed += subtable(package, "optional-dependencies").get(extra, [])
        waiting += [(_normal(other["name"]), frozenset(other.get("extra", ()))) for other in needed]
    return frozenset(name for name, _ in reached)


def _lines(
    name: str, files: Collection[str], read: Callable[[str], str], above: tuple[str, ...] = ()
) -> Iterable[str]:
    if name not in files or name in above:
        return
    for line in read(name).splitlines():
        if match := re.match(r"\s*(?:-r|--requirement)[=\s]?\s*(\S+)", line):
            other = posixpath.normpath(posixpath.join(posixpath.dirname(name), match[1]))
            yield from _lines(other, files, read, (*above, name))
        else:
            yield line


def _of_pyproject(read: Callable[[str], str]) -> list[str]:
    try:
        pyproject = toml_text.loads(read(PYPROJECT))
    except ValueError:
        return []
    lines = subtable(pyproject, "project").get("dependencies", [])
    poetry = subtable(subtable(subtable(pyproject, "tool"), "poetry"), "dependencies")
    return [*map(str, lines), *poetry]


def brought(line: str) -> list[str]:
    """The package that a line of requirements names, and the web server that its extra brings."""
    match = _NAME.match(line.partition("#")[0])
    if not match or line.lstrip().startswith("-"):
        return []
    name = _normal(match[1])
    extra, server = _BRINGS.get(name, ("", ""))
    return [name, *([server] if extra and extra in (match[2] or "") else [])]


def _names(packages: Iterable[dict[str, Any]]) -> frozenset[str]:
    return frozenset(_normal(one["name"]) for one in packages)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
