"""Blobs behind a web server, read-only: what a folder or bucket looks like from outside, by HTTP GET."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import BinaryIO
from urllib.parse import quote

import httpx

from artifact_store.blobs.bucket_rules import StorageSettings
from artifact_store.blobs.pieces import CutError, resumed
from artifact_store.blobs.protocol import Blob, Link, Sink, Unfinished
from artifact_store.core.errors import NotFoundError, StoreError, UnreachableError

_TIMEOUT = httpx.Timeout(30, connect=10)
# a server that compressed the bytes once more would change their digest
_HEADERS = {"Accept-Encoding": "identity"}


class WebBlobs:
    """Blobs at `https://host/path/<key>`. A 404 is "not there"; a 403 is an error, never "not there"."""

    can_list = False
    can_write = False

    def __init__(self, url: str) -> None:
        self.name = url
        self._client = httpx.Client(timeout=_TIMEOUT, headers=_HEADERS, follow_redirects=True)

    def get(self, key: str) -> bytes:
        """See Blobs."""
        return b"".join(resumed(partial(self._read, key)))

    def get_to(self, key: str, file: Sink, start: int = 0) -> None:
        """See Blobs. Every request is for the store's own URL: a presigned one it leads to may expire."""
        for piece in resumed(partial(self._read, key), start):
            file.write(piece)

    def create(self, key: str, body: bytes | BinaryIO, sha256: str = "") -> None:
        """A web server is read-only: raises StoreError."""
        raise self._no_write()

    def size(self, key: str) -> int | None:
        """See Blobs."""
        try:
            with self._response("HEAD", key) as response:
                return int(response.headers.get("Content-Length", 0))
        except NotFoundError:
            return None

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """A web server lists nothing: raises StoreError."""
        raise self._no_list()

    def folders(self, prefix: str) -> Iterator[str]:
        """A web server lists nothing: raises StoreError."""
        raise self._no_list()

    def listing(self, prefix: str, after: str = "") -> Iterator[Blob]:
        """A web server lists nothing: raises StoreError."""
        raise self._no_list()

    def delete(self, key: str) -> None:
        """A web server is read-only: raises StoreError."""
        raise self._no_write()

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """A web server lists nothing: raises StoreError."""
        raise self._no_list()

    def abort(self, unfinished: Unfinished) -> None:
        """A web server is read-only: raises StoreError."""
        raise self._no_write()

    def settings(self) -> StorageSettings:
        """See Blobs. A web server tells nothing."""
        return StorageSettings()

    def link(self, key: str, expires: timedelta) -> Link:
        """See Blobs. It doesn't end."""
        return Link(self._url(key))

    def _url(self, key: str) -> str:
        return f"{self.name}/{quote(key)}"

    def _read(self, key: str, start: int) -> Iterator[bytes]:
        """The bytes from offset `start` on; raise CutError if the connection ends among them."""
        with self._response("GET", key, start) as response:
            if response.status_code == 416:
                return
            # a server that knows no ranges begins at the start
            unwanted = start if response.status_code == 200 else 0
            try:
                for piece in response.iter_raw():
                    if len(piece) > unwanted:
                        yield piece[unwanted:]
                    unwanted = max(0, unwanted - len(piece))
            except httpx.TransportError as error:
                raise CutError(
                    f"{response.url.host}: {error}", hint="check the network, then run it again"
                ) from error

    def _no_write(self) -> StoreError:
        return StoreError(
            f"{self.name} is read-only", hint="use the s3:// or file:// store behind it to change anything"
        )

    def _no_list(self) -> StoreError:
        return StoreError(
            f"{self.name} can't be listed",
            hint="name the version, or use the s3:// or file:// store behind it",
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
            raise StoreError(f"{url}: {error}", hint="is this the URL of a store?") from error

    def _check(self, response: httpx.Response, url: str) -> None:
        status = response.status_code
        if status in (404, 410):
            raise NotFoundError(f"{url} is not there", hint="check the store's URL")
        if status in (401, 403):
            raise StoreError(
                f"{url}: the server answers {status}, which may hide a missing file",
                hint="make it readable; on S3 allow s3:ListBucket too: then a missing file is a 404",
            )
        if not response.is_success and status != 416:
            raise StoreError(f"{url}: the server answers {status} {response.reason_phrase}", hint="try again")
