"""Read pieces of a file from a web server, with HTTP range requests (RFC 9110, section 14)."""

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from urllib.parse import unquote

import httpx

from artifact_store.core.errors import FapError, NotFoundError, StoreError, UnreachableError
from artifact_store.core.urls import redact_url

_FIRST = 32 << 10
_LARGEST = 4 << 20
_CHUNK = 16 << 10
_TIMEOUT = httpx.Timeout(30, connect=10)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")
_NEW_URL = "check the URL; a presigned URL expires: get a new one with `fapstore url APP VERSION`"


class WebFile:
    """The file at an `http://` or `https://` URL. `size`, in bytes, is known after the first response.

    Its methods raise UnreachableError if there is no connection, NotFoundError if the file does not exist,
    and StoreError for any other unexpected response.
    """

    def __init__(self, url: str, client: httpx.Client) -> None:
        self.name = redact_url(url)
        self.file_name = unquote(self.name.rpartition("/")[2])
        self.size: int | None = None
        self._url = url
        self._client = client
        self._has_ranges = True

    def start(self) -> Generator[bytes, None, None]:
        """Yield the file from its beginning, until the reader stops.

        The file is requested in ranges of doubling length. A server without range support sends it as one
        stream, which is cut when the reader stops.
        """
        at, length = 0, _FIRST
        while self.size is None or at < self.size:
            with self._range(at, length) as response:
                if response.status_code == 416:
                    return
                if response.status_code == 200:
                    if at:
                        raise self._unexpected("it no longer supports ranges")
                    yield from response.iter_raw(_CHUNK)
                    return
                data = _read(response, length)
            if not data:
                raise self._unexpected("an empty range")
            yield data
            at, length = at + len(data), min(2 * length, _LARGEST)

    def piece(self, offset: int, length: int) -> bytes | None:
        """Return `length` bytes from `offset` on (fewer at the end), or None if the server has no ranges."""
        if not self._has_ranges:
            return None
        with self._range(offset, length) as response:
            return _read(response, length) if response.status_code == 206 else None

    @contextmanager
    def _range(self, offset: int, length: int) -> Iterator[httpx.Response]:
        # a server that compresses the bytes again would send ranges of the compressed bytes
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        try:
            with self._client.stream("GET", self._url, headers=headers) as response:
                self._check(response, offset)
                yield response
        except httpx.TransportError as error:
            # the text of other errors may contain the URL with its query
            why = str(error) if isinstance(error, httpx.ConnectError) else _words(error)
            raise UnreachableError(
                f"{self.name}: {why}", hint="check the network and the host's name, then run it again"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise StoreError(f"{self.name} can't be read: {_words(error)}", hint="check the URL") from error

    def _check(self, response: httpx.Response, offset: int) -> None:
        status = response.status_code
        if status in (404, 410):
            raise NotFoundError(f"{self.name} does not exist", hint=_NEW_URL)
        if status not in (200, 206, 416):
            raise StoreError(
                f"{self.name}: the server responds with {status} {httpx.codes.get_reason_phrase(status)}",
                hint=_NEW_URL if status in (400, 401, 403) else "try again",
            )
        if status == 200:
            self._has_ranges = False
            self._set_size(response.headers.get("Content-Length", ""))
        if status == 206:
            match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if not match or int(match[1]) != offset:
                raise self._unexpected("a different range than requested")
            self._set_size(match[2])

    def _set_size(self, text: str) -> None:
        if not (text.isascii() and text.isdigit()):
            return
        if self.size not in (None, int(text)):
            raise StoreError(f"{self.name} changed while it was read", hint="run it again")
        self.size = int(text)

    def _unexpected(self, what: str) -> FapError:
        return StoreError(
            f"{self.name}: unexpected response of the server: {what}",
            hint="download the file and give its path instead",
        )


def _read(response: httpx.Response, length: int) -> bytes:
    data = bytearray()
    for chunk in response.iter_raw(_CHUNK):
        data += chunk
        if len(data) >= length:
            break
    return bytes(data[:length])


def _words(error: Exception) -> str:
    """The kind of an error in words: `ReadTimeout` becomes "read timeout"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
