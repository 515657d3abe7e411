"""Blobs in an S3 bucket, through boto3; its errors become those of `core.errors`.

Create-only is `If-None-Match: *` on PutObject and CompleteMultipartUpload (Amazon S3 API Reference,
"How to prevent object overwrites with conditional writes"): 412 means that the key exists, 409 that another
conditional write is running and this one must be repeated.
"""

import copy
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.parsers import ResponseParserError
from botocore.utils import parse_timestamp

from artifact_store.blobs import known_servers, s3_errors
from artifact_store.blobs.bucket_rules import StorageSettings
from artifact_store.blobs.parts import LEAST, Part, Range, divide, sent
from artifact_store.blobs.pieces import CutError, checked, pieces, resumed, whole
from artifact_store.blobs.protocol import Blob, CopyError, Link, Sink, Unfinished, get_or_none
from artifact_store.blobs.s3_errors import AgainError, BehindEndError, NoUploadError, UnsupportedError
from artifact_store.blobs.s3_parts import PartsUpload, encoded, md5
from artifact_store.blobs.s3_quick import QuickReader
from artifact_store.core.errors import (
    ConflictError,
    FapError,
    NotFoundError,
    StoreError,
    UnreachableError,
    UsageError,
)

_CHUNK = 1 << 18
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_READERS = 8
_CREATE_TRIES = 9  # over five seconds or less
_LONGEST_URL = timedelta(days=7)
_CONFIG = Config(
    signature_version="s3v4",
    connect_timeout=10,
    read_timeout=60,
    max_pool_connections=_READERS + 2,
    retries={"mode": "standard", "total_max_attempts": 5},
    s3={"payload_signing_enabled": False},  # its checksum is signed
    # the checksums of writes are given below, and what is read is checked by its sha256
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
_DAMAGED = ("BadDigest", "InvalidRequest", "XAmzContentChecksumMismatch")
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_ENCRYPTION = {"FAP_S3_SSE": "ServerSideEncryption", "FAP_S3_SSE_KEY": "SSEKMSKeyId"}


class S3Blobs:
    """Blobs at `s3://bucket/prefix/<key>`. Endpoint, region and credentials are the usual AWS settings.

    Writes carry x-amz-checksum headers, or Content-MD5 if the server refuses those, and the headers for
    encryption that FAP_S3_SSE and FAP_S3_SSE_KEY name.
    """

    can_list = True
    can_write = True

    def __init__(self, bucket: str, prefix: str, *, unsafe: bool = False) -> None:
        """With `unsafe`, a server that refuses conditional writes is used without them."""
        if not _BUCKET.fullmatch(bucket):
            raise UsageError(
                f"{bucket!r} is not a valid bucket name",
                hint="use 3 to 63 lower-case letters, digits, '.' and '-', as in s3://bucket/prefix",
            )
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self.name = f"s3://{bucket}/{prefix}".rstrip("/")
        self._unsafe = unsafe
        self._conditional = True
        self._checksums = True
        self._whole = LEAST
        self._server = ""
        self._encryption = {
            field: os.environ[name] for name, field in _ENCRYPTION.items() if os.environ.get(name)
        }
        try:
            self._session = _session()
        except BotoCoreError as error:
            raise StoreError(f"{self.name}: {error}", hint="check AWS_PROFILE and ~/.aws/config") from error
        with self._errors():
            self._client: Any = self._session.client("s3", config=_CONFIG)
        self._client.meta.events.register("after-call.s3", self._note_server)
        self._quick = QuickReader(self._client, self._session.get_credentials)

    @property
    def is_atomic(self) -> bool:
        """See Blobs."""
        return known_servers.measured(self._server) is not None

    def in_parts(self) -> "S3Blobs":
        """See Blobs."""
        other = copy.copy(self)
        other._whole = 0
        return other

    def get(self, key: str) -> bytes:
        """See Blobs."""
        return whole(resumed(partial(self._read, key)), key)

    def get_each(self, keys: Iterable[str]) -> Iterator[bytes | None]:
        """See Blobs. Skips most of boto3, which takes longer for a small object than its server does."""
        with ThreadPoolExecutor(_READERS) as pool:
            yield from pool.map(self._get_small, keys)

    def _get_small(self, key: str) -> bytes | None:
        body = self._quick.get(self._prefix + key)
        return get_or_none(self, key) if body is None else body

    def get_to(self, key: str, file: Sink, start: int = 0) -> None:
        """See Blobs."""
        for piece in resumed(partial(self._read, key), start):
            file.write(piece)

    def create(self, key: str, body: bytes | BinaryIO, sha256: str = "") -> None:
        """See Blobs. Large files are uploaded in parts, four at a time."""

        def attempt() -> None:
            if isinstance(body, bytes) or _size(body) <= self._whole:
                self._put(key, b"".join(checked(pieces(body), sha256, key)))
            else:
                self._put_in_parts(key, body, sha256, divide(_size(body)))

        self._create(key, attempt)

    def create_with(self, key: str, file: BinaryIO, sha256: str, ranges: Sequence[Range]) -> int:
        """See Blobs. Where the server returns no checksums of copied parts, the bytes at their edges are read
        back."""
        parts = divide(_size(file), ranges)
        proved = False

        def attempt() -> None:
            nonlocal proved
            proved = self._put_in_parts(key, file, sha256, parts)

        with suppress(ConflictError):  # the reply to an earlier attempt of this call was lost
            self._create(key, attempt)
        if not proved:
            try:
                self._upload(key, file, parts).check_joints()
            except CopyError:
                with suppress(FapError):
                    self.delete(key)
                raise
        return sent(parts)

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
        """See Blobs. Asks for those of the whole bucket: MinIO lists none below a prefix (minio#11686)."""
        for page in self._pages("list_multipart_uploads", None):
            for item in page.get("Uploads", ()):
                key, upload = self._key(item), item["UploadId"]
                if not item["Key"].startswith(self._prefix + prefix):
                    continue
                yield Unfinished(key, upload, self._uploaded(key, upload), _utc(item["Initiated"]))

    def abort(self, unfinished: Unfinished) -> None:
        """See Blobs."""
        with suppress(NoUploadError), self._errors(unfinished.key):
            self._client.abort_multipart_upload(**self._at(unfinished.key), UploadId=unfinished.upload)

    def _uploaded(self, key: str, upload: str) -> int:
        """The size of the parts of an unfinished upload, in bytes."""
        pages = self._client.get_paginator("list_parts").paginate(**self._at(key), UploadId=upload)
        with suppress(NoUploadError), self._errors(key):
            return sum(part["Size"] for page in pages for part in page.get("Parts", ()))
        return 0

    def settings(self) -> StorageSettings:
        """See Blobs."""
        with self._errors():
            lifecycle = self._setting("get_bucket_lifecycle_configuration")
            acl = self._setting("get_bucket_acl")
            policy = self._setting("get_bucket_policy")
            status = self._setting("get_bucket_policy_status")
            versioning = self._setting("get_bucket_versioning")
            block = self._setting("get_public_access_block")
            blocked = block and block.get("PublicAccessBlockConfiguration")
            return StorageSettings(
                lifecycle=None if lifecycle is None else tuple(lifecycle.get("Rules", ())),
                prefix=self._prefix,
                policy=None if policy is None else policy.get("Policy", ""),
                policy_is_public=(status or {}).get("PolicyStatus", {}).get("IsPublic"),
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
        wrong = {"ChecksumSHA256": encoded(bytes(32))} if self._checksums else md5(b"other")
        try:
            self._client.put_object(**at, **self._condition(), **self._encryption, Body=b"x", **wrong)
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

    def _note_server(self, http_response: Any, **rest: object) -> None:
        self._server = http_response.headers.get("server", "")

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
        except BehindEndError:
            return
        try:
            while piece := self._next(pieces, key):
                yield piece
        except UnreachableError as error:
            raise CutError(error.message, hint=error.hint) from error

    def _next(self, pieces: Iterator[bytes], key: str) -> bytes:
        with self._errors(key):
            return next(pieces, b"")

    def _pages(self, operation: str, prefix: str | None, **options: str) -> Iterator[dict[str, Any]]:
        below = {} if prefix is None else {"Prefix": self._prefix + prefix}
        paginator = self._client.get_paginator(operation)
        pages = iter(paginator.paginate(Bucket=self._bucket, **below, **options))
        while True:
            with self._errors(prefix or ""):
                page = next(pages, None)
            if page is None:
                return
            if "IsTruncated" not in page and "Contents" not in page:
                raise s3_errors.not_s3(self.name)
            yield page

    def _create(self, key: str, attempt: Callable[[], None]) -> None:
        for attempts in count(1):
            if not self._conditional and self.size(key) is not None:
                raise ConflictError(f"{self.name}/{key} already exists")
            try:
                with self._errors(key):
                    attempt()
                return
            except AgainError as error:
                if attempts == _CREATE_TRIES:
                    raise StoreError(
                        f"{self.name}: other writers keep writing {key} at the same time", hint="run it again"
                    ) from error
                time.sleep(0.01 * 2**attempts)
            except StoreError as error:
                self._do_without(error)

    def _do_without(self, error: StoreError) -> None:
        """Leave out a header that a server may refuse, for all writes from now on; or raise `error`."""
        if self._checksums and s3_errors.wants_md5(error):
            self._checksums = False
        elif self._conditional and isinstance(error, UnsupportedError):
            if not self._unsafe:
                raise s3_errors.overwriting(error) from error
            self._conditional = False
        else:
            raise error

    def _condition(self) -> dict[str, str]:
        return {"IfNoneMatch": "*"} if self._conditional else {}

    def _put(self, key: str, body: bytes) -> None:
        digest = hashlib.sha256(body).digest()
        checksum = {"ChecksumSHA256": encoded(digest)} if self._checksums else md5(body)
        stored = self._client.put_object(
            **self._at(key), **self._condition(), **self._encryption, **checksum, Body=body
        )
        if "ETag" not in stored:
            raise s3_errors.not_s3(f"{self.name}/{key}")

    def _put_in_parts(self, key: str, file: BinaryIO, sha256: str, parts: Sequence[Part]) -> bool:
        """As `PartsUpload.run`."""
        try:
            return self._upload(key, file, parts).run(sha256, self._encryption, self._condition())
        except NoUploadError as error:
            if self.size(key) is not None:
                # an earlier attempt completed it, and its reply was lost
                raise ConflictError(f"{key} already exists in {self.name}") from error
            raise

    def _upload(self, key: str, file: BinaryIO, parts: Sequence[Part]) -> PartsUpload:
        has_copies = any(part.copied for part in parts)
        is_slow = has_copies and known_servers.has_slow_checksums(self._server)
        checksums = self._checksums and not is_slow
        return PartsUpload(self._client, self._at, self._errors, key, file, parts, checksums)

    @contextmanager
    def _errors(self, key: str = "") -> Iterator[None]:
        """Convert the errors of boto3. None of their texts is shown with a secret in it."""
        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error, ResponseParserError, OSError, ValueError) as error:
            explained = self._explained(error, f"{self.name}/{key}".rstrip("/"))
            explained.message = s3_errors.redacted(explained.message, self._secrets(error))
            raise explained from error

    def _explained(self, error: Exception, where: str) -> FapError:
        if isinstance(error, ClientError):
            answer, said = error.response.get("ResponseMetadata", {}), error.response.get("Error", {})
            named = answer.get("HTTPHeaders", {}).get("x-amz-bucket-region") or said.get("Region") or ""
            return s3_errors.refusal(
                _code(error),
                answer.get("HTTPStatusCode", 0),
                said.get("Message") or "",
                where,
                region=str(named),
                now=datetime.now(UTC),
            )
        if isinstance(error, NoCredentialsError):
            return StoreError(
                f"{self.name}: no AWS credentials found",
                hint="set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
        if isinstance(error, (SSOError, TokenRetrievalError)):
            return StoreError(f"{self.name}: {error}", hint=f"aws sso login --profile {self._profile()}")
        if isinstance(error, CredentialRetrievalError):
            return StoreError(
                f"{self.name}: {error}", hint=f"check how the AWS profile {self._profile()} gets credentials"
            )
        if isinstance(error, OSError) and error.filename:
            return StoreError(
                f"{self.name}: a file for the AWS credentials can't be read: {error.filename}",
                hint="check AWS_WEB_IDENTITY_TOKEN_FILE, or web_identity_token_file of the AWS profile",
            )
        if isinstance(error, (BotoConnectionError, HTTPClientError, IncompleteReadError)):
            return s3_errors.unreachable(where, str(error))
        if isinstance(error, ResponseParserError):
            return s3_errors.not_s3(where)
        return StoreError(f"{where}: {error}", hint="check the AWS settings and the bucket's name")

    def _profile(self) -> str:
        return self._session.profile_name

    def _secrets(self, error: Exception) -> list[str]:
        """The secrets that a text of botocore may repeat."""
        known = [os.environ.get(name, "") for name in _SECRETS]
        if isinstance(error, ClientError):  # then there are credentials, and asking for them is fast
            with suppress(BotoCoreError, ClientError, OSError):
                if credentials := self._session.get_credentials():
                    frozen = credentials.get_frozen_credentials()
                    known += [frozen.secret_key or "", frozen.token or ""]
        return known


def _size(file: BinaryIO) -> int:
    """The size of a file in bytes."""
    return os.fstat(file.fileno()).st_size


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
