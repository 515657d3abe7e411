"""The project's lock: exact versions with the hashes of every file that may be installed for them.

The formats are hashed requirements, PEP 751, and what uv, Poetry, PDM and Pipenv export from their own locks.
"""

import os
import posixpath
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from packaging.markers import default_environment

from artifact_store.core import toml_text
from artifact_store.core.errors import FapError, UsageError
from fapbuild.locks import exporters, indexes, requirements_file, unread
from fapbuild.locks.compiler import compile_lock
from fapbuild.locks.names import package_name
from fapbuild.locks.pins import Origin, Pin, normalized
from fapbuild.locks.requirements_file import Requirements, missing, parse_lock, stale
from fapbuild.project import git_tree, platforms
from fapbuild.project.config import PYPROJECT, Project, is_pylock
from fapbuild.project.git_tree import SourceTree, read_text
from fapbuild.report import Say

__all__ = [
    "CommittedLock",
    "Origin",
    "Pin",
    "bring_paths",
    "index_warnings",
    "parse_lock",
    "read",
    "resolve",
    "stale",
    "write",
]


_NONE = "no packages: the project lists no dependencies, in requirements.in or elsewhere"


@dataclass(frozen=True)
class CommittedLock:
    """The lock as it is committed."""

    pins: tuple[Pin, ...]
    problem: str = ""
    """Why a build can't use it: it is missing, stale or has no hashes. Empty if it can."""


def read(project: Project, folder: Path, environment: Mapping[str, str]) -> CommittedLock:
    """Read the lock of the project in `folder`, for a platform whose markers see `environment` (PEP 508).

    Nothing is resolved. Raises UsageError for a lock or requirements that can't be read, FapError if the
    tool that a lock belongs to fails.
    """
    name, required = project.settings.lock, _requirements(project, folder)
    if not is_pylock(name):
        if not (required.packages or required.paths or (folder / name).is_file()):
            unread.check_listed(folder)
        lock = _read_hashed(name, folder, required, environment)
        unread.check_sources(project, folder, None if lock.problem else lock.pins)
    else:
        pins = _read_foreign(project, folder, environment)
        reason = _stale_foreign(project, folder, required, pins, environment)
        lock = CommittedLock(pins, f"{name} is stale: {reason}" if reason else "")
    pins = tuple(_with_folders(pin, folder, name) for pin in lock.pins)
    return CommittedLock(_with_project(pins, project, folder), lock.problem)


def problem(project: Project, folder: Path) -> str:
    """Why the lock has to be made again, on one line; empty if it is fresh, or can't be read here."""
    try:
        return read(
            project, folder, {key: str(value) for key, value in default_environment().items()}
        ).problem
    except exporters.StaleLockError as error:
        return error.message.splitlines()[0]
    except FapError:
        return ""


def resolve(
    project: Project, folder: Path, work: Path, environment: Mapping[str, str], say: Say
) -> tuple[Pin, ...]:
    """The pins of the project in `folder`, for a platform whose markers see `environment` (PEP 508).

    A missing or stale lock of pip-compile is made in `work` for this build alone; any other is refused.
    Raises what `read` raises, and FapError if pip-compile fails.
    """
    lock, name = read(project, folder, environment), project.settings.lock
    if not lock.problem:
        if not lock.pins:
            say(f"no packages: {name} has none" if (folder / name).is_file() else _NONE)
        return lock.pins
    if is_pylock(name):
        raise UsageError(lock.problem, hint=f"run `fapbuild lock`, then commit {name}")
    _check_same_python(environment, lock.problem)
    say(f"warning: {lock.problem}; a lock is made for this build only, and the next may get other versions")
    say(f"hint: run `fapbuild lock`, then commit {name}")
    text = _compiled(project, folder, work, upgrade=False)
    pins = parse_lock(text, name, environment, partial(package_name, folder))
    return _with_project(tuple(_with_folders(pin, folder, name) for pin in pins), project, folder)


def bring_paths(project: Project, tree: SourceTree) -> None:
    """Export the folders beside the project that its requirements name.

    Raises UsageError for a path that is not committed, or requirements that can't be read.
    """
    required = _requirements(project, tree.folder)
    for path in (*required.paths, *filter(_is_folder, required.find_links)):
        git_tree.bring(tree, path)


def keeps(lock: str) -> bool:
    """Whether `write` can keep the versions of a lock of this name where they still fit."""
    tool = exporters.tool_of(lock)
    return tool is None or tool.keeps


