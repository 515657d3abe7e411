"""The changes from one artifact to another, as far as their manifests show them; pure."""

from dataclasses import asdict, dataclass
from typing import Any

from artifact_store.artifact import diff
from artifact_store.artifact.diff import WheelChanges
from artifact_store.artifact.manifest import Manifest
from artifact_store.artifact.peek import Outline
from artifact_store.core import text
from fapbuild.archive.members import members_of

_SHOWN = 5


@dataclass(frozen=True)
class SizedFile:
    """A file and its unpacked size in bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class ResizedFile:
    """A file in both artifacts with different sizes (in bytes) or modes."""

    path: str
    before: int
    after: int


@dataclass(frozen=True)
class FileChanges:
    """The changes of files, without wheels.

    The manifest has no digests of single files. Files in `perhaps` have the same size and mode, but lie in
    gzip members with different bytes. Files that are not named have not changed.
    """

    added: tuple[SizedFile, ...]
    removed: tuple[SizedFile, ...]
    changed: tuple[ResizedFile, ...]
    perhaps: tuple[str, ...]


@dataclass(frozen=True)
class ArtifactDiff:
    """The changes from one artifact to another."""

    wheels: WheelChanges
    files: FileChanges
    download: int
    """The bytes of the second that a host with the first has to download, its first member included."""


def compare(before: Outline, after: Outline) -> ArtifactDiff:
    """Compare two artifacts."""
    return ArtifactDiff(
        diff.wheels(before.manifest, after.manifest),
        _files(before.manifest, after.manifest),
        diff.download(before, after),
    )


def _files(before: Manifest, after: Manifest) -> FileChanges:
    old = {file.path: file for file in before.files}
    new = {file.path: file for file in after.files}
    both = sorted(old.keys() & new.keys())
    had, has = _members_by_path(before), _members_by_path(after)
    return FileChanges(
        added=tuple(SizedFile(path, new[path].size) for path in sorted(new.keys() - old.keys())),
        removed=tuple(SizedFile(path, old[path].size) for path in sorted(old.keys() - new.keys())),
        changed=tuple(
            ResizedFile(path, old[path].size, new[path].size) for path in both if old[path] != new[path]
        ),
        perhaps=tuple(
            path
            for path in both
            if old[path] == new[path] and (path not in had or had[path] != has.get(path))
        ),
    )


def _members_by_path(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    return {
        path: tuple(manifest.members[number].sha256 for number in numbers)
        for path, numbers in members_of(manifest).items()
    }


def facts(before: Outline, after: Outline) -> dict[str, object]:
    """The changes as one object, for programs; sizes in bytes."""
    return {"before": _identity(before), "after": _identity(after), **asdict(compare(before, after))}


def lines(before: Outline, after: Outline) -> list[str]:
    """The changes as lines, for people; many files that may have changed are only counted."""
    files = _files(before.manifest, after.manifest)
    old, new = before.manifest, after.manifest
    other_builder = old.builder != new.builder
    return [
        f"{old.app} {old.version} -> {new.app} {new.version}",
        *diff.lines(before, after),
        f"files      {len(files.added)} added, {len(files.removed)} removed, {len(files.changed)} changed, "
        f"{len(files.perhaps)} may have changed",
        *(f"  + {file.path}  {text.size(file.size)}" for file in files.added),
        *(f"  - {file.path}  {text.size(file.size)}" for file in files.removed),
        *(_changed(file) for file in files.changed),
        *_perhaps(files.perhaps),
        *(
            ["note: packed by different builders or compressors, so any file may look changed"]
            if other_builder
            else []
        ),
    ]


def _changed(file: ResizedFile) -> str:
    if file.before == file.after:
        return f"  ~ {file.path}  mode changed"
    return f"  ~ {file.path}  {file.before:,} -> {file.after:,} bytes"


def _perhaps(paths: tuple[str, ...]) -> list[str]:
    if len(paths) > _SHOWN:
        return [f"  ? {len(paths)} of the same size, packed together with a changed file (--json lists them)"]
    return [f"  ? {path}  same size, packed together with a changed file" for path in paths]


def _identity(outline: Outline) -> dict[str, Any]:
    return {"app": outline.manifest.app, "version": outline.manifest.version, "size": outline.size}
