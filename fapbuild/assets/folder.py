"""The working folder of a step: filled with its inputs before, and checked afterwards."""

import hashlib
import os
import posixpath
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from artifact_store.core.errors import FapError
from fapbuild.cache import sha256_of
from fapbuild.project.config import Assets
from fapbuild.project.git_tree import LINK, check_link, mode_of
from fapbuild.project.patterns import matcher

# Leftovers of the usual tools, which nobody packs.
SCRATCH = (
    *("node_modules/", ".npm/", ".yarn/", ".pnpm-store/", ".cache/", ".parcel-cache/", ".turbo/", ".vite/"),
    *("__pycache__/", "*.pyc", "*.tsbuildinfo", ".eslintcache", ".sass-cache/", "npm-debug.log*"),
    *(".angular/", ".next/cache/"),
)
_LOCKS = ("package-lock.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb")
"""Written by an install that had no lock; nobody packs them, either."""
_SHOWN = 5


@dataclass(frozen=True)
class InputFile:
    """A file that a step may read, at `source`; `digest` names its content."""

    mode: int
    digest: str
    source: Path


@dataclass(frozen=True)
class OutputFile:
    """A file that a step made, now at `source`; `path` is relative to the project's folder."""

    path: str
    mode: int
    size: int
    source: Path

    @cached_property
    def digest(self) -> str:
        """The sha256 of its content, or of the target of a link."""
        if self.mode == LINK:
            return hashlib.sha256(os.fsencode(os.readlink(self.source))).hexdigest()  # noqa: PTH115 (as it is)
        return sha256_of(self.source)


@dataclass(frozen=True)
class FileStamp:
    """The parts of a file's status that change when it is written."""

    mode: int
    size: int
    modified: int
    changed: int
    number: int


def leftovers(step: Assets) -> tuple[str, ...]:
    """The patterns of files that a step without declared outputs may write, and that are not packed."""
    return (*SCRATCH, *_LOCKS, *step.scratch)


def fill(root: Path, inputs: Mapping[str, InputFile]) -> dict[str, FileStamp]:
    """Copy the inputs into the new folder `root`; return the stamp of each copy."""
    root.mkdir()
    for path, file in inputs.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.source, target, follow_symlinks=False)
        if file.mode != LINK:
            target.chmod(file.mode)
    return {path: _stamp(root / path) for path in inputs}


def check(root: Path, before: Mapping[str, FileStamp], inputs: Mapping[str, InputFile], step: Assets) -> None:
    """Raise FapError if the step wrote, changed or removed a file that is not a declared output."""
    ignored = matcher((*SCRATCH, *step.scratch))
    outputs = [_parts(name) for name in step.outputs]

    def skipped(path: str) -> bool:
        parts = _parts(path)
        return ignored(path) or any(parts[: len(output)] == output for output in outputs)

    new, changed, removed = _written(root, before, inputs, skipped)
    changed += removed
    if changed:
        raise FapError(
            f"assets {step.name!r} changed committed files:{_listed(changed)}",
            hint="use commands that don't change them (npm ci, not npm install), or add them to its outputs",
        )
    if new:
        raise FapError(
            f"assets {step.name!r} wrote files that are not in its outputs:{_listed(new)}",
            hint=f'if hosts need them: outputs = [..., "{shared_folder(new)}"]; '
            f'if not: scratch = ["/{shared_folder(new)}"]',
        )


def collect_written(
    root: Path, before: Mapping[str, FileStamp], inputs: Mapping[str, InputFile], step: Assets
) -> tuple[OutputFile, ...]:
    """Return every file that a step without declared outputs wrote, apart from leftovers of tools.

    Raises FapError if an install changed its lock.
    """
    new, changed, _ = _written(root, before, inputs, matcher(leftovers(step)))
    locks = [path for path in before if posixpath.basename(path) in _LOCKS]
    if relocked := [path for path in locks if not _same(root / path, inputs[path])]:
        raise FapError(
            f"assets {step.name!r} changed committed files:{_listed(relocked)}",
            hint="use commands that don't change them: npm ci, not npm install",
        )
    return tuple(output for path in sorted((*new, *changed)) for output in _collect(root, path, step.name))


