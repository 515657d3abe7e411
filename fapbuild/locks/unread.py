"""Refuses dependencies that are listed where fapbuild does not read them: a build without them, or with
others of the same names, would look right."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from artifact_store.core import toml_text
from artifact_store.core.errors import UsageError
from fapbuild.locks.pins import Pin, normalized
from fapbuild.project.config import PYPROJECT, Project, is_pylock, subtable

_NOT_FOR_HOSTS = r"(^|[-_./])(dev|develop|tests?|testing|docs?|lint|typing|ci|build)(?=[-_./])"
_CONDA = ("environment.yml", "environment.yaml", "conda-lock.yml", "pixi.toml", "pixi.lock")
_EMPTY = "if it needs none, commit an empty requirements.txt: touch requirements.txt"


def check_listed(folder: Path) -> None:
    """Raise UsageError if the project in `folder`, none of whose dependencies were found, lists some."""
    for name, advice in _elsewhere(folder):
        raise UsageError(
            f"{name} lists dependencies, but fapbuild does not read them from there",
            hint=f"{advice}; {_EMPTY}",
        )


def _elsewhere(folder: Path) -> Iterator[tuple[str, str]]:
    if (folder / "Pipfile").is_file():
        yield "Pipfile", "write its lock, which is read, and commit it: pipenv lock"
    poetry = subtable(subtable(_pyproject(folder), "tool"), "poetry")
    if set(subtable(poetry, "dependencies")) - {"python"}:
        yield f"[tool.poetry] of {PYPROJECT}", "write its lock, which is read, and commit it: poetry lock"
    for name in _CONDA:
        if (folder / name).is_file():
            yield name, "hosts install packages of PyPI, not of conda: list those in requirements.in"
    for path in sorted((*folder.glob("*requirements*.*"), *folder.glob("*requirements*/*.*"))):
        name = path.relative_to(folder).as_posix()
        is_list = path.suffix in (".in", ".txt") and name not in ("requirements.txt", "requirements.in")
        if is_list and not re.search(_NOT_FOR_HOSTS, name):
            yield name, f'name it in the settings: requirements = "{name}"'


def check_sources(project: Project, folder: Path, pins: Sequence[Pin] | None = None) -> None:
    """Raise UsageError if a table beside `[project]` says where a dependency comes from, and the lock was
    not made by the tool that reads the table.

    `pins` are those of a committed lock: they may be such packages, exported by the tool. None stands for a
    lock that pip-compile would write, which reads no such table.
    """
    if is_pylock(project.settings.lock) or project.settings.requirements:
        return
    tool = subtable(_pyproject(folder), "tool")
    for name, source in subtable(subtable(tool, "uv"), "sources").items():
        kinds = {key for one in _tables(source) for key in one}
        elsewhere = bool(kinds & {"workspace", "path", "git", "url"})
        pinned = next((pin for pin in pins or () if pin.name == normalized(name)), None)
        wrong = pinned is not None and elsewhere and pinned.origin is None
        if wrong or (pins is None and _is_required(name, project.dependencies)):
            raise UsageError(
                f"[tool.uv.sources] of {PYPROJECT} says where {name} comes from, which only uv reads; "
                f"{project.settings.lock} would get a package of the same name from an index",
                hint="lock with uv, and commit its lock: uv lock && git add uv.lock",
            )
    if pins is not None or not project.dependencies:
        return
    for name, lock, found in (
        ("[[tool.uv.index]]", "uv lock && git add uv.lock", subtable(tool, "uv").get("index")),
        ("[[tool.pdm.source]]", "pdm lock && git add pdm.lock", subtable(tool, "pdm").get("source")),
        (
            "[[tool.poetry.source]]",
            "poetry lock && git add poetry.lock",
            subtable(tool, "poetry").get("source"),
        ),
    ):
        if found:
            raise UsageError(
                f"{name} of {PYPROJECT} names indexes, which {project.settings.lock} would not be made from",
                hint=f"lock with the tool that reads them, and commit its lock: {lock}",
            )


def _is_required(name: str, dependencies: Sequence[str]) -> bool:
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in dependencies)
    return any(found and normalized(found[0]) == normalized(name) for found in names)


def _tables(source: Any) -> list[dict[str, Any]]:
    return [one for one in (source if isinstance(source, list) else [source]) if isinstance(one, dict)]


def _pyproject(folder: Path) -> dict[str, Any]:
    try:
        return toml_text.loads((folder / PYPROJECT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