def write(project: Project, folder: Path, *, upgrade: bool = False) -> Path:
    """Write the project's lock, and return its path.

    Locked versions are kept where they still fit, unless `upgrade`. Raises UsageError if there is nothing to
    lock or the lock is another tool's, FapError if a tool fails.
    """
    name = project.settings.lock
    path = folder / name
    if exporters.tool_of(name):
        exporters.renew(name, folder, upgrade=upgrade)
        return path
    if is_pylock(name):
        raise UsageError(
            f"{name} is written by other tools, and fapbuild only reads it",
            hint="update it with the tool named in its created-by line; or remove the key lock, then run "
            "`fapbuild lock`",
        )
    unread.check_sources(project, folder)
    if not project.settings.requirements and not project.dependencies:
        unread.check_listed(folder)
        raise UsageError(
            "there is nothing to lock: no requirements.in, and no project.dependencies in pyproject.toml",
            hint="list the packages that you import in requirements.in, one per line",
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


def index_warnings(project: Project, folder: Path, configured: Sequence[str]) -> list[str]:
    """Lines for people about packages that pip-compile could have taken from several indexes.

    `configured` are those of pip's configuration, the main one first. Raises UsageError for a lock that can't
    be read.
    """
    if is_pylock(project.settings.lock):  # it records the index of each package
        return []
    required, name = _requirements(project, folder), project.settings.lock
    pins = parse_lock(read_text(folder, name, marked=True), name, None, partial(package_name, folder))
    searched = [required.index or configured[0], *configured[1:], *required.more_indexes]
    return indexes.warnings([pin.name for pin in pins if not pin.origin], searched)


def _requirements(project: Project, folder: Path) -> Requirements:
    """The project's requirements file and those it includes, or `[project.dependencies]`."""
    if project.settings.requirements:
        return requirements_file.read(folder, project.settings.requirements)
    return requirements_file.parse(project.dependencies, PYPROJECT)


def _read_hashed(
    name: str, folder: Path, required: Requirements, environment: Mapping[str, str]
) -> CommittedLock:
    if not (folder / name).is_file():
        return CommittedLock((), f"{name} is not committed" if required.packages or required.paths else "")
    pins = parse_lock(read_text(folder, name, marked=True), name, environment, partial(package_name, folder))
    pins = requirements_file.with_extras(pins, required)
    reason = stale(required, pins, environment)
    return CommittedLock(pins, f"{name} is stale: {reason}" if reason else "")


def _read_foreign(project: Project, folder: Path, environment: Mapping[str, str]) -> tuple[Pin, ...]:
    """The pins of a lock that another tool wrote: PEP 751, uv, Poetry, PDM, Pipenv."""
    settings, name = project.settings, project.settings.lock
    tool = exporters.tool_of(name)
    text = (
        exporters.export(name, folder, settings.extras, settings.groups)
        if tool
        else read_text(folder, name, marked=True)
    )
    if tool and not tool.pylock:
        text = requirements_file.with_relative_paths(text, folder)
        pins = parse_lock(text, name, environment, partial(package_name, folder))
        if posixpath.basename(name) == "poetry.lock":
            from fapbuild.locks import poetry_lock  # few locks need it

            lock = toml_text.loads(read_text(folder, name, marked=True))
            pins = poetry_lock.with_dropped(pins, lock, environment)
        return exporters.with_indexes(pins, name, folder)
    from fapbuild.locks import pylock  # loads slowly, and few locks need it

    chosen = () if tool else (settings.extras, settings.groups)
    return pylock.read(text, name, folder, environment, *chosen, exported=bool(tool))


def _stale_foreign(
    project: Project,
    folder: Path,
    required: Requirements,
    pins: Sequence[Pin],
    environment: Mapping[str, str],
) -> str:
    """Say why another tool's lock does not fit the requirements; Poetry, PDM and Pipenv say so themselves."""
    name = project.settings.lock
    if reason := missing(required, pins, environment):
        return reason
    if posixpath.basename(name) == "uv.lock":
        from fapbuild.locks import uv_lock  # few locks need it

        return uv_lock.stale(name, folder, project.settings.groups)
    return "" if exporters.tool_of(name) else requirements_file.wrong_version(required, pins, environment)


def _is_folder(place: str) -> bool:
    return "://" not in place


def _with_folders(pin: Pin, folder: Path, lock: str) -> Pin:
    """The pin, with the folders where pip looks for it as absolute paths; UsageError if one is missing."""
    for place in filter(_is_folder, pin.find_links):
        if not (folder / place).is_dir():
            raise UsageError(
                f"{lock}: the folder {place} of --find-links is not committed",
                hint=f"git add --force {place}; or name an index: --extra-index-url URL",
            )
    places = (os.path.abspath(folder / one) if _is_folder(one) else one for one in pin.find_links)  # noqa: PTH100
    return replace(pin, find_links=tuple(places))


def _with_project(pins: tuple[Pin, ...], project: Project, folder: Path) -> tuple[Pin, ...]:
    """The pins, with the project itself if it is to be installed as a package."""
    if not project.settings.package:
        return pins
    itself = Pin(normalized(package_name(folder, ".")), "", frozenset(), frozenset(), Origin(path="."))
    return (*(pin for pin in pins if pin.name != itself.name), itself)


def _compiled(project: Project, folder: Path, work: Path, *, upgrade: bool) -> str:
    settings = project.settings
    return compile_lock(
        settings.requirements,
        project.dependencies,
        settings.lock,
        folder,
        work,
        upgrade=upgrade,
        pass_env=settings.pass_env,
        release=platforms.parse(settings.target).least_python,
    )


def _check_same_python(environment: Mapping[str, str], reason: str) -> None:
    here = default_environment()
    for key in ("python_version", "sys_platform", "platform_machine"):
        if environment[key] != here[key]:
            raise UsageError(
                f"{reason}, and pip-compile can only lock for the Python and machine it runs on",
                hint=f"commit a lock that was made for {key} {environment[key]}",
            )
