"""What a store knows of one version: `artifact.json`, written last, never changed."""

from datetime import datetime

import msgspec

from artifact_store.artifact.ids import ArtifactId, check_digest, check_operation
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.errors import NotFoundError, UsageError, VerificationError
from artifact_store.records import keys


class ArtifactRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`artifact.json`: which bytes a version is, and who pushed them."""

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
    """The random id of the push: its bytes lie in a folder of that name, and by it a pusher whose reply was
    lost recognises its own success."""
    dirty: bool = False
    """Whether it was packed from a tree with changes."""


class Published(ArtifactRecord, frozen=True, kw_only=True):
    """The record a push found or made."""

    created: bool
    """Whether this push made it; if not, the same bytes were there already."""


def published(record: ArtifactRecord, *, created: bool) -> Published:
    """`record`, as the result of a push."""
    return Published(**msgspec.structs.asdict(record), created=created)


def find(blobs: Blobs, artifact: ArtifactId) -> ArtifactRecord | None:
    """The record of a version, or None if there is none; raises as `decode`."""
    try:
        data = blobs.get(keys.record(artifact))
    except NotFoundError:
        return None
    return decode(data, artifact)


def archive_key(record: ArtifactRecord) -> str:
    """Where the bytes of a version lie."""
    return keys.archive(ArtifactId(record.app, record.version), record.digest, record.operation)


def encode(record: ArtifactRecord) -> bytes:
    """The bytes of `artifact.json`."""
    return msgspec.json.encode(record) + b"\n"


def decode(data: bytes, artifact: ArtifactId) -> ArtifactRecord:
    """Read the record of `artifact`; raise VerificationError if `data` is no record, or another's."""
    try:
        record = msgspec.json.decode(data, type=ArtifactRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise VerificationError(
            f"the record of {artifact} can't be read: {error}", hint="was it written by fapstore?"
        ) from error
    try:
        check_digest(record.digest)
        check_operation(record.operation)
    except UsageError as error:
        raise VerificationError(
            f"the record of {artifact}: {error.message}", hint="was it written by fapstore?"
        ) from error
    if (record.app, record.version) != (artifact.app, artifact.version):
        raise VerificationError(
            f"the record of {artifact} is that of {record.app} {record.version}",
            hint="someone copied it there: find out who can write to the store",
        )
    return record
