"""Put an artifact together from the gzip members of others, and fetch only what they lack.

Format: docs/design.md, "The artifact". Two artifacts of an app share most members: wheels, and files that did
not change.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from artifact_store.artifact.manifest import Member
from artifact_store.artifact.peek import ByteSource, open_source, peek
from artifact_store.core.errors import FapError

WORTHWHILE = 0.1
"""The least share of an artifact that other files must have; for less, all of it is fetched."""
_PIECE = 8 << 20
_CHUNK = 1 << 20
_Place = tuple[Path, int]
"""A file, and the offset of a member in it."""


def assemble(source: ByteSource, others: Iterable[Path], file: BinaryIO) -> bool:
    """Write the artifact of `source` to the empty `file`, with members of the artifacts in `others`.

    Return False, and write nothing, if they have too little of it, or the source can't be read in pieces. The
    caller checks the sha256 of the result: a member of another file is only known by what that file's
    manifest says. Raises FapError as `peek` does for the source; files that are no artifacts are passed over.
    """
    outline = peek(source)
    places = _places(others)
    members = outline.manifest.members
    known = sum(member.length for member in members if member.sha256 in places)
    if known < WORTHWHILE * outline.size:
        return False
    head = source.piece(0, outline.first)
    if head is None:
        return False
    file.write(head)
    at = outline.first
    for run in _runs(members, places):
        length = sum(member.length for member in run)
        if run[0].sha256 in places:
            _copy(places[run[0].sha256], length, file)
            at += length
            continue
        data = source.piece(at, length)
        if data is None:
            file.truncate(0)
            return False
        file.write(data)
        at += length
    return True


def _places(files: Iterable[Path]) -> dict[str, _Place]:
    """Where each member is, by its sha256."""
    places: dict[str, _Place] = {}
    for path in files:
        try:
            with open_source(str(path)) as source:
                outline = peek(source)
        except FapError:
            continue
        for member, offset in zip(outline.manifest.members, outline.manifest.offsets, strict=False):
            places.setdefault(member.sha256, (path, outline.first + offset))
    return places


def _runs(members: Iterable[Member], places: dict[str, _Place]) -> Iterator[list[Member]]:
    """Yield the members in order: each that is known by itself, and the others in pieces to fetch."""
    run: list[Member] = []
    for member in members:
        is_known = member.sha256 in places
        if run and (is_known or sum(one.length for one in run) + member.length > _PIECE):
            yield run
            run = []
        if is_known:
            yield [member]
        else:
            run.append(member)
    if run:
        yield run


def _copy(place: _Place, length: int, file: BinaryIO) -> None:
    """Copy a member of `length` bytes. One that was damaged since is copied so: the sha256 of the whole
    shows it."""
    path, offset = place
    with path.open("rb") as other:
        other.seek(offset)
        left = length
        while left and (data := other.read(min(left, _CHUNK))):
            file.write(data)
            left -= len(data)
