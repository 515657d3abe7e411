"""What changed from one artifact to another, as far as their manifests tell; pure."""

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
class Sized:
    """A file and its size in bytes, unpacked."""

    path: str
    size: int


@dataclass(frozen=True)
class Resized:
    """A file in both, with other sizes in bytes or other modes."""

    path: str
    before: int
    after: int


@dataclass(frozen=True)
class Files:
    """Without the wheels.

    The manifest has no digests of single files. Those in `perhaps` have the same size and mode as before,
    and lie in gzip members that have other bytes; what is named nowhere has not changed.
    """

    added: tuple[Sized, ...]
    removed: tuple[Sized, ...]
    changed: tuple[Resized, ...]
    perhaps: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """`download`: the bytes of the second that a host with the first lacks, the first member included."""

    wheels: WheelChanges
    files: Files
    download: int


def compare(before: Outline, after: Outline) -> Difference:
    """What a host gets that has `before` and is given `after`."""
    return Difference(
        diff.wheels(before.manifest, after.manifest),
        _files(before.manifest, after.manifest),
        diff.download(before, after),
    )


def _files(before: Manifest, after: Manifest) -> Files:
    old = {file.path: file for file in before.files}
    new = {file.path: file for file in after.files}
    both = sorted(old.keys() & new.keys())
    was, is_now = _held_by(before), _held_by(after)
    return Files(
        added=tuple(Sized(path, new[path].size) for path in sorted(new.keys() - old.keys())),
        removed=tuple(Sized(path, old[path].size) for path in sorted(old.keys() - new.keys())),
        changed=tuple(
            Resized(path, old[path].size, new[path].size) for path in both if old[path] != new[path]
        ),
        perhaps=tuple(
            path
            for path in both
            if old[path] == new[path] and (path not in was or was[path] != is_now.get(path))
        ),
    )


def _held_by(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    return {
        path: tuple(manifest.members[number].sha256 for number in numbers)
        for path, numbers in members_of(manifest).items()
    }


def facts(before: Outline, after: Outline) -> dict[str, object]:
    """One object for programs; sizes in bytes."""
    return {"before": _named(before), "after": _named(after), **asdict(compare(before, after))}


def lines(before: Outline, after: Outline) -> list[str]:
    """The same for people; of the files that may have changed only some."""
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
        *(["other builders or compressors: every file may look changed"] if other_builder else []),
    ]


def _changed(file: Resized) -> str:
    if file.before == file.after:
        return f"  ~ {file.path}  another mode"
    return f"  ~ {file.path}  {file.before:,} -> {file.after:,} bytes"


def _perhaps(paths: tuple[str, ...]) -> list[str]:
    if len(paths) > _SHOWN:
        return [
            f"  ? {len(paths)} of the same size, packed beside something that changed (--json names them)"
        ]
    return [f"  ? {path}  the same size, packed beside something that changed" for path in paths]


def _named(found: Outline) -> dict[str, Any]:
    return {"app": found.manifest.app, "version": found.manifest.version, "size": found.size}
