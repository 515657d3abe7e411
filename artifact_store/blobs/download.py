"""Download bytes into a file that appears only after its sha256 was checked."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from artifact_store.blobs.pieces import pieces
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.errors import FapError, UsageError, VerificationError


class _Hashing:
    """A file to append to, with the sha256 and size of its content."""

    def __init__(self, file: BinaryIO) -> None:
        """Start with the present content of the file."""
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


def download(
    blobs: Blobs,
    key: str,
    digest: str,
    target: Path,
    begin: Callable[[BinaryIO], object] = lambda _: None,
) -> None:
    """Download the bytes at `key`, whose sha256 must be `digest` (hexadecimal), to `target`.

    They are written to `.<name>.<digest>.part` beside it, which is renamed at the end. A later call continues
    an interrupted download; a new one may `begin` with bytes from elsewhere. Of two downloads at the same
    time, one waits for the other. An existing `target` with these bytes is not changed. Raises UsageError if
    it has other bytes, VerificationError if the store has other bytes, and FapError if the file can't be
    written.
    """
    try:
        if target.exists():
            _check_same(target, digest)
            return
        part = target.with_name(f".{target.name}.{digest[:16]}.part")
        with _locked(part) as file:
            if target.exists():
                file.truncate(0)
                _check_same(target, digest)
            else:
                if not os.fstat(file.fileno()).st_size:
                    _begin(file, begin)
                _fill(file, blobs, key, digest)
                part.rename(target)
    except OSError as error:
        raise FapError(
            f"{target} can't be written: {error.strerror}", hint="choose another folder or file with -o"
        ) from error


@contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """Open and lock the file at `part`; remove it at the end if it is empty."""
    file = _open(part)
    fcntl.flock(file, fcntl.LOCK_EX)
    while not _is_at(file, part):  # the previous owner of the lock finished or removed it
        file.close()
        file = _open(part)
        fcntl.flock(file, fcntl.LOCK_EX)
    with file:
        try:
            yield file
        finally:
            file.flush()
            if _is_at(file, part) and not os.fstat(file.fileno()).st_size:
                part.unlink()


def _open(part: Path) -> BinaryIO:
    """Open the file for reading and appending. Nobody else may write to it, whatever the umask."""
    return os.fdopen(os.open(part, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644), "a+b")


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _fill(file: BinaryIO, blobs: Blobs, key: str, digest: str) -> None:
    """Download the rest of the file. If the sha256 is wrong then, download everything again, once."""
    received = _Hashing(file)
    start = received.size
    try:
        blobs.get_to(key, received, start)
        file.flush()
    except OSError:
        file.truncate(0)  # it may have filled the disk
        raise
    if received.sha256.hexdigest() == digest:
        os.fsync(file.fileno())
        return
    file.truncate(0)
    if start:
        _fill(file, blobs, key, digest)
        return
    raise VerificationError(
        f"{blobs.name}: the bytes of {key} have the wrong sha256 {received.sha256.hexdigest()}",
        hint="download it again; if that does not help, pack and push a new version",
    )


def _begin(file: BinaryIO, begin: Callable[[BinaryIO], object]) -> None:
    """Begin with bytes from elsewhere; if that fails, everything is downloaded."""
    try:
        begin(file)
        file.flush()
    except FapError:
        file.truncate(0)


def _check_same(target: Path, digest: str) -> None:
    with target.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise UsageError(f"{target} exists with other content", hint="choose another name with -o")
