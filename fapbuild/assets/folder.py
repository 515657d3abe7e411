"""The folder that a step works in: filled with its inputs, looked through afterwards."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from artifact_store.core.errors import FapError
from fapbuild.cache import sha256_of
from fapbuild.project.config import Assets
from fapbuild.project.git_tree import LINK, check_link, mode_of
from fapbuild.project.patterns import matcher

# What the usual tools leave behind, and nobody packs.
SCRATCH = (
    *("node_modules/", ".npm/", ".yarn/", ".pnpm-store/", ".cache/", ".parcel-cache/", ".turbo/", ".vite/"),
    *("__pycache__/", "*.pyc", "*.tsbuildinfo", ".eslintcache", ".sass-cache/", "npm-debug.log*"),
)
_SHOWN = 5


@dataclass(frozen=True)
class Given:
    """A file that a step may read: `digest` names its content, `source` is where it is."""

    mode: int
    digest: str
    source: Path


@dataclass(frozen=True)
class Output:
    """A file that a step made; `path` is relative to the project's folder, `source` where it is now."""

    path: str
    mode: int
    size: int
    source: Path

    @cached_property
    def digest(self) -> str:
        """The sha256 of its content, or of where a link points."""
        if self.mode == LINK:
            return hashlib.sha256(os.fsencode(os.readlink(self.source))).hexdigest()  # noqa: PTH115 (as it is)
        return sha256_of(self.source)


@dataclass(frozen=True)
class Stamp:
    """What changes about a file when it is written."""

    mode: int
    size: int
    modified: int
    changed: int
    number: int


def fill(root: Path, inputs: Mapping[str, Given]) -> dict[str, Stamp]:
    """Copy the inputs to the new folder `root`; return how they look."""
    root.mkdir()
    for path, file in inputs.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.source, target, follow_symlinks=False)
        if file.mode != LINK:
            target.chmod(file.mode)
    return {path: _stamp(root / path) for path in inputs}


def check(root: Path, before: Mapping[str, Stamp], inputs: Mapping[str, Given], step: Assets) -> None:
    """Raise FapError if the step wrote, changed or removed a file that it does not declare."""
    ignored = matcher((*SCRATCH, *step.scratch))
    outputs = [_parts(name) for name in step.outputs]

    def declared(path: str) -> bool:
        parts = _parts(path)
        return any(parts[: len(output)] == output for output in outputs)

    left = set(before)
    new, changed = [], []
    for path in _walk(root, lambda path: declared(path) or ignored(path)):
        if path in before:
            left.discard(path)
            if _stamp(root / path) != before[path] and not _same(root / path, inputs[path]):
                changed.append(path)
        else:
            new.append(path)
    changed += [path for path in left if not declared(path) and not ignored(path)]
    if changed:
        raise FapError(
            f"assets {step.name!r} changed what is committed:{_listed(changed)}",
            hint="let its commands leave them alone (npm ci, not npm install), or name them in its outputs",
        )
    if new:
        raise FapError(
            f"assets {step.name!r} wrote what is none of its outputs:{_listed(new)}",
            hint=f'if hosts need it: outputs = [..., "{min(new)}"]; else: scratch = ["/{min(new)}"]',
        )


def collect(root: Path, step: Assets) -> tuple[Output, ...]:
    """The files that the step declares; raise FapError if one of its outputs is not there, or no file."""
    found: dict[str, Output] = {}
    for name in step.outputs:
        for output in _collect(root, "/".join(_parts(name)), step.name):
            found[output.path] = output
    return tuple(found[path] for path in sorted(found))


def _collect(root: Path, name: str, step: str) -> list[Output]:
    start = root / name
    if not os.path.lexists(start):
        raise FapError(f"assets {step!r} made no {name}", hint="outputs are relative to the project's folder")
    if not Path(os.path.realpath(start)).is_relative_to(os.path.realpath(root)):
        raise FapError(f"assets {step!r}: the output {name} lies outside the project")
    outputs = []
    for path in [start] if start.is_symlink() or not start.is_dir() else _files_below(start):
        relative = path.relative_to(root).as_posix()
        mode = mode_of(path, relative)
        if mode == LINK:
            check_link(root, relative)
        outputs.append(Output(relative, mode, 0 if mode == LINK else path.stat().st_size, path))
    if not outputs:
        raise FapError(f"assets {step!r}: the output {name} is an empty folder")
    return outputs


def _files_below(start: Path) -> list[Path]:
    return [path for path in start.rglob("*") if path.is_symlink() or not path.is_dir()]


def _walk(root: Path, skipped: Callable[[str], bool]) -> Iterator[str]:
    """The files below `root`, without going into folders that are skipped."""
    for where, folders, files in os.walk(root):
        above = Path(where).relative_to(root).as_posix()
        prefix = "" if above == "." else f"{above}/"
        links = [name for name in folders if os.path.islink(f"{where}/{name}")]  # noqa: PTH114 (thousands)
        folders[:] = [name for name in folders if not skipped(f"{prefix}{name}/")]
        for name in (*files, *links):
            if not skipped(f"{prefix}{name}"):
                yield f"{prefix}{name}"


def _stamp(path: Path) -> Stamp:
    found = path.lstat()
    return Stamp(found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def _same(path: Path, file: Given) -> bool:
    """Whether a file that was written again is what it was."""
    if path.is_dir() or mode_of(path, path.name) != file.mode:
        return False
    if file.mode == LINK:
        return os.readlink(path) == os.readlink(file.source)  # noqa: PTH115 (as it is)
    return path.read_bytes() == file.source.read_bytes()


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _listed(paths: list[str]) -> str:
    shown = "".join(f"\n  {path}" for path in sorted(paths)[:_SHOWN])
    return shown + (f"\n  and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")
