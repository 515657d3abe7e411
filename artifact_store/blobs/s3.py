"""Blobs in an S3 bucket, through boto3; its errors become those of `core.errors`.

Create-only is `If-None-Match: *` on PutObject and CompleteMultipartUpload (Amazon S3 API Reference,
"How to prevent object overwrites with conditional writes"): 412 means that the key exists, 409 that another
conditional write is running and this one must be repeated.
"""

import base64
import hashlib
import math
import os
import re
import secrets
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlsplit

import boto3
import botocore.session
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.utils import parse_timestamp

from artifact_store.blobs.bucket_rules import StorageSettings
from artifact_store.blobs.pieces import CutError, checked, pieces, resumed
from artifact_store.blobs.protocol import Blob, Link, Sink, Unfinished
from artifact_store.core.errors import ConflictError, NotFoundError, StoreError, UnreachableError, UsageError

_CHUNK = 1 << 18
_PART = 5 << 20  # the minimum of S3; a few parts are in memory at a time
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PARTS_LIMIT = 10_000
_THREADS = 4
_CREATE_TRIES = 6
_LONGEST_URL = timedelta(days=7)
_CONFIG = Config(
    signature_version="s3v4",
    connect_timeout=10,
    read_timeout=60,
    max_pool_connections=_THREADS + 2,
    retries={"mode": "standard", "total_max_attempts": 5},
    s3={"payload_signing_enabled": False},  # its checksum is signed
)
_MISSING = ("404", "NoSuchKey", "NotFound")
_TAKEN = ("412", "PreconditionFailed")
_AGAIN = ("409", "ConditionalRequestConflict", "OperationAborted")
_DAMAGED = ("BadDigest", "InvalidRequest", "XAmzContentChecksumMismatch")
_CREDENTIALS = "check the AWS credentials (`aws sts get-caller-identity`) and their permissions"


