"""The text of a file: also in UTF-16, in compressed files and in archives."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

LARGEST = 8 * 1024 * 1024
"""In bytes, unpacked. Larger files are data, and are not searched."""
_START = 8192
_DEPTH = 2
"""A compressed archive, but not an archive in it."""
_COMPRESSED: dict[bytes, Callable[[io.BytesIO], io.BufferedIOBase]] = {
    b"\x1f\x8b": lambda data: gzip.GzipFile(fileobj=data),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}
_ZIP, _TAR = b"PK\x03\x04", b"ustar"
_MARKS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_BROKEN = (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


def texts(place: Path) -> Iterator[str]:
    """Yield the text of a file, or of the files in it. Binary and huge files have none."""
    with place.open("rb") as file:
        start = file.read(_START)
        if _kind(start) == "binary":
            return
        data = start + file.read(LARGEST)
    yield from _texts(data, _DEPTH)


def _texts(data: bytes, depth: int) -> Iterator[str]:
    kind = _kind(data[:_START])
    if len(data) > LARGEST or kind == "binary":
        return
    if kind != "packed":
        yield data.decode(kind, "replace")
    elif depth:
        try:
            for content in _unpacked(data):
                yield from _texts(content, depth - 1)
        except (*_BROKEN, tarfile.TarError):
            return


def _kind(start: bytes) -> str:
    """The encoding of a text that begins so; or `packed`, or `binary`."""
    if start.startswith((*_COMPRESSED, _ZIP)) or start[257:262] == _TAR:
        return "packed"
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    if b"\0" not in start:
        return "utf-8"
    # Western text in UTF-16 has a NUL in every other byte.
    for encoding, offset in (("utf-16-le", 1), ("utf-16-be", 0)):
        high = start[offset::2]
        if high.count(0) * 10 > len(high) * 9 and 0 not in start[1 - offset :: 2]:
            return encoding
    return "binary"


def _unpacked(data: bytes) -> Iterator[bytes]:
    """Yield what a compressed file holds, or the files of an archive, up to `LARGEST` bytes of all."""
    left = LARGEST
    for magic, opener in _COMPRESSED.items():
        if data.startswith(magic):
            with opener(io.BytesIO(data)) as stream:
                yield stream.read(LARGEST + 1)
            return
    if data.startswith(_ZIP):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                if (left := left - entry.file_size) < 0:
                    return
                yield archive.read(entry)
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            if (left := left - member.size) < 0:
                return
            if content := tar.extractfile(member):
                yield content.read()
