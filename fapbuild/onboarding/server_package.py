"""Brings the web server that an app needs among its packages: from an extra or a group, or by adding it."""

import posixpath
import re
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from fapbuild.onboarding.packages import brought
from fapbuild.project.config import PYPROJECT, subtable

GROUP = "server"
"""The name of the group that `init` writes to pyproject.toml."""


@dataclass(frozen=True)
class Addition:
    """How a package gets among those of an app: what to write, what to run, and which files that changes."""

    extra: str = ""
    group: str = ""
    """A group of pyproject.toml to select; one called `server` is new if `package` is set."""
    package: str = ""
    """The package of the new group."""
    steps: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def choices(
    pyproject: Mapping[str, Any], for_hosts: Callable[[Collection[str]], Collection[str]]
) -> dict[Addition, frozenset[str]]:
    """The extras and groups of a project that hosts may get, with the packages that each brings."""
    project, tool = subtable(pyproject, "project"), subtable(pyproject, "tool")
    extras = subtable(project, "optional-dependencies")
    groups = dict(subtable(pyproject, "dependency-groups"))
    groups |= {
        name: [*subtable(group, "dependencies")]
        for name, group in subtable(subtable(tool, "poetry"), "group").items()
        if isinstance(group, dict)
    }
    found = {Addition(extra=name): _names(extras[name]) for name in for_hosts(extras)}
    return found | {Addition(group=name): _names(groups[name]) for name in for_hosts(groups)}


def adding(
    package: str, *, requirements: str, lock: str, has_lock: bool, source: str, groups: Collection[str]
) -> Addition | None:
    """How to add a package to the list that the lock is made from; None if that can't be known."""
    if requirements:
        line = f"printf '\\n{package}\\n' >> {shlex.quote(requirements)}"
        return Addition(steps=(line, "fapbuild lock"), files=(requirements, lock))
    match posixpath.basename(lock):
        case "uv.lock":
            return Addition(steps=(f"uv add --no-sync {package}",), files=(PYPROJECT, lock))
        case "poetry.lock":
            return Addition(steps=(f"poetry add --lock {package}",), files=(PYPROJECT, lock))
        case "pdm.lock":
            return Addition(steps=(f"pdm add --no-sync {package}",), files=(PYPROJECT, lock))
        case "Pipfile.lock":
            return Addition(steps=(f"pipenv upgrade {package}",), files=("Pipfile", lock))
        case "requirements.txt" if not has_lock and source == PYPROJECT and GROUP not in groups:
            return Addition(group=GROUP, package=package)
        case "requirements.txt" if not has_lock:
            lines = f"printf '%s\\n' '-e .' {package} > requirements.in"
            return Addition(steps=(lines, "fapbuild lock"), files=("requirements.in", lock))
    return None


def with_group(text: str, package: str) -> str:
    """A pyproject.toml with the new group, at the end or in the table that is there."""
    line = f'{GROUP} = ["{package}"]\n'
    table = re.compile(r"^\[dependency-groups\][^\n]*\n", re.MULTILINE)
    if table.search(text):
        return table.sub(lambda match: match[0] + line, text, count=1)
    return f"{text.rstrip()}\n\n[dependency-groups]\n{line}"


def _names(lines: object) -> frozenset[str]:
    texts = [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []
    return frozenset(name for line in texts for name in brought(line))
