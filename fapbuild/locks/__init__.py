"""The project's lock: exact versions with the hashes of every file that may be installed for them.

Four formats are one here: hashed requirements, PEP 751, and what uv and poetry export from their own.
"""

import configparser
import contextlib
import os
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from packaging.markers import default_environment

from artifact_store.core.errors import UsageError
from fapbuild.locks import exporters, requirements_file
from fapbuild.locks.compiler import compile_lock
from fapbuild.locks.pins import Origin, Pin, normalized
from fapbuild.locks.requirements_file import Asked, missing, parse_lock, stale
from fapbuild.project.config import PYPROJECT, Project, is_pylock
from fapbuild.project.git_tree import read_text

__all__ = ["Origin", "Pin", "asked", "parse_lock", "resolve", "stale", "standing", "write"]


def resolve(
    project: Project,
    folder: Path,
    work: Path,
    environment: Mapping[str, str],
    say: Callable[[str], None],
) -> tuple[Pin, ...]:
    """The lock of the project in `folder`, for a target whose markers see `environment` (PEP 508).

    A missing or stale lock of pip-compile is made in `work` and not kept; any other is refused then.
    Raises UsageError for a lock or requirements that can't be read, FapError if a tool fails.
    """
    pins = _locked(project, folder, work, environment, say)
    if project.settings.package:
        itself = Pin(normalized(package_name(folder, ".")), "", frozenset(), frozenset(), Origin(path="."))
        pins = (*(pin for pin in pins if pin.name != itself.name), itself)
    return pins


def _locked(
    project: Project, folder: Path, work: Path, environment: Mapping[str, str], say: Callable[[str], None]
) -> tuple[Pin, ...]:
    settings = project.settings
    name = settings.lock
    if is_pylock(name):
        text = read_text(folder, name)
        tool = exporters.tool_of(name)
        if tool:
            text = exporters.export(name, folder, settings.extras, settings.groups)
        if tool and not tool.pylock:
            text = requirements_file.with_relative_paths(text, folder)
            pins = parse_lock(text, name, environment, partial(package_name, folder))
        else:
            from fapbuild.locks import pylock  # loads slowly, and most locks are none

            chosen = () if tool else (settings.extras, settings.groups)
            pins = pylock.read(text, name, folder, environment, *chosen, exported=bool(tool))
        if reason := missing(asked(project, folder), pins, environment):
            raise UsageError(f"{name} is stale: {reason}", hint="fapbuild lock, and commit it")
        return pins
    return _hashed(project, folder, work, environment, say)


def _hashed(
    project: Project, folder: Path, work: Path, environment: Mapping[str, str], say: Callable[[str], None]
) -> tuple[Pin, ...]:
    name = project.settings.lock
    pins, reason = standing(project, folder, environment)
    if not reason:
        return pins
    _check_same_python(environment, reason)
    say(f"warning: {reason}; locking for this build alone, and the next one may get other versions")
    say(f"hint: fapbuild lock, and commit {name}")
    return parse_lock(
        _compiled(project, folder, work, upgrade=False), name, environment, partial(package_name, folder)
    )


def standing(project: Project, folder: Path, environment: Mapping[str, str]) -> tuple[tuple[Pin, ...], str]:
    """The lock in requirements format as it is committed, and why a build can't go by it: empty if it can.

    Raises UsageError for a lock or requirements that can't be read.
    """
    name, wanted = project.settings.lock, asked(project, folder)
    if not (folder / name).is_file():
        return (), f"{name} is not committed" if wanted.requirements or wanted.paths else ""
    text = read_text(folder, name)
    if text.strip() and not requirements_file.is_hashed(text):
        return (), f"{name} has no hashes"
    pins = requirements_file.with_extras(
        parse_lock(text, name, environment, partial(package_name, folder)), wanted
    )
    reason = stale(wanted, pins, environment)
    return pins, f"{name} is stale: {reason}" if reason else ""


def write(project: Project, folder: Path, *, upgrade: bool = False) -> Path:
    """`fapbuild lock`: make the lock anew and put it in its place; returns its path.

    Versions that the lock has already are kept where they still fit, unless `upgrade`.
    """
    name = project.settings.lock
    path = folder / name
    if exporters.tool_of(name):
        exporters.renew(name, folder, upgrade=upgrade)
        return path
    if is_pylock(name):
        raise UsageError(
            f"{name} is written by other tools, and fapbuild only reads it",
            hint="make it with the tool of its created-by line; or drop the key lock, and: fapbuild lock",
        )
    if not project.settings.requirements and not project.dependencies:
        raise UsageError(
            "there is nothing to lock: no requirements.in, and no project.dependencies in pyproject.toml",
            hint="write the names of what you import, one a line, to requirements.in",
        )
    with tempfile.TemporaryDirectory(prefix="fapbuild-") as work:
        text = _compiled(project, folder, Path(work), upgrade=upgrade)
    parse_lock(text, name, None, partial(package_name, folder))
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return path


def asked(project: Project, folder: Path) -> Asked:
    """What the project asks for: its requirements file and those it includes, or `[project.dependencies]`."""
    if project.settings.requirements:
        return requirements_file.read(folder, project.settings.requirements)
    return requirements_file.asked(project.dependencies, PYPROJECT)


def package_name(folder: Path, path: str) -> str:
    """The name that the package at `path` has (PEP 621, Poetry, setup.cfg); UsageError if it says none."""
    found = folder / path
    if found.suffix == ".whl":
        return found.name.partition("-")[0]
    try:
        written = tomllib.loads((found / PYPROJECT).read_text(encoding="utf-8"))
        tables = (written.get("project"), written.get("tool", {}).get("poetry"))
        for table in tables:
            if isinstance(table, dict) and isinstance(table.get("name"), str):
                return str(table["name"])
    except (OSError, ValueError, AttributeError):
        pass
    parser = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(configparser.Error, ValueError):
        parser.read(found / "setup.cfg", encoding="utf-8")
        if name := parser.get("metadata", "name", fallback=""):
            return name
    raise UsageError(f"what is the package in {path} called?", hint=f"write it as: NAME @ {path}")


def _compiled(project: Project, folder: Path, work: Path, *, upgrade: bool) -> str:
    settings = project.settings
    return compile_lock(
        settings.requirements, project.dependencies, settings.lock, folder, work, upgrade=upgrade
    )


def _check_same_python(environment: Mapping[str, str], reason: str) -> None:
    here = default_environment()
    for key in ("python_version", "sys_platform", "platform_machine"):
        if environment[key] != here[key]:
            raise UsageError(
                f"{reason}, and pip-compile can lock only for the Python and machine it runs on",
                hint=f"commit a lock that was made for {key} {environment[key]}",
            )
