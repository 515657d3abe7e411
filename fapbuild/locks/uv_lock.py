"""Whether a uv.lock still fits the pyproject.toml of a project.

uv itself would resolve again, which can run code of the project. But the lock records what it was made from:
`package.metadata` and `manifest` (https://docs.astral.sh/uv/concepts/resolution).
"""

import os
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.dependency_groups import resolve_dependency_groups
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from artifact_store.core import toml_text
from artifact_store.core.errors import UsageError
from fapbuild.locks.pins import normalized
from fapbuild.project.config import PYPROJECT, subtable

_Asked = tuple[str, frozenset[str], SpecifierSet | None]
"""A package, its extras and its versions; None if it comes from a folder, a URL or git."""
_FIXED = frozenset({"editable", "virtual", "directory", "path", "url", "git"})


def stale(lock: str, folder: Path, groups: Sequence[str]) -> str:
    """Say why the file `lock` does not fit the project in `folder` with these groups; empty if it does.

    Raises UsageError if a file can't be read.
    """
    top = folder / posixpath.dirname(lock)
    try:
        return _reason(_toml(folder / lock), folder, top, groups)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ExceptionGroup) as error:
        raise UsageError(f"{lock} can't be compared with {PYPROJECT}: {error}", hint="uv lock") from error


def _reason(lock: dict[str, Any], folder: Path, top: Path, groups: Sequence[str]) -> str:
    pyproject = _toml(folder / PYPROJECT)
    project = subtable(pyproject, "project")
    if not project or "dependencies" in project.get("dynamic", ()):
        return ""
    place = Path(os.path.relpath(folder, top)).as_posix()
    own = next((one for one in lock.get("package", ()) if place in _own_place(one)), None)
    if own is None:
        return f"it has no project in {place}"
    metadata = subtable(own, "metadata")
    lines = [*project.get("dependencies", ())]
    lines += [line for extra in subtable(project, "optional-dependencies").values() for line in extra]
    compared = [(lines, metadata.get("requires-dist", []))]
    known = {normalized(name): lines for name, lines in subtable(metadata, "requires-dev").items()}
    own_groups = subtable(pyproject, "dependency-groups")
    compared += [
        ([*resolve_dependency_groups(own_groups, group)], known.get(normalized(group), []))
        for group in groups
        if group in own_groups
    ]
    manifest, tool = subtable(lock, "manifest"), subtable(_toml(top / PYPROJECT), "tool")
    compared += [
        (subtable(tool, "uv").get(f"{kind}-dependencies", []), manifest.get(f"{kind}s", []))
        for kind in ("constraint", "override")
    ]
    return next(filter(None, (_difference(*pair) for pair in compared)), "")


def _difference(lines: Iterable[str], recorded: Sequence[Mapping[str, Any]]) -> str:
    """What the lock was not made from, or no longer is.

    A package may have a fixed source on some platforms, and be taken from an index on others.
    """
    fixed = {normalized(one["name"]) for one in recorded if _FIXED & one.keys()}
    wanted = {_asked(Requirement(line), fixed): line for line in lines}
    known = {
        (
            normalized(one["name"]),
            frozenset(map(normalized, one.get("extras", ()))),
            None if normalized(one["name"]) in fixed else SpecifierSet(one.get("specifier", "")),
        )
        for one in recorded
    }
    if more := [line for asked, line in wanted.items() if asked not in known]:
        return f"it was not made for {more[0]}"
    if gone := sorted(name for name, *rest in known - wanted.keys()):
        return f"it was made for {gone[0]}, which is no longer required so"
    return ""


def _asked(requirement: Requirement, fixed: set[str]) -> _Asked:
    name = normalized(requirement.name)
    versions = None if requirement.url or name in fixed else requirement.specifier
    return name, frozenset(map(normalized, requirement.extras)), versions


def _own_place(package: Mapping[str, Any]) -> list[str]:
    source = subtable(package, "source")
    return [str(source[key]) for key in ("editable", "virtual") if key in source]


def _toml(path: Path) -> dict[str, Any]:
    return toml_text.loads(path.read_text(encoding="utf-8"))