class S3Blobs:
    """Blobs at `s3://bucket/prefix/<key>`. Endpoint, region and credentials are the usual AWS settings."""

    can_list = True
    can_write = True

    def __init__(self, bucket: str, prefix: str) -> None:
        if not _BUCKET.fullmatch(bucket):
            raise UsageError(
                f"{bucket!r} is not a valid bucket name",
                hint="use 3 to 63 lower-case letters, digits, '.' and '-', as in s3://bucket/prefix",
            )
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self.name = f"s3://{bucket}/{prefix}".rstrip("/")
        with self._errors():
            self._session = _session()
            self._client: Any = self._session.client("s3", config=_CONFIG)

    def get(self, key: str) -> bytes:
        """See Blobs."""
        return b"".join(resumed(partial(self._read, key)))

    def get_to(self, key: str, file: Sink, start: int = 0) -> None:
        """See Blobs."""
        for piece in resumed(partial(self._read, key), start):
            file.write(piece)

    def create(self, key: str, body: bytes | BinaryIO, sha256: str = "") -> None:
        """See Blobs. Large files are uploaded in parts, four at a time."""
        size = len(body) if isinstance(body, bytes) else os.fstat(body.fileno()).st_size
        length = max(_PART, math.ceil(size / _PARTS_LIMIT))

        def attempt() -> None:
            parts = checked(pieces(body, length), sha256, key)
            if isinstance(body, bytes) or size <= _PART:
                self._put(key, b"".join(parts))
            else:
                self._put_in_parts(key, parts)

        self._create(key, attempt)

    def size(self, key: str) -> int | None:
        """See Blobs."""
        try:
            with self._errors(key):
                return int(self._client.head_object(**self._at(key))["ContentLength"])
        except NotFoundError:
            return None

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """See Blobs."""
        for blob in self.listing(prefix, after):
            yield blob.key

    def listing(self, prefix: str, after: str = "") -> Iterator[Blob]:
        """See Blobs."""
        start = {"StartAfter": self._prefix + after} if after else {}
        for page in self._pages("list_objects_v2", prefix, **start):
            for item in page.get("Contents", ()):
                yield Blob(self._key(item), item["Size"], _utc(item["LastModified"]))

    def folders(self, prefix: str) -> Iterator[str]:
        """See Blobs."""
        for page in self._pages("list_objects_v2", prefix, Delimiter="/"):
            for item in page.get("CommonPrefixes", ()):
                yield item["Prefix"].removeprefix(self._prefix + prefix).rstrip("/")

    def delete(self, key: str) -> None:
        """See Blobs."""
        with self._errors(key):
            self._client.delete_object(**self._at(key))

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """See Blobs."""
        for page in self._pages("list_multipart_uploads", prefix):
            for item in page.get("Uploads", ()):
                key, upload = self._key(item), item["UploadId"]
                yield Unfinished(key, upload, self._uploaded(key, upload), _utc(item["Initiated"]))

    def abort(self, unfinished: Unfinished) -> None:
        """See Blobs."""
        with suppress(_NoUploadError), self._errors(unfinished.key):
            self._client.abort_multipart_upload(**self._at(unfinished.key), UploadId=unfinished.upload)

    def _uploaded(self, key: str, upload: str) -> int:
        """The size of the parts of an unfinished upload, in bytes."""
        pages = self._client.get_paginator("list_parts").paginate(**self._at(key), UploadId=upload)
        with suppress(_NoUploadError), self._errors(key):
            return sum(part["Size"] for page in pages for part in page.get("Parts", ()))
        return 0

    def settings(self) -> StorageSettings:
        """See Blobs."""
        with self._errors():
            lifecycle = self._setting("get_bucket_lifecycle_configuration")
            acl = self._setting("get_bucket_acl")
            policy = self._setting("get_bucket_policy")
            versioning = self._setting("get_bucket_versioning")
            block = self._setting("get_public_access_block")
            blocked = block and block.get("PublicAccessBlockConfiguration")
            return StorageSettings(
                lifecycle=None if lifecycle is None else tuple(lifecycle.get("Rules", ())),
                prefix=self._prefix,
                policy=None if policy is None else policy.get("Policy", ""),
                grants=None
                if acl is None
                else tuple(g["Grantee"].get("URI", "") for g in acl.get("Grants", ())),
                blocked=None if blocked is None else bool(blocked) and all(blocked.values()),
                versioned=None if versioning is None else versioning.get("Status") == "Enabled",
                checks_bytes=self._checks_bytes(),
            )

    def _setting(self, operation: str) -> dict[str, Any] | None:
        """A setting of the bucket: empty if it is not set, None if it can't be read."""
        try:
            setting: dict[str, Any] = getattr(self._client, operation)(Bucket=self._bucket)
        except ClientError as error:
            return {} if _code(error).startswith("NoSuch") else None
        return setting

    def _checks_bytes(self) -> bool | None:
        """Whether an upload with a wrong checksum is refused; tried with a test object."""
        at = self._at(f"_doctor/checksum-{secrets.token_hex(8)}")
        try:
            self._client.put_object(**at, Body=b"x", ChecksumSHA256=_base64(bytes(32)), IfNoneMatch="*")
        except ClientError as error:
            return True if _code(error) in _DAMAGED else None
        with suppress(ClientError):
            self._client.delete_object(**at)
        return False

    def link(self, key: str, expires: timedelta) -> Link:
        """See Blobs. At most 7 days. A URL signed with the credentials of a session ends with the session."""
        if not timedelta(seconds=1) <= expires <= _LONGEST_URL:
            raise UsageError(f"S3 URLs can work for 1 second to 7 days, not {expires}", hint="--expires 1h")
        with self._errors(key):
            url: str = self._client.generate_presigned_url(
                "get_object", Params=self._at(key), ExpiresIn=int(expires.total_seconds())
            )
            credentials = self._session.get_credentials()
        (signed,) = parse_qs(urlsplit(url).query)["X-Amz-Date"]
        until = datetime.strptime(signed, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) + expires
        # botocore (1.44) has no public name for the expiry time; static credentials have none
        if end := getattr(credentials, "_expiry_time", None):
            return Link(url, min(until, _utc(end)))
        return Link(url, until, session=bool(credentials and credentials.token))

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _key(self, item: dict[str, Any]) -> str:
        return str(item["Key"]).removeprefix(self._prefix)

    def _read(self, key: str, start: int) -> Iterator[bytes]:
        """The bytes from offset `start` on. Raises CutError if the connection breaks."""
        range_ = {"Range": f"bytes={start}-"} if start else {}
        try:
            with self._errors(key):
                pieces = self._client.get_object(**self._at(key), **range_)["Body"].iter_chunks(_CHUNK)
        except _BehindEndError:
            return
        try:
            while piece := self._next(pieces, key):
                yield piece
        except UnreachableError as error:
            raise CutError(error.message, hint=error.hint) from error

    def _next(self, pieces: Iterator[bytes], key: str) -> bytes:
        with self._errors(key):
            return next(pieces, b"")

    def _pages(self, operation: str, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        pages = iter(
            self._client.get_paginator(operation).paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix, **options
            )
        )
        while True:
            with self._errors(prefix):
                page = next(pages, None)
            if page is None:
                return
            yield page

    def _create(self, key: str, attempt: Callable[[], None]) -> None:
        for attempts in count(1):
            try:
                with self._errors(key):
                    attempt()
                return
            except _AgainError as error:
                if attempts == _CREATE_TRIES:
                    raise StoreError(
                        f"{self.name}: other writers keep writing {key} at the same time", hint="run it again"
                    ) from error
                time.sleep(0.05 * 2**attempts)

    def _put(self, key: str, body: bytes) -> None:
        checksum = _base64(hashlib.sha256(body).digest())
        self._client.put_object(**self._at(key), Body=body, IfNoneMatch="*", ChecksumSHA256=checksum)

    def _put_in_parts(self, key: str, parts: Iterator[bytes]) -> None:
        upload = self._client.create_multipart_upload(**self._at(key), ChecksumAlgorithm="CRC32")
        at = {**self._at(key), "UploadId": upload["UploadId"]}

        def put(number: int, body: bytes) -> dict[str, Any]:
            checksum = _base64(zlib.crc32(body).to_bytes(4))
            part = self._client.upload_part(**at, PartNumber=number, Body=body, ChecksumCRC32=checksum)
            result = {"PartNumber": number, "ETag": part["ETag"]}
            # a server without checksums returns none, and expects none
            return result | ({"ChecksumCRC32": part["ChecksumCRC32"]} if "ChecksumCRC32" in part else {})

        try:
            with ThreadPoolExecutor(_THREADS) as pool:
                done = _in_turn(pool, put, enumerate(parts, 1))
            self._client.complete_multipart_upload(**at, MultipartUpload={"Parts": done}, IfNoneMatch="*")
        except BaseException as error:
            with suppress(BotoCoreError, ClientError):
                self._client.abort_multipart_upload(**at)
            if _code(error) == "NoSuchUpload" and self.size(key) is not None:
                # an earlier attempt completed it, and its reply was lost
                raise ConflictError(f"{key} already exists in {self.name}") from error
            raise

    @contextmanager
    def _errors(self, key: str = "") -> Iterator[None]:
        """Convert the errors of boto3."""
        where = f"{self.name}/{key}".rstrip("/")
        try:
            yield
        except ClientError as error:
            raise self._refusal(error, where) from error
        except NoCredentialsError as error:
            raise StoreError(
                f"{self.name}: no AWS credentials found",
                hint="set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ) from error
        except (BotoConnectionError, HTTPClientError, IncompleteReadError) as error:
            raise UnreachableError(
                f"{where}: {error}", hint="check the network and AWS_ENDPOINT_URL_S3, then run it again"
            ) from error
        except (BotoCoreError, Boto3Error, ValueError) as error:
            raise StoreError(
                f"{where}: {error}", hint="check the AWS settings and the bucket's name"
            ) from error

    def _refusal(self, error: ClientError, where: str) -> StoreError:
        code = _code(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        message = error.response.get("Error", {}).get("Message", "")
        if code == "NoSuchBucket":
            return StoreError(
                f"{self.name}: the bucket does not exist", hint=f"aws s3 mb s3://{self._bucket}"
            )
        if code in _MISSING:
            return NotFoundError(f"{where} does not exist")
        if code == "NoSuchUpload":
            return _NoUploadError(f"{where}: {code} {message}", hint="run it again")
        if code == "InvalidRange":
            return _BehindEndError(f"{where}: {code} {message}", hint="run it again")
        if code in _TAKEN:
            return ConflictError(f"{where} already exists")
        if code in _AGAIN:
            return _AgainError(f"{where}: {code} {message}", hint="run it again")
        if code == "RequestTimeTooSkewed":
            return StoreError(
                f"{where}: the clock of this machine is wrong: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
                hint="set the clock (timedatectl set-ntp true), then run it again",
            )
        if status in (401, 403):
            return StoreError(f"{where}: refused ({code} {message})", hint=_CREDENTIALS)
        return StoreError(f"{where}: {code} {message}", hint="run it again")


class _NoUploadError(StoreError):
    """The multipart upload has ended or never existed."""


class _BehindEndError(StoreError):
    """The range starts behind the last byte."""


class _AgainError(StoreError):
    """Another write of this key is running: repeat the create."""


def _base64(checksum: bytes) -> str:
    """A checksum as the value of an S3 header."""
    return base64.b64encode(checksum).decode()


def _in_turn(
    pool: ThreadPoolExecutor, work: Callable[..., dict[str, Any]], arguments: Iterable[tuple[Any, ...]]
) -> list[dict[str, Any]]:
    """The results of `work` in order. Arguments are taken when a thread is free, so few are in memory."""
    running: deque[Future[dict[str, Any]]] = deque()
    done = []
    for argument in arguments:
        if len(running) == _THREADS:
            done.append(running.popleft().result())
        running.append(pool.submit(work, *argument))
    return done + [future.result() for future in running]


def _session() -> boto3.session.Session:
    """A session with a five times faster parser of times; a listing has thousands of them."""
    session = botocore.session.get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_time)
    return boto3.session.Session(botocore_session=session)


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parse_timestamp(text)


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


def _code(error: BaseException) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""
