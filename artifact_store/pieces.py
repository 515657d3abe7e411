"""Bytes on their way: read piece by piece, and hashed as they go by."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from artifact_store.errors import VerificationError


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
