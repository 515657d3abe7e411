"""Blobs on a web server, read-only: a folder or bucket behind an HTTP server."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import BinaryIO
from urllib.parse import quote

import httpx

from artifact_store.blobs.bucket_rules import StorageSettings
from artifact_store.blobs.parts import Range
from artifact_store.blobs.pieces import CutError, resumed, whole
from artifact_store.blobs.protocol import Blob, Link, Sink, Unfinished, get_or_none
from artifact_store.core.errors import NotFoundError, StoreError, UnreachableError

_THREADS = 8
_TIMEOUT = httpx.Timeout(30, connect=10)
# a server that compresses the bytes again would change their digest
_HEADERS = {"Accept-Encoding": "identity"}


class WebBlobs:
    """Blobs at `https://host/path/<key>`. A 404 means that a key does not exist; a 403 is an error."""

    can_list = False
    can_write = False
    is_atomic = False

    def __init__(self, url: str) -> None:
        self.name = url
        self._client = httpx.Client(timeout=_TIMEOUT, headers=_HEADERS, follow_redirects=True)

    def in_parts(self) -> "WebBlobs":
        """See Blobs. Nothing is uploaded here."""
        return self

    def get(self, key: str) -> bytes:
        """See Blobs."""
        return whole(resumed(partial(self._read, key)), key)

    def get_each(self, keys: Iterable[str]) -> Iterator[bytes | None]:
        """See Blobs."""
        with ThreadPoolExecutor(_THREADS) as pool:
            yield from pool.map(partial(get_or_none, self), keys)

    def get_to(self, key: str, file: Sink, start: int = 0) -> None:
        """See Blobs. Each request uses the store's own URL, since a presigned redirect may expire."""
        for piece in resumed(partial(self._read, key), start):
            file.write(piece)

    def create(self, key: str, body: bytes | BinaryIO, sha256: str = "") -> None:
        """A web server is read-only: raises StoreError."""
        raise self._no_write()

    def create_with(self, key: str, file: BinaryIO, sha256: str, ranges: Sequence[Range]) -> int:
        """A web server is read-only: raises StoreError."""
        raise self._no_write()

    def size(self, key: str) -> int | None:
        """See Blobs. A server that refuses HEAD is asked with GET, and only the header is read."""
        try:
            try:
                return self._length("HEAD", key)
            except NotFoundError:
                raise
            except StoreError:
                return self._length("GET", key)
        except NotFoundError:
            return None

    def _length(self, method: str, key: str) -> int:
        with self._response(method, key) as response:
            return int(response.headers.get("Content-Length", 0))

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """A web server can't be listed: raises StoreError."""
        raise self._no_list()

    def folders(self, prefix: str) -> Iterator[str]:
        """A web server can't be listed: raises StoreError."""
        raise self._no_list()

    def listing(self, prefix: str, after: str = "") -> Iterator[Blob]:
        """A web server can't be listed: raises StoreError."""
        raise self._no_list()

    def delete(self, key: str) -> None:
        """A web server is read-only: raises StoreError."""
        raise self._no_write()

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """A web server can't be listed: raises StoreError."""
        raise self._no_list()

    def abort(self, unfinished: Unfinished) -> None:
        """A web server is read-only: raises StoreError."""
        raise self._no_write()

    def settings(self) -> StorageSettings:
        """See Blobs. The settings of a web server are unknown."""
        return StorageSettings()

    def link(self, key: str, expires: timedelta) -> Link:
        """See Blobs. The URL never expires."""
        return Link(self._url(key))

    def _url(self, key: str) -> str:
        return f"{self.name}/{quote(key)}"

    def _read(self, key: str, start: int) -> Iterator[bytes]:
        """The bytes from offset `start` on. Raises CutError if the connection breaks."""
        with self._response("GET", key, start) as response:
            if response.status_code == 416:
                return
            # a server without range support sends everything
            skip = start if response.status_code == 200 else 0
            try:
                for piece in response.iter_raw():
                    if len(piece) > skip:
                        yield piece[skip:]
                    skip = max(0, skip - len(piece))
            except httpx.TransportError as error:
                raise CutError(
                    f"{response.url.host}: {error}", hint="check the network, then run it again"
                ) from error

    def _no_write(self) -> StoreError:
        return StoreError(f"{self.name} is read-only", hint="to change it, use its s3:// or file:// URL")

    def _no_list(self) -> StoreError:
        return StoreError(
            f"{self.name} can't be listed",
            hint="give a version, or use its s3:// or file:// URL",
        )

    @contextmanager
    def _response(self, method: str, key: str, start: int = 0) -> Iterator[httpx.Response]:
        url = self._url(key)
        headers = {"Range": f"bytes={start}-"} if start else {}
        try:
            with self._client.stream(method, url, headers=headers) as response:
                self._check(response, url)
                yield response
        except httpx.TransportError as error:
            raise UnreachableError(
                f"{url}: {error}", hint="check the network and the host's name, then run it again"
            ) from error
        except httpx.HTTPError as error:
            raise StoreError(f"{url}: {error}", hint="check that this is the URL of a store") from error

    def _check(self, response: httpx.Response, url: str) -> None:
        status = response.status_code
        if status in (404, 410):
            raise NotFoundError(f"{url} does not exist", hint="check the store's URL")
        if status in (401, 403):
            raise StoreError(
                f"{url}: the server responds with {status}, maybe because the file is missing",
                hint="make it readable; on S3 also allow s3:ListBucket, then a missing file is a 404",
            )
        if not response.is_success and status != 416:
            raise StoreError(
                f"{url}: the server responds with {status} {response.reason_phrase}", hint="try again"
            )
