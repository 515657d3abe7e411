"""Upload an object to S3 in parts, four at a time: each is sent, or copied from another object of the bucket.

UploadPartCopy copies a range inside the server, and returns the checksum of what it copied if the upload has
an algorithm for them (Amazon S3 API Reference, CreateMultipartUpload and UploadPartCopy).
"""

import base64
import hashlib
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

from artifact_store.blobs import s3_errors
from artifact_store.blobs.parts import Part, Range
from artifact_store.blobs.pieces import changed
from artifact_store.blobs.protocol import CopyError
from artifact_store.blobs.s3_errors import AgainError, NoUploadError, UnsupportedError
from artifact_store.core.errors import (
    ConflictError,
    FapError,
    StoreError,
    UncertainError,
    UnreachableError,
)

_THREADS = 4
_CHUNK = 1 << 20
_NOT_OF_COPIES = (ConflictError, AgainError, NoUploadError, UnsupportedError, UncertainError)
"""The errors at the end of an upload that are not about its parts."""
_JOINT = 4 << 10
"""How many bytes on each side of an edge of a copied part are read back."""


def encoded(checksum: bytes) -> str:
    """A checksum as the value of an S3 header."""
    return base64.b64encode(checksum).decode()


def md5(body: bytes) -> dict[str, str]:
    """The older header against damage, for servers that do not know the newer ones."""
    return {"ContentMD5": encoded(hashlib.md5(body, usedforsecurity=False).digest())}


