"""Blobs in memory, for tests of everything that uses blobs."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import BinaryIO

from artifact_store.blobs.bucket_rules import StorageSettings
from artifact_store.blobs.parts import Range
from artifact_store.blobs.pieces import checked, pieces
from artifact_store.blobs.protocol import Blob, CopyError, Link, Sink, Unfinished, get_or_none
from artifact_store.core.errors import ConflictError, NotFoundError


class MemoryBlobs:
    """Blobs in the memory of one process."""

    name = "memory"
    can_list = True
    can_write = True
    is_atomic = True

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._modified: dict[str, datetime] = {}
        self._lock = Lock()

    def in_parts(self) -> "MemoryBlobs":
        """See Blobs. In memory there are no parts."""
        return self

    def get(self, key: str) -> bytes:
        """See Blobs."""
        try:
            return self._blobs[key]
        except KeyError:
            raise NotFoundError(f"{key} does not exist in {self.name}") from None

    def get_each(self, keys: Iterable[str]) -> Iterator[bytes | None]:
        """See Blobs."""
        return (get_or_none(self, key) for key in keys)

    def get_to(self, key: str, file: Sink, start: int = 0) -> None:
        """See Blobs."""
        file.write(self.get(key)[start:])

    def create(self, key: str, body: bytes | BinaryIO, sha256: str = "") -> None:
        """See Blobs."""
        content = b"".join(checked(pieces(body), sha256, key))
        with self._lock:
            if key in self._blobs:
                raise ConflictError(f"{key} already exists in {self.name}")
            self._blobs[key] = content
            self._modified[key] = datetime.now(UTC)

    def create_with(self, key: str, file: BinaryIO, sha256: str, ranges: Sequence[Range]) -> int:
        """See Blobs."""
        file.seek(0)
        content = bytearray(file.read())
        for one in ranges:
            content[one.start : one.end] = self._blobs.get(one.key, b"")[one.offset :][: one.length]
        if hashlib.sha256(content).hexdigest() != sha256:
            raise CopyError("the copied ranges have other bytes")
        self.create(key, bytes(content))
        return len(content) - sum(one.length for one in ranges)

    def size(self, key: str) -> int | None:
        """See Blobs."""
        return len(self._blobs[key]) if key in self._blobs else None

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """See Blobs."""
        yield from sorted(key for key in tuple(self._blobs) if key.startswith(prefix) and key > after)

    def listing(self, prefix: str, after: str = "") -> Iterator[Blob]:
        """See Blobs."""
        for key in self.keys(prefix, after):
            with self._lock:  # another thread may have deleted it
                found = Blob(key, len(self._blobs[key]), self._modified[key]) if key in self._blobs else None
            if found:
                yield found

    def folders(self, prefix: str) -> Iterator[str]:
        """See Blobs."""
        below = (key.removeprefix(prefix) for key in self.keys(prefix))
        yield from sorted({key.split("/")[0] for key in below if "/" in key})

    def delete(self, key: str) -> None:
        """See Blobs."""
        with self._lock:
            self._blobs.pop(key, None)

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """See Blobs. In memory nothing is unfinished."""
        yield from ()

    def abort(self, unfinished: Unfinished) -> None:
        """See Blobs."""

    def settings(self) -> StorageSettings:
        """See Blobs."""
        return StorageSettings(open_to_all=False)

    def link(self, key: str, expires: timedelta) -> Link:
        """See Blobs."""
        return Link(f"memory:{key}")
