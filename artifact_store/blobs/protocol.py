"""What a store needs of the place that keeps its bytes: small and create-only.

Keys are relative paths with `/`; no part of one is empty or starts with a dot. Nothing is overwritten:
of any number of `create` on one key, at the same time or not, one succeeds. Listings are sorted within a
folder only: Amazon S3 sorts whole keys, SeaweedFS 4.48 sorts folder by folder (`a/1` before `a-b/1`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO, Protocol

from artifact_store.blobs.bucket_rules import StorageSettings
from artifact_store.core.errors import ConflictError


@dataclass(frozen=True)
class Blob:
    """What a listing tells of the bytes at a key."""

    key: str
    size: int
    """In bytes."""
    modified: datetime
    """When they were put there, in UTC, by the place's own clock."""


@dataclass(frozen=True)
class Unfinished:
    """A `create` that has not ended: under way now, or killed. Its bytes take room; nobody sees them."""

    key: str
    """Where the bytes would have gone; in a folder, the name of the temporary file."""
    upload: str
    """Tells it from others of the same key, for `abort`."""
    size: int
    """In bytes, so far."""
    started: datetime
    """In UTC, by the place's own clock."""


@dataclass(frozen=True)
class Link:
    """A URL to download from without more credentials; if it ends, it is a secret until then."""

    url: str
    until: datetime | None = None
    """When it ends, in UTC, as far as is known; None if it doesn't."""
    session: bool = False
    """Signed with credentials of a session that may end before `until`, nobody here knows when."""


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
        """Whether `keys`, `listing`, `folders` and `unfinished` work; if not, they raise StoreError."""

    @property
    def can_write(self) -> bool:
        """Whether `create`, `delete` and `abort` work; if not, they raise StoreError."""

    def get(self, key: str) -> bytes:
        """The bytes at `key`; raise NotFoundError if there are none."""

    def get_to(self, key: str, file: Sink, start: int = 0) -> None:
        """Write the bytes at `key`, from offset `start` on, to `file`; raise NotFoundError if there are none.

        Nothing is behind the end. Where a connection breaks, it goes on from there with a new request.
        """

    def create(self, key: str, body: bytes | BinaryIO, sha256: str = "") -> None:
        """Put the bytes, or the whole of an open seekable file, at `key`: wholly, durably, or not at all.

        Raises ConflictError if the key is taken, maybe by an earlier try of this very call whose reply
        was lost: who cares reads back. Raises VerificationError, and stores nothing, if `sha256`
        (hexadecimal) is given and is not that of the bytes that were read.
        """

    def size(self, key: str) -> int | None:
        """How many bytes are at `key`; None if the key is not there."""

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """All keys that start with `prefix`, which ends in `/`.

        With `after`, a key right in that folder, only the folder's keys that sort behind it, as bytes sort.
        """

    def listing(self, prefix: str, after: str = "") -> Iterator[Blob]:
        """As `keys`, with what is told of each key."""

    def folders(self, prefix: str) -> Iterator[str]:
        """The names (first parts) below `prefix` (empty, or ends in `/`) that have keys below them."""

    def delete(self, key: str) -> None:
        """Remove the bytes at `key`, if there are any; a place that keeps old versions may keep them."""

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """Creates of keys that start with `prefix` (`<app>/`, or empty for all) that have not ended."""

    def abort(self, unfinished: Unfinished) -> None:
        """Remove what an unfinished create left; one that ended meanwhile is no error and loses nothing."""

    def settings(self) -> StorageSettings:
        """How the place is set up, as far as its credentials may know; looks at no key of an app."""

    def link(self, key: str, expires: timedelta) -> Link:
        """A way to download `key` without more credentials, for `expires` if it ends at all."""


def keep(blobs: Blobs, key: str, body: bytes) -> None:
    """Create; the same bytes there already are no error, others are (ConflictError)."""
    try:
        blobs.create(key, body)
    except ConflictError:
        if blobs.get(key) != body:
            raise