@dataclass(frozen=True)
class PartsUpload:
    """One upload of `file` to the object `key`. Its methods raise the errors of Blobs."""

    client: Any
    at: Callable[[str], dict[str, str]]
    """The bucket and the name of a key of the store, as parameters of boto3."""
    errors: Callable[[str], AbstractContextManager[None]]
    """Converts the errors of boto3 about a key."""
    key: str
    file: BinaryIO
    parts: Sequence[Part]
    checksums: bool
    """Whether to use x-amz-checksum headers."""

    def run(self, sha256: str, options: dict[str, str], condition: dict[str, str]) -> bool:
        """Upload all parts; return whether the server's checksums prove every copied part.

        `options` are for the beginning, and `condition` for the end of the upload. Raises CopyError, and
        creates nothing, if a part can't be copied, or its checksum is that of other bytes, and
        VerificationError if the sha256 of the file is not `sha256` (empty: not checked).
        """
        tags = self._tags()
        algorithm = {"ChecksumAlgorithm": "CRC32"} if self.checksums else {}
        with self.errors(self.key):
            upload = self.client.create_multipart_upload(**self.at(self.key), **options, **algorithm)
        if "UploadId" not in upload:
            raise s3_errors.not_s3(self.key)
        at = {**self.at(self.key), "UploadId": upload["UploadId"]}
        try:
            done, digest = self._put(at, tags)
            if sha256 and digest != sha256:
                raise changed(self.key)
            self._complete(at, condition, done)
        except BaseException:
            with suppress(FapError), self.errors(self.key):
                self.client.abort_multipart_upload(**at)
            raise
        pairs = zip(done, self.parts, strict=True)
        return all("ChecksumCRC32" in one for one, part in pairs if part.copied)

    def _tags(self) -> dict[str, str]:
        """The ETag of each object that is copied from: another object under its key has another one."""
        tags = {}
        for key in {part.copied.key for part in self.parts if part.copied}:
            with _copying(), self.errors(key):
                head = self.client.head_object(**self.at(key))
            if "ETag" not in head:
                raise _no_copy(key)
            tags[key] = head["ETag"]
        return tags

    def _put(self, at: dict[str, str], tags: dict[str, str]) -> tuple[list[dict[str, Any]], str]:
        """Send and copy the parts; return what the end of the upload needs, and the sha256 of the file."""
        digest = hashlib.sha256()
        crcs: dict[int, str] = {}
        running: deque[Future[dict[str, Any]]] = deque()
        done: list[dict[str, Any]] = []
        self.file.seek(0)
        with ThreadPoolExecutor(_THREADS) as pool:
            for number, part in enumerate(self.parts, 1):
                if len(running) == _THREADS:  # so that few parts are in memory
                    done.append(running.popleft().result())
                if part.copied is None:
                    body = self.file.read(part.length)
                    digest.update(body)
                    running.append(pool.submit(self._send, at, number, body))
                else:
                    running.append(pool.submit(self._copy, at, number, part.copied, tags))
                    crcs[number] = _crc(self._skip(part.length, digest.update))
            done += [future.result() for future in running]
        for one in done:
            crc = crcs.get(one["PartNumber"])
            if crc and one.get("ChecksumCRC32", crc) != crc:
                raise CopyError("the server copied other bytes: their checksum differs")
        digest.update(self.file.read(1))  # a file that grew has another sha256
        return done, digest.hexdigest()

    def _send(self, at: dict[str, str], number: int, body: bytes) -> dict[str, Any]:
        checksum = {"ChecksumCRC32": _crc(zlib.crc32(body))} if self.checksums else md5(body)
        with self.errors(self.key):
            part = self.client.upload_part(**at, **checksum, PartNumber=number, Body=body)
        return _done(number, part)

    def _copy(self, at: dict[str, str], number: int, source: Range, tags: dict[str, str]) -> dict[str, Any]:
        with _copying(), self.errors(source.key):
            answer = self.client.upload_part_copy(
                **at,
                PartNumber=number,
                CopySource=self.at(source.key),
                CopySourceRange=f"bytes={source.offset}-{source.offset + source.length - 1}",
                CopySourceIfMatch=tags[source.key],
            )
        part = answer.get("CopyPartResult", {})
        if "ETag" not in part:  # a server that does not know copies takes it as an empty part
            raise _no_copy(source.key)
        return _done(number, part)

    def _complete(self, at: dict[str, str], condition: dict[str, str], done: list[dict[str, Any]]) -> None:
        try:
            with self.errors(self.key):
                self.client.complete_multipart_upload(**at, **condition, MultipartUpload={"Parts": done})
        except _NOT_OF_COPIES:
            raise
        except StoreError as error:
            if any(part.copied for part in self.parts):  # a server may want parts of one length
                raise CopyError(f"the server did not join copied parts: {error.message}") from error
            raise

    def _skip(self, length: int, update: Callable[[bytes], None]) -> int:
        """Read a copied part of the file, pass it to `update`, and return its CRC32 if that is compared."""
        crc = 0
        while length and (data := self.file.read(min(length, _CHUNK))):
            update(data)
            crc = zlib.crc32(data, crc) if self.checksums else 0
            length -= len(data)
        return crc

    def check_joints(self) -> None:
        """Read the bytes around the edges of copied parts back. Raises CopyError if they are not the file's,
        or the object has another size."""
        edges = {
            edge for part in self.parts if part.copied for edge in (part.start, part.start + part.length)
        }
        with ThreadPoolExecutor(_THREADS) as pool:
            right = list(pool.map(self._is_right, sorted(edges)))
        if not all(right):
            raise CopyError("the server copied other bytes: they differ where parts meet")

    def _is_right(self, edge: int) -> bool:
        size = os.fstat(self.file.fileno()).st_size
        start, end = max(edge - _JOINT, 0), min(edge + _JOINT, size)
        with self.errors(self.key):
            answer = self.client.get_object(**self.at(self.key), Range=f"bytes={start}-{end - 1}")
            stored = answer["Body"].read()
        is_whole = answer.get("ContentRange", "").endswith(f"/{size}")
        return bool(is_whole and stored == os.pread(self.file.fileno(), end - start, start))


@contextmanager
def _copying() -> Iterator[None]:
    """Turn a refusal into a CopyError: a missing source is not a missing key of this upload."""
    try:
        yield
    except UnreachableError:
        raise
    except FapError as error:
        raise CopyError(f"the server did not copy a part: {error.message}") from error


def _no_copy(key: str) -> CopyError:
    return CopyError(f"the server did not copy a part of {key}")


def _done(number: int, answer: dict[str, Any]) -> dict[str, Any]:
    """What the end of an upload needs of a part; a server without checksums returns none, and expects
    none."""
    names = ("ETag", "ChecksumCRC32")
    return {"PartNumber": number} | {name: answer[name] for name in names if name in answer}


def _crc(value: int) -> str:
    return encoded(value.to_bytes(4))
