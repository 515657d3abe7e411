"""Read bytes in pieces: with a checksum, and continuing after broken connections."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from artifact_store.core.errors import UnreachableError, VerificationError

_CUTS = 5


class CutError(UnreachableError):
    """The connection ended before all bytes were received."""


def resumed(read: Callable[[int], Iterator[bytes]], start: int = 0) -> Iterator[bytes]:
    """The pieces that `read(start)` yields; after a CutError it reads on from the last byte.

    Raises CutError if that happens five times without a byte in between.
    """
    cuts = 0
    while True:
        try:
            for piece in read(start):
                start += len(piece)
                cuts = 0
                yield piece
        except CutError:
            cuts += 1
            if cuts == _CUTS:
                raise
            time.sleep(0.1 * 2**cuts)
        else:
            return


def pieces(body: bytes | BinaryIO, length: int = 1 << 20) -> Iterator[bytes]:
    """The content of `body` in pieces of `length` bytes, the last one shorter; bytes are one piece."""
    if isinstance(body, bytes):
        yield body
        return
    body.seek(0)
    while piece := body.read(length):
        yield piece


LARGEST = 16 << 20
"""The most bytes of an object that is read whole: entries, records and signatures have a few thousand."""


def whole(source: Iterable[bytes], key: str) -> bytes:
    """Join the pieces of a small object. Raises VerificationError as soon as they are more than LARGEST."""
    read: list[bytes] = []
    size = 0
    for piece in source:
        read.append(piece)
        size += len(piece)
        if size > LARGEST:
            raise VerificationError(
                f"{key} has more than {LARGEST >> 20} MiB, so it is no entry, record or signature",
                hint="was it written by fapstore? find out who can write to the store",
            )
    return b"".join(read)


def checked(source: Iterable[bytes], sha256: str, key: str) -> Iterator[bytes]:
    """Pass pieces on, then raise VerificationError if their sha256 is not `sha256` (empty: not checked)."""
    digest = hashlib.sha256()
    for piece in source:
        if sha256:
            digest.update(piece)
        yield piece
    if sha256 and digest.hexdigest() != sha256:
        raise changed(key)


def changed(key: str) -> VerificationError:
    """The error for a file whose bytes are others than before."""
    return VerificationError(
        f"{key}: the file changed while it was stored",
        hint="make sure nothing writes to the file, then run it again",
    )
