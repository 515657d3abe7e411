"""The storage of a store: a small, create-only interface.

Keys are relative paths with `/`; no part is empty or starts with a dot. Nothing is ever overwritten: of any
number of `create` calls on one key, at the same time or not, exactly one succeeds. Listings are sorted only
within a folder: Amazon S3 sorts whole keys, SeaweedFS 4.48 sorts folder by folder (`a/1` before `a-b/1`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO, Protocol

from artifact_store.blobs.bucket_rules import StorageSettings
from artifact_store.blobs.parts import Range
from artifact_store.core.errors import ConflictError, FapError, NotFoundError, StoreError


class CopyError(FapError):
    """Ranges of other objects could not be copied, or not with the right bytes."""


@dataclass(frozen=True)
class Blob:
    """An item of a listing."""

    key: str
    size: int
    """In bytes."""
    modified: datetime
    """When it was created, in UTC, by the storage's own clock."""


@dataclass(frozen=True)
class Unfinished:
    """A `create` that has not ended: still running, or killed. Its bytes take space, but are not visible."""

    key: str
    """The key it would create; in a folder, the name of the temporary file."""
    upload: str
    """The id of the upload, for `abort`; several uploads may have the same key."""
    size: int
    """In bytes, so far."""
    started: datetime
    """In UTC, by the storage's own clock."""


@dataclass(frozen=True)
class Link:
    """A URL for downloading without credentials. If it expires, it is a secret until then."""

    url: str
    until: datetime | None = None
    """When it expires, in UTC; None if it never does."""
    session: bool = False
    """Whether the credentials of a session signed it: it ends with that session, maybe before `until`."""


class Sink(Protocol):
    """A target for downloaded bytes, such as a file."""

    def write(self, data: bytes, /) -> object:
        """Write all of `data`."""


class Blobs(Protocol):
    """The storage. Every method may raise UnreachableError (no connection) or StoreError (refused, full)."""

    @property
    def name(self) -> str:
        """The URL of the storage, for people. Contains no secret."""

    @property
    def can_list(self) -> bool:
        """Whether `keys`, `listing`, `folders` and `unfinished` work; if not, they raise StoreError."""

    @property
    def can_write(self) -> bool:
        """Whether `create`, `delete` and `abort` work; if not, they raise StoreError."""

    @property
    def is_atomic(self) -> bool:
        """Whether `create` is known to be atomic. On S3 it is known after a request, by the server's name.

        If not, a writer whose `create` succeeded reads the key again a second later.
        """

    def in_parts(self) -> "Blobs":
        """This storage, with small files uploaded as large ones are: in parts. Only `doctor` needs this."""

    def get(self, key: str) -> bytes:
        """The bytes at `key`, at most 16 MiB.

        Raises NotFoundError if there are none, and VerificationError if there are more.
        """

    def get_each(self, keys: Iterable[str]) -> Iterator[bytes | None]:
        """The bytes at each key, in the order of `keys`; None for a key that does not exist.

        For many small objects: a storage that has to wait for each reads several at a time.
        """

    def get_to(self, key: str, file: Sink, start: int = 0) -> None:
        """Write the bytes at `key`, from offset `start` on, to `file`; NotFoundError if there are none.

        Writes nothing if `start` is at or behind the end. After a broken connection it continues with a new
        request.
        """

    def create(self, key: str, body: bytes | BinaryIO, sha256: str = "") -> None:
        """Store bytes, or the content of a seekable file, at `key`: completely and durably, or not at all.

        Raises ConflictError if the key exists, maybe from an earlier attempt of the same call whose reply was
        lost; read the key to find out. Raises VerificationError, and stores nothing, if `sha256`
        (hexadecimal) is given and does not match the bytes.
        """

    def create_with(self, key: str, file: BinaryIO, sha256: str, ranges: Sequence[Range]) -> int:
        """As `create`, but copy the bytes of `ranges` from other objects, inside the storage where it can.

        `key` must be one that no other call writes. `ranges` are in order, and none lies over another; short
        ones are sent as the rest is. Return the number of bytes that were sent.

        Raises CopyError if they can't be copied, or if that gave other bytes; wrong bytes may be at `key`
        then, so create the whole under another key.
        """

    def size(self, key: str) -> int | None:
        """The number of bytes at `key`; None if the key does not exist."""

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """All keys that start with `prefix`, which ends in `/`.

        With `after`, a key directly in that folder, only the folder's keys that sort after it, as bytes.
        """

    def listing(self, prefix: str, after: str = "") -> Iterator[Blob]:
        """As `keys`, with the size and time of each key."""

    def folders(self, prefix: str) -> Iterator[str]:
        """The names of the folders directly below `prefix` (empty, or ends in `/`) that contain keys."""

    def delete(self, key: str) -> None:
        """Delete `key` if it exists. A storage with versioning may keep the old version."""

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """The unfinished creates of keys that start with `prefix` (`<app>/`, or empty for all)."""

    def abort(self, unfinished: Unfinished) -> None:
        """Remove the bytes of an unfinished create. If it finished meanwhile, nothing happens."""

    def settings(self) -> StorageSettings:
        """The settings of the storage, as far as the credentials may read them. Reads no key of an app."""

    def link(self, key: str, expires: timedelta) -> Link:
        """A URL for downloading `key` without credentials; it works for `expires`, or forever."""


def get_or_none(blobs: Blobs, key: str) -> bytes | None:
    """The bytes at `key`; None if it does not exist."""
    try:
        return blobs.get(key)
    except NotFoundError:
        return None


def keep(blobs: Blobs, key: str, body: bytes) -> None:
    """Create `key`, or do nothing if it has the same bytes. Raises ConflictError if it has other bytes."""
    try:
        blobs.create(key, body)
    except ConflictError:
        if blobs.get(key) != body:
            raise


def has_all_keys(blobs: Blobs) -> StoreError:
    """The error for a storage that seems to have every key it is asked for."""
    return StoreError(
        f"{blobs.name} answers 200 for files that do not exist",
        hint="let the web server answer 404 for them: a front page for all paths is no store",
    )
