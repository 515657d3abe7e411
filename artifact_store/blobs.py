"""What a store needs of the place that keeps its bytes: small and create-only.

Keys are relative paths with `/`; no part of one is empty or starts with a dot. Nothing is overwritten:
of any number of `create` on one key, at the same time or not, one succeeds. Listings are sorted within a
folder only: Amazon S3 sorts whole keys, SeaweedFS 4.48 sorts folder by folder (`a/1` before `a-b/1`).
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from artifact_store.errors import UsageError

_HINT = "use s3://bucket/prefix, file:///dir or https://host/path, in --store or FAP_STORE"


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


def open_blobs(url: str) -> Blobs:
    """The place `url` names: `s3://bucket/prefix`, `file:///dir`, a plain path, `https://` (read-only).

    Connects to nothing yet. Raises UsageError for other URLs and for URLs with a password or a query.
    """
    if not url:
        raise UsageError("no store is named", hint=_HINT)
    if "://" not in url:
        from artifact_store.folder import FolderBlobs

        return FolderBlobs(Path(url).absolute())
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise UsageError(f"the store's URL can't be read: {error}", hint=_HINT) from error
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            f"a store's URL has no user, password or query: {parts.scheme}://{host or ''}{parts.path}",
            hint="credentials for S3 come from the usual AWS variables and files",
        )
    if parts.scheme == "file":
        if host not in (None, "localhost"):
            raise UsageError(
                f"{url}: a folder's URL has three slashes", hint=f"did you mean file:///{host}{parts.path}?"
            )
        from artifact_store.folder import FolderBlobs

        return FolderBlobs(Path(unquote(parts.path or "/")))
    if parts.scheme == "s3" and parts.netloc:
        try:
            from artifact_store.s3 import S3Blobs
        except ModuleNotFoundError as error:
            raise UsageError(
                f"{url} needs {error.name}, which is not installed", hint="pip install 'fapkit[s3]'"
            ) from error
        return S3Blobs(parts.netloc, parts.path.strip("/"))
    if parts.scheme in ("http", "https") and host:
        from artifact_store.web import WebBlobs

        return WebBlobs(url.rstrip("/"))
    raise UsageError(f"{url!r} names no kind of store", hint=_HINT)
