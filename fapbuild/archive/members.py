"""The entries of an artifact in their order, and where its gzip members begin and end; pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from artifact_store.artifact import reader
from artifact_store.artifact.manifest import MANIFEST_PATH, Manifest
from artifact_store.core.errors import FapError

PIECE = 4 * 1024 * 1024
"""The largest piece of a file in one member, in bytes; larger files are cut."""
_SPAN = 65536
_WHEELS = "wheels/"


@dataclass(frozen=True)
class TarEntry:
    """One tar entry; `content` is the file with its bytes, the bytes themselves, or a link's target."""

    path: str
    mode: int
    size: int
    content: Path | bytes | str
    sha256: str = ""
    """Of its bytes, if known: its gzip members are then cached for the next build."""


@dataclass(frozen=True)
class MemberPlan:
    """The contents of one gzip member: whole entries, or one piece of a large one.

    `start` and `stop` count bytes of the tar stream from the first entry's header; `stop` is None for
    "to the end of the last entry".
    """

    entries: tuple[TarEntry, ...]
    start: int = 0
    stop: int | None = None

    @property
    def begun(self) -> int:
        """The number of entries that begin in it."""
        return 0 if self.start else len(self.entries)


def plan_members(entries: Iterable[TarEntry]) -> tuple[MemberPlan, ...]:
    """Return the members between the first and the last, over the files in order, and then the wheels.

    Whether a member ends after a file depends on that file alone, so an edit or a new file moves no other
    cut. Wheels and large files are members of their own.

    Raises FapError for entries that hosts refuse (`artifact_store.artifact.reader`).
    """
    ordered = sorted(entries, key=lambda entry: (is_wheel(entry.path), entry.path.encode("utf-8")))
    check_paths(ordered)
    members: list[MemberPlan] = []
    run: list[TarEntry] = []
    for entry in ordered:
        alone = is_wheel(entry.path) or entry.size > PIECE
        if alone and run:
            members.append(MemberPlan(tuple(run)))
            run = []
        if alone:
            members += _pieces(entry)
            continue
        run.append(entry)
        if cut_after(entry.path, entry.size):
            members.append(MemberPlan(tuple(run)))
            run = []
    if run:
        members.append(MemberPlan(tuple(run)))
    return tuple(members)


def members_of(manifest: Manifest) -> dict[str, tuple[int, ...]]:
    """The indexes (from 0) of the members that hold each path; empty if the manifest does not show them, as
    one of `fap/1` does not."""
    paths = [file.path for file in manifest.files]
    paths += [path for wheel in manifest.wheels for path in wheel.entries]
    counts = [member.entries for member in manifest.members]
    if sum(counts) != len(paths) or min(counts, default=0) < 0:
        return {}
    rest = iter(paths)
    numbers: dict[str, tuple[int, ...]] = {}
    held: list[str] = []
    for number, count in enumerate(counts[:-1]):
        held = list(islice(rest, count)) or held[-1:]
        for path in held:
            numbers[path] = (*numbers.get(path, ()), number)
    return numbers


def is_wheel(path: str) -> bool:
    """Whether this is the path of a wheel of the app, or of its bytecode."""
    return path.startswith(_WHEELS)


def cut_after(path: str, size: int) -> bool:
    """Whether a member ends after this file: `sha256(path) / 2**256 < (size + 1024) / 65536`."""
    number = int.from_bytes(hashlib.sha256(path.encode("utf-8")).digest(), "big")
    return number * _SPAN < (size + 1024) << 256


def check_paths(ordered: list[TarEntry]) -> None:
    """Raise FapError unless hosts accept each entry, and can unpack it beside all the others."""
    tree = reader.Tree()
    tree.add(MANIFEST_PATH, reader.FILE)
    for entry in ordered:
        target = entry.content if isinstance(entry.content, str) else ""
        try:
            tree.add(entry.path, reader.LINK if target else reader.FILE, target)
        except reader.RefusedError as error:
            raise FapError(f"no host would accept the artifact: {error}", hint="rename it: git mv") from error


def _pieces(entry: TarEntry) -> list[MemberPlan]:
    if entry.size <= PIECE:
        return [MemberPlan((entry,))]
    pieces = []
    for start in range(0, entry.size, PIECE):
        stop = start + PIECE if start + PIECE < entry.size else None
        pieces.append(MemberPlan((entry,), start, stop))
    return pieces
