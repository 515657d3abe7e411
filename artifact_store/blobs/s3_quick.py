"""Read small objects of a bucket with a third of boto3's work for each.

boto3 works out endpoint, headers and retries for each request. For thousands of objects that takes longer
than the server needs. So one request of boto3 is the pattern: the others have its URL and region, botocore
signs them, and they go over its connections. Whatever is not a plain answer is left to boto3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

_LARGEST = 1 << 20  # in bytes; larger ones are left to boto3


@dataclass(frozen=True)
class _Pattern:
    base: str
    """The URL of a request, without the key."""
    region: str


class QuickReader:
    """Reads objects as one request of `client` did."""

    def __init__(self, client: Any, credentials: Callable[[], Any]) -> None:
        """`credentials` are asked for at each request, as they may be renewed."""
        self._http = client._endpoint.http_session  # botocore (1.44) has no public name for it
        self._credentials = credentials
        self._pattern: _Pattern | None = None
        client.meta.events.register("before-sign.s3.GetObject", self._learn)

    def get(self, key: str) -> bytes | None:
        """The bytes at `key`; None if boto3 has to try it: before its first request, and for any problem."""
        if self._pattern is None:
            return None
        url = self._pattern.base + _quoted(key)
        request = AWSRequest("GET", url)
        request.context["payload_signing_enabled"] = False  # there is none
        try:
            credentials = self._credentials().get_frozen_credentials()
            S3SigV4Auth(credentials, "s3", self._pattern.region).add_auth(request)
            prepared = request.prepare()
            prepared.stream_output = True
            response = self._http.send(prepared)
            length = int(response.headers.get("Content-Length", -1))
            body = response.raw.read(_LARGEST) if 0 <= length <= _LARGEST else b""
            if len(body) != length:
                response.raw.close()  # its rest may be large, or never come
            response.raw.release_conn()
        except (BotoCoreError, ClientError, HTTPError, OSError, ValueError):
            return None
        return body if response.status_code == 200 and len(body) == length else None

    def _learn(self, request: Any, signature_version: str, region_name: str, **_: object) -> None:
        key = request.context.get("s3_redirect", {}).get("params", {}).get("Key", "")
        path = _quoted(key)
        if signature_version == "s3v4" and key and request.url.endswith(path) and not request.params:
            self._pattern = _Pattern(request.url.removesuffix(path), region_name)


def _quoted(key: str) -> str:
    """A key as botocore writes it in a URL."""
    return quote(key, safe="/~")
