"""Bring bytes from a store into a file that nobody sees before they are known to be the right ones."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from artifact_store.blobs.pieces import pieces
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.errors import FapError, UsageError, VerificationError


class _Hashing:
    """The write side of a file, with the sha256 of what it holds."""

    def __init__(self, file: BinaryIO) -> None:
        """Begin with what the file holds already."""
        self.sha256 = hashlib.sha256()
        self.size = 0
        self._file = file
        for piece in pieces(file):
            self._count(piece)

    def write(self, data: bytes) -> int:
        self._count(data)
        return self._file.write(data)

    def _count(self, data: bytes) -> None:
        self.sha256.update(data)
        self.size += len(data)


def download(blobs: Blobs, key: str, digest: str, target: Path) -> None:
    """Write the bytes at `key` to `target`, if their sha256 is `digest` (hexadecimal).

    They go to `.<name>.<digest>.part` beside it, which is renamed at the end. What it has of a download that
    was cut or killed is not fetched again; of two downloads at once, one waits for the other. A `target` that
    is there and has these bytes is left alone. Raises UsageError if it has others, VerificationError if
    the store's bytes are wrong, FapError if the file can't be written.
    """
    try:
        if target.exists():
            _check_same(target, digest)
            return
        part = target.with_name(f".{target.name}.{digest[:16]}.part")
        with _held(part) as file:
            if target.exists():
                file.truncate(0)
                _check_same(target, digest)
            else:
                _fill(file, blobs, key, digest)
                part.rename(target)
    except OSError as error:
        raise FapError(
            f"{target} can't be written: {error.strerror}", hint="choose another place with -o"
        ) from error


@contextmanager
def _held(part: Path) -> Iterator[BinaryIO]:
    """The file at `part`, open and locked; one that is empty at the end is removed."""
    file = part.open("a+b")
    fcntl.flock(file, fcntl.LOCK_EX)
    while not _is_at(file, part):  # who held it has finished it
        file.close()
        file = part.open("a+b")
        fcntl.flock(file, fcntl.LOCK_EX)
    with file:
        try:
            yield file
        finally:
            file.flush()
            if _is_at(file, part) and not os.fstat(file.fileno()).st_size:
                part.unlink()


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _fill(file: BinaryIO, blobs: Blobs, key: str, digest: str) -> None:
    """Fetch what the file lacks; if it has other bytes then, empty it and fetch all, once."""
    received = _Hashing(file)
    begun = received.size
    try:
        blobs.get_to(key, received, begun)
        file.flush()
    except OSError:
        file.truncate(0)  # the disk may be full of it
        raise
    if received.sha256.hexdigest() == digest:
        os.fsync(file.fileno())
        return
    file.truncate(0)
    if begun:
        _fill(file, blobs, key, digest)
        return
    raise VerificationError(
        f"{blobs.name}: the bytes of {key} have sha256 {received.sha256.hexdigest()}",
        hint="fetch again; if it stays so, pack and push a new version",
    )


def _check_same(target: Path, digest: str) -> None:
    with target.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise UsageError(f"{target} is there and has other bytes", hint="choose another name with -o")