def _written(
    root: Path,
    before: Mapping[str, FileStamp],
    inputs: Mapping[str, InputFile],
    skipped: Callable[[str], bool],
) -> tuple[list[str], list[str], list[str]]:
    """The files that a step made, changed and removed."""
    missing = set(before)
    new, changed = [], []
    for path in _walk(root, skipped):
        if path in before:
            missing.discard(path)
            if _stamp(root / path) != before[path] and not _same(root / path, inputs[path]):
                changed.append(path)
        else:
            new.append(path)
    return new, changed, [path for path in missing if not skipped(path)]


def shared_folder(paths: list[str]) -> str:
    """The file, or the folder that has all of them; if there is none, the folder that has the most."""
    if len(paths) == 1:
        return paths[0]
    tops = Counter(path.partition("/")[0] for path in paths if "/" in path)
    if not tops:
        return min(paths)
    top = min(tops, key=lambda name: (-tops[name], name))
    return os.path.commonpath([posixpath.dirname(path) for path in paths if path.startswith(f"{top}/")])


def collect(root: Path, step: Assets) -> tuple[OutputFile, ...]:
    """Return the declared outputs; raise FapError if one is missing, empty, or outside the project."""
    outputs: dict[str, OutputFile] = {}
    for name in step.outputs:
        for output in _collect(root, "/".join(_parts(name)), step.name):
            outputs[output.path] = output
    return tuple(outputs[path] for path in sorted(outputs))


def _collect(root: Path, name: str, step: str) -> list[OutputFile]:
    start = root / name
    if not os.path.lexists(start):
        raise FapError(
            f"assets {step!r} did not make {name}", hint="outputs are relative to the project's folder"
        )
    if not Path(os.path.realpath(start)).is_relative_to(os.path.realpath(root)):
        raise FapError(f"assets {step!r}: the output {name} is outside the project")
    outputs = []
    for path in [start] if start.is_symlink() or not start.is_dir() else _files_below(start):
        relative = path.relative_to(root).as_posix()
        check_utf8(relative, step)
        mode = mode_of(path, relative)
        if mode == LINK:
            check_link(root, relative)
        outputs.append(OutputFile(relative, mode, 0 if mode == LINK else path.stat().st_size, path))
    if not outputs:
        raise FapError(f"assets {step!r}: the output {name} is an empty folder")
    return outputs


def check_utf8(path: str, step: str) -> None:
    """Raise FapError for the name of an output that is not UTF-8, which no host could tell from another."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError as error:
        raise FapError(
            f"assets {step!r}: the file name {os.fsencode(path)!r} is not UTF-8",
            hint="let the step give it another name",
        ) from error


def _files_below(start: Path) -> list[Path]:
    return [path for path in start.rglob("*") if path.is_symlink() or not path.is_dir()]


def _walk(root: Path, skipped: Callable[[str], bool]) -> Iterator[str]:
    """Yield the files below `root`, without those that are skipped and without entering skipped folders."""
    for where, folders, files in os.walk(root):
        above = Path(where).relative_to(root).as_posix()
        prefix = "" if above == "." else f"{above}/"
        links = [name for name in folders if os.path.islink(f"{where}/{name}")]  # noqa: PTH114 (thousands)
        folders[:] = [name for name in folders if not skipped(f"{prefix}{name}/")]
        for name in (*files, *links):
            if not skipped(f"{prefix}{name}"):
                yield f"{prefix}{name}"


def _stamp(path: Path) -> FileStamp:
    status = path.lstat()
    return FileStamp(status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _same(path: Path, file: InputFile) -> bool:
    """Whether a file that was written again has the same mode and content as the input."""
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
