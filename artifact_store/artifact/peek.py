"""Look into an artifact, a file or behind a URL, without reading more of it than its manifest."""

import io
import re
import tempfile
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote

from artifact_store.artifact import archive
from artifact_store.artifact.manifest import Manifest
from artifact_store.core.errors import UsageError, VerificationError

_CHUNK = 1 << 16
_LIMIT = 64 << 20
"""As many bytes of a first member are looked at, compressed or not: `archive` reads no more either."""
_REPACK = "fetch it again, or pack it again with `fapbuild pack`"
_UNSAFE = re.compile(r"[^A-Za-z0-9._+ -]")


class ByteSource(Protocol):
    """Where an artifact's bytes come from."""

    name: str
    """For people, without secrets."""
    file_name: str
    size: int | None
    """In bytes; None until the source has told it."""

    def start(self) -> Generator[bytes, None, None]:
        """The bytes from the beginning; stop when there are enough."""

    def piece(self, offset: int, length: int) -> bytes | None:
        """`length` bytes from `offset` on (fewer at the end), or None if the source can't."""


@dataclass(frozen=True)
class Outline:
    """An artifact as its manifest tells it; sizes are in bytes."""

    manifest: Manifest
    first: int
    """The length of the first gzip member, which holds the manifest."""

    @property
    def size(self) -> int:
        """Of the whole file."""
        return self.first + sum(member.length for member in self.manifest.members)


@contextmanager
def open_source(where: str) -> Iterator[ByteSource]:
    """The artifact at a path or an `http(s)://` or `file://` URL, to be read in pieces.

    Raises UsageError for other URLs and for a file that can't be opened.
    """
    scheme, separator, _ = where.partition("://")
    if scheme in ("http", "https") and separator:
        import httpx

        from artifact_store.artifact.ranges import WebFile

        with httpx.Client(follow_redirects=True) as client:
            yield WebFile(where, client)
        return
    if separator and scheme != "file":
        raise UsageError(
            f"{scheme}:// can't be looked into",
            hint="give a path or an https:// URL; `fapstore url APP VERSION` prints one",
        )
    path = Path(unquote(where.removeprefix("file://")) if separator else where)
    with archive.open_artifact(path) as file:
        yield _LocalFile(path, file)


def peek(source: ByteSource) -> Outline:
    """Read the manifest, and check that the file is as long as it says.

    Raises VerificationError if it is no artifact, cut short or too long, and what the source raises.
    """
    with closing(source.start()) as chunks:
        head = _first_member(chunks)
    with tempfile.TemporaryDirectory(prefix="fapkit-") as folder:
        path = Path(folder) / (_UNSAFE.sub("_", source.file_name)[:80].lstrip(".") or "artifact")
        path.write_bytes(head)
        found = Outline(archive.read_manifest(path), len(head))
    end = 0
    for member in found.manifest.members:
        if member.offset != end or member.length <= 0:
            raise VerificationError(
                f"{source.name}: the manifest's list of gzip members has a gap", hint=_REPACK
            )
        end += member.length
    if source.size not in (None, found.size):
        raise VerificationError(
            f"{source.name} has {source.size} bytes, and its manifest says {found.size}",
            hint=_REPACK,
        )
    return found


class _LocalFile:
    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.name = str(path)
        self.file_name = path.name
        self.size: int | None = file.seek(0, io.SEEK_END)
        self._file = file

    def start(self) -> Generator[bytes, None, None]:
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK):
            yield chunk

    def piece(self, offset: int, length: int) -> bytes | None:
        self._file.seek(offset)
        return self._file.read(length)


def _first_member(chunks: Iterable[bytes]) -> bytes:
    """The bytes of the first gzip member; if it is none or has no end, enough of it to say so."""
    inflater = zlib.decompressobj(wbits=31)
    head = bytearray()
    plain = 0
    try:
        for chunk in chunks:
            head += chunk
            left = chunk
            while left and not inflater.eof and plain < _LIMIT:
                plain += len(inflater.decompress(left, _CHUNK))
                left = inflater.unconsumed_tail
            if inflater.eof or plain >= _LIMIT or len(head) >= _LIMIT:
                break
    except zlib.error:
        return bytes(head)
    return bytes(head[: len(head) - len(inflater.unused_data)])
