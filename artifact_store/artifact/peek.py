"""Read only the manifest of an artifact, from a file or a URL."""

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
"""The most bytes of a first gzip member that are read, compressed or not; the same as in `archive`."""
_REPACK = "fetch it again, or pack it again with `fapbuild pack`"
_UNSAFE = re.compile(r"[^A-Za-z0-9._+ -]")


class ByteSource(Protocol):
    """The bytes of an artifact, which can be read in pieces."""

    name: str
    """Its path or URL for people, without secrets."""
    file_name: str
    size: int | None
    """In bytes; None while the source does not know it."""

    def start(self) -> Generator[bytes, None, None]:
        """Yield the bytes from the beginning; the reader stops when it has enough."""

    def piece(self, offset: int, length: int) -> bytes | None:
        """Return `length` bytes from `offset` on (fewer at the end), or None if the source can't do that."""


@dataclass(frozen=True)
class Outline:
    """The manifest of an artifact, and sizes in bytes."""

    manifest: Manifest
    first: int
    """The length of the first gzip member, which contains the manifest."""
    root: str
    """As `archive.root_of` returns it."""

    @property
    def size(self) -> int:
        """The size of the whole file."""
        return self.first + self.manifest.offsets[-1]


@contextmanager
def open_source(where: str) -> Iterator[ByteSource]:
    """Open the artifact at a path, an `http(s)://` URL or a `file://` URL.

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
            f"{scheme}:// URLs can't be read",
            hint="give a path or an https:// URL; get one with: fapstore url APP VERSION",
        )
    path = Path(unquote(where.removeprefix("file://")) if separator else where)
    with archive.open_artifact(path) as file:
        yield _LocalFile(path, file)


def peek(source: ByteSource) -> Outline:
    """Read the manifest, and check that the file has the size that the manifest states.

    Raises VerificationError if it is not an artifact, or too short or too long, and what the source raises.
    """
    with closing(source.start()) as chunks:
        head = _first_member(chunks)
    with tempfile.TemporaryDirectory(prefix="fapkit-") as folder:
        path = Path(folder) / (_UNSAFE.sub("_", source.file_name)[:80].lstrip(".") or "artifact")
        path.write_bytes(head)
        manifest = archive.read_manifest(path)
    outline = Outline(manifest, len(head), archive.root_of(head, manifest))
    if source.size not in (None, outline.size):
        raise VerificationError(
            f"{source.name} has {source.size} bytes, but its manifest says {outline.size}",
            hint=_REPACK,
        )
    return outline


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
    """The bytes of the first gzip member; if there is none, or it has no end, enough bytes to show that."""
    inflater = zlib.decompressobj(wbits=31)
    head = bytearray()
    plain = 0
    try:
        for chunk in chunks:
            head += chunk
            rest = chunk
            while rest and not inflater.eof and plain < _LIMIT:
                plain += len(inflater.decompress(rest, _CHUNK))
                rest = inflater.unconsumed_tail
            if inflater.eof or plain >= _LIMIT or len(head) >= _LIMIT:
                break
    except zlib.error:
        return bytes(head)
    return bytes(head[: len(head) - len(inflater.unused_data)])
