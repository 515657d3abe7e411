"""What goes into an artifact, in which order, and where its gzip members are cut: pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from artifact_store.artifact.manifest import MANIFEST_PATH, Manifest
from artifact_store.core.errors import FapError

PIECE = 4 * 1024 * 1024
"""Files over this many bytes are cut into pieces of this many."""
_SPAN = 65536
_WHEELS = "wheels/"


@dataclass(frozen=True)
class Entry:
    """One tar entry; `content` is where its bytes are, the bytes themselves, or a link's target."""

    path: str
    mode: int
    size: int
    content: Path | bytes | str
    sha256: str = ""
    """Of its bytes, where it is known: then the gzip members it makes are kept for the next build."""


@dataclass(frozen=True)
class MemberPlan:
    """What one gzip member holds: whole entries, or one piece of a large one.

    `start` and `stop` count bytes of the tar stream from the first entry's header; `stop` is None for
    "to the end of the last entry".
    """

    entries: tuple[Entry, ...]
    start: int = 0
    stop: int | None = None


def plan_members(entries: Iterable[Entry]) -> tuple[MemberPlan, ...]:
    """The members after the first, over the sorted paths.

    A member ends after a file by a rule that looks at that file alone, so that an edit or a new file
    moves no other cut. Wheels and large files are members of their own.

    Raises FapError if two entries have one path, or one lies below another that is no folder.
    """
    ordered = sorted(entries, key=lambda entry: entry.path.encode("utf-8"))
    check_paths(ordered)
    members: list[MemberPlan] = []
    run: list[Entry] = []
    for entry in ordered:
        alone = entry.path.startswith(_WHEELS) or entry.size > PIECE
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
    """For each path, which of the manifest's members hold it (counted from 0), by the rule of the cuts.

    Empty if the members are not those of the rule: another packer made them.
    """
    sizes = {file.path: file.size for file in manifest.files}
    sizes |= {f"{_WHEELS}{wheel.file}": wheel.size for wheel in manifest.wheels}
    if sum(max(size, 0) // PIECE for size in sizes.values()) > len(manifest.members):
        return {}
    try:
        planned = plan_members([Entry(path, 0, size, b"") for path, size in sizes.items()])
    except FapError:
        return {}
    if len(planned) != len(manifest.members):
        return {}
    found: dict[str, tuple[int, ...]] = {}
    for number, member in enumerate(planned):
        for entry in member.entries:
            found[entry.path] = (*found.get(entry.path, ()), number)
    return found


def cut_after(path: str, size: int) -> bool:
    """Whether a member ends after this file: `sha256(path) / 2**256 < (size + 1024) / 65536`."""
    number = int.from_bytes(hashlib.sha256(path.encode("utf-8")).digest(), "big")
    return number * _SPAN < (size + 1024) << 256


def check_paths(ordered: list[Entry]) -> None:
    """Raise FapError unless each path can be extracted beside all the others."""
    paths = {entry.path for entry in ordered}
    if len(paths) != len(ordered) or MANIFEST_PATH in paths:
        seen: set[str] = {MANIFEST_PATH}
        twice = next(entry.path for entry in ordered if entry.path in seen or seen.add(entry.path))  # type: ignore[func-returns-value]
        raise FapError(f"{twice} would be in the artifact twice")
    for path in paths:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            if (above := "/".join(parts[:depth])) in paths:
                raise FapError(f"{path} lies below {above}, which is a file or a link")


def _pieces(entry: Entry) -> list[MemberPlan]:
    if entry.size <= PIECE:
        return [MemberPlan((entry,))]
    pieces = []
    for start in range(0, entry.size, PIECE):
        stop = start + PIECE if start + PIECE < entry.size else None
        pieces.append(MemberPlan((entry,), start, stop))
    return pieces
