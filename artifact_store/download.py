"""Bring bytes from a store into a file that nobody sees before they are known to be the right ones."""

import hashlib
import os
import secrets
from pathlib import Path
from typing import BinaryIO

from artifact_store.blobs import Blobs
from artifact_store.errors import FapError, UsageError, VerificationError


class _Hashing:
    """The write side of a file, with the sha256 of what went through."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        return self._file.write(data)


def download(blobs: Blobs, key: str, digest: str, target: Path) -> None:
    """Write the bytes at `key` to `target`, if their sha256 is `digest` (hexadecimal).

    They go to a temporary file beside it, which is renamed at the end. A `target` that is there and has
    these bytes is left alone. Raises UsageError if it has others, VerificationError if the store's bytes
    are wrong, FapError if the file can't be written.
    """
    try:
        if target.exists():
            _check_same(target, digest)
            return
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        try:
            with part.open("xb") as file:
                received = _Hashing(file)
                blobs.get_to(key, received)
                file.flush()
                os.fsync(file.fileno())
            if received.sha256.hexdigest() != digest:
                raise VerificationError(
                    f"{blobs.name}: the bytes of {key} have sha256 {received.sha256.hexdigest()}",
                    hint="fetch again; if it stays so, pack and push a new version",
                )
            part.rename(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise FapError(
            f"{target} can't be written: {error.strerror}", hint="choose another place with -o"
        ) from error


def _check_same(target: Path, digest: str) -> None:
    with target.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise UsageError(f"{target} is there and has other bytes", hint="choose another name with -o")
