"""The record of a version: `artifact.json`, written after its bytes and never changed."""

from datetime import datetime

import msgspec

from artifact_store.artifact.ids import ArtifactId, check_digest, check_operation
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.errors import NotFoundError, UsageError, VerificationError
from artifact_store.records import keys


class ArtifactRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes of a version, and the person who pushed them."""

    app: str
    version: str
    digest: str
    """The sha256 of the tgz, in hexadecimal."""
    size: int
    """In bytes."""
    commit: str
    who: str
    at: datetime
    """In UTC."""
    ci: str
    """The URL of the CI run that pushed it, or empty."""
    operation: str
    """The random id of the push, which names the folder of its bytes. A pusher whose reply was lost
    recognises its own record by it."""
    root: str = ""
    """The root of the tgz (docs/design.md, `fap/2`), in hexadecimal; empty for an older format."""
    dirty: bool = False
    """Whether it was packed from a tree with uncommitted changes."""


class Published(ArtifactRecord, frozen=True, kw_only=True):
    """The record of a version after a push."""

    created: bool
    """Whether this push created it; if not, the same bytes were in the store before."""
    uploaded: int = 0
    """How many bytes of the artifact were sent."""
    copied_from: tuple[str, ...] = ()
    """The versions from which the store copied the other bytes."""
    not_copied: str = ""
    """Why nothing was copied from them, although it was tried; or empty."""


def published(record: ArtifactRecord, *, created: bool, uploaded: int = 0) -> Published:
    """The result of a push, from its record."""
    return Published(**msgspec.structs.asdict(record), created=created, uploaded=uploaded)


def find(blobs: Blobs, artifact: ArtifactId) -> ArtifactRecord | None:
    """Read the record of a version; None if there is none. Raises as `decode`."""
    try:
        data = blobs.get(keys.record(artifact))
    except NotFoundError:
        return None
    return decode(data, artifact)


def archive_key(record: ArtifactRecord) -> str:
    """The key of the bytes of a version."""
    return keys.archive(ArtifactId(record.app, record.version), record.digest, record.operation)


def has_bytes(blobs: Blobs, record: ArtifactRecord) -> bool:
    """Whether the bytes of a version are in the store."""
    return blobs.size(archive_key(record)) is not None


def encode(record: ArtifactRecord) -> bytes:
    """Encode `artifact.json`."""
    return msgspec.json.encode(record) + b"\n"


def decode(data: bytes, artifact: ArtifactId) -> ArtifactRecord:
    """Decode the record of `artifact`. Raises VerificationError if `data` is not its record."""
    try:
        record = msgspec.json.decode(data, type=ArtifactRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise VerificationError(
            f"the record of {artifact} can't be read: {error}", hint="was it written by fapstore?"
        ) from error
    try:
        for digest in (record.digest, *filter(None, [record.root])):
            check_digest(digest)
        check_operation(record.operation)
    except UsageError as error:
        raise VerificationError(
            f"the record of {artifact}: {error.message}", hint="was it written by fapstore?"
        ) from error
    if (record.app, record.version) != (artifact.app, artifact.version):
        raise VerificationError(
            f"the record of {artifact} belongs to {record.app} {record.version}",
            hint="someone copied it there: find out who can write to the store",
        )
    return record
