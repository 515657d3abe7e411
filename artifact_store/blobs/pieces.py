"""Bytes on their way: read piece by piece, hashed as they go by, and read on where a connection broke."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from artifact_store.core.errors import UnreachableError, VerificationError

_CUTS = 5


class CutError(UnreachableError):
    """The connection ended before the bytes did."""


def resumed(read: Callable[[int], Iterator[bytes]], start: int = 0) -> Iterator[bytes]:
    """The pieces that `read(start)` gives; where it raises CutError, on from there.

    Raises CutError if it happens five times without a byte in between.
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
    """`body`, or the whole of an open seekable file, in pieces of `length` bytes, the last one shorter."""
    if isinstance(body, bytes):
        yield body
        return
    body.seek(0)
    while piece := body.read(length):
        yield piece


def checked(passing: Iterable[bytes], sha256: str, key: str) -> Iterator[bytes]:
    """Pass bytes on, then raise VerificationError if `sha256` (hexadecimal, or empty) is not theirs."""
    digest = hashlib.sha256()
    for piece in passing:
        if sha256:
            digest.update(piece)
        yield piece
    if sha256 and digest.hexdigest() != sha256:
        raise VerificationError(
            f"{key}: the file was changed while it was stored",
            hint="let nothing write to it, and run it again",
        )
