"""What a store needs of the place that keeps its bytes: small and create-only.

Keys are relative paths with `/`; no part of one is empty or starts with a dot. Nothing is overwritten:
of any number of `create` on one key, at the same time or not, one succeeds. Listings are sorted within a
folder only: Amazon S3 sorts whole keys, SeaweedFS 4.48 sorts folder by folder (`a/1` before `a-b/1`).
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import BinaryIO, Protocol


class Sink(Protocol):
    """Where downloaded bytes go: a file, say."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""


class Blobs(Protocol):
    """Every method may raise UnreachableError (no connection) or StoreError (refused, broken, full)."""

    @property
    def name(self) -> str:
        """The URL of the place, for people; holds no secret."""

    @property
    def can_list(self) -> bool:
        """Whether `keys` and `folders` work; if not, they raise StoreError."""

    @property
    def can_write(self) -> bool:
        """Whether `create` works; if not, it raises StoreError."""

    def get(self, key: str) -> bytes:
        """The bytes at `key`; raise NotFoundError if there are none."""

    def get_to(self, key: str, file: Sink) -> None:
        """Write the bytes at `key` to `file`, in pieces; raise NotFoundError if there are none."""

    def create(self, key: str, body: bytes | BinaryIO) -> None:
        """Put the bytes, or the whole of an open seekable file, at `key`: wholly, durably, or not at all.

        Raises ConflictError if the key is taken, maybe by an earlier try of this very call whose reply
        was lost: who cares reads back.
        """

    def size(self, key: str) -> int | None:
        """How many bytes are at `key`; None if the key is not there."""

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """All keys that start with `prefix`, which ends in `/`.

        With `after`, a key right in that folder, only the folder's keys that sort behind it, as bytes sort.
        """

    def folders(self, prefix: str) -> Iterator[str]:
        """The names (first parts) below `prefix` (empty, or ends in `/`) that have keys below them."""

    def url(self, key: str, expires: timedelta) -> str:
        """A URL to download `key` from, without more credentials, for at least `expires` if it expires."""
