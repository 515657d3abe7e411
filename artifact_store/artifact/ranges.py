"""A file behind a URL, of which no more is fetched than is asked for: HTTP Range, RFC 9110 section 14."""

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
_NEW_URL = "check the URL; one that is presigned expires, and `fapstore url APP VERSION` prints another"


class WebFile:
    """The file at an `http://` or `https://` URL; `size`, in bytes, is known once the server has told it.

    Its methods raise UnreachableError if the server can't be reached, NotFoundError if it has no such file,
    and FapError for other answers than the file.
    """

    def __init__(self, url: str, client: httpx.Client) -> None:
        self.name = redact_url(url)
        self.file_name = unquote(self.name.rpartition("/")[2])
        self.size: int | None = None
        self._url = url
        self._client = client
        self._has_ranges = True

    def start(self) -> Generator[bytes, None, None]:
        """The file from its beginning, for a reader that stops as soon as it has what it needs.

        It comes in ranges of doubling length. From a server without ranges it comes as one stream, which
        is cut when the reader stops.
        """
        at, length = 0, _FIRST
        while self.size is None or at < self.size:
            with self._range(at, length) as response:
                if response.status_code == 416:
                    return
                if response.status_code == 200:
                    if at:
                        raise self._odd("it no longer answers ranges")
                    yield from response.iter_raw(_CHUNK)
                    return
                data = _read(response, length)
            if not data:
                raise self._odd("a range without bytes")
            yield data
            at, length = at + len(data), min(2 * length, _LARGEST)

    def piece(self, offset: int, length: int) -> bytes | None:
        """`length` bytes from `offset` on (fewer at the file's end), or None if the server has no ranges."""
        if not self._has_ranges:
            return None
        with self._range(offset, length) as response:
            return _read(response, length) if response.status_code == 206 else None

    @contextmanager
    def _range(self, offset: int, length: int) -> Iterator[httpx.Response]:
        # a server that compressed the bytes once more would answer ranges of something else
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        try:
            with self._client.stream("GET", self._url, headers=headers) as response:
                self._check(response, offset)
                yield response
        except httpx.TransportError as error:
            # The text of other errors may quote a URL with its query.
            why = str(error) if isinstance(error, httpx.ConnectError) else _words(error)
            raise UnreachableError(
                f"{self.name}: {why}", hint="check the network and the host's name, then run it again"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise StoreError(f"{self.name} can't be read: {_words(error)}", hint="check the URL") from error

    def _check(self, response: httpx.Response, offset: int) -> None:
        status = response.status_code
        if status in (404, 410):
            raise NotFoundError(f"{self.name} is not there", hint=_NEW_URL)
        if status not in (200, 206, 416):
            raise StoreError(
                f"{self.name}: the server answers {status} {httpx.codes.get_reason_phrase(status)}",
                hint=_NEW_URL if status in (400, 401, 403) else "try again",
            )
        if status == 200:
            self._has_ranges = False
            self._learn_size(response.headers.get("Content-Length", ""))
        if status == 206:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != offset:
                raise self._odd("another range than was asked for")
            self._learn_size(found[2])

    def _learn_size(self, text: str) -> None:
        if not (text.isascii() and text.isdigit()):
            return
        if self.size not in (None, int(text)):
            raise StoreError(f"{self.name} changed while it was read", hint="run it again")
        self.size = int(text)

    def _odd(self, what: str) -> FapError:
        return StoreError(
            f"{self.name}: the server's answer makes no sense: {what}",
            hint="download the file, and give its path",
        )


def _read(response: httpx.Response, length: int) -> bytes:
    data = bytearray()
    for chunk in response.iter_raw(_CHUNK):
        data += chunk
        if len(data) >= length:
            break
    return bytes(data[:length])


def _words(error: Exception) -> str:
    """The kind of an error in words: `ReadTimeout` is "read timeout"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
