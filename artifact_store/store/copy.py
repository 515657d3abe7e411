"""Copy versions from one store to another. Signatures of artifacts stay valid: they name the bytes.

Entries of logs are not copied: an entry counts only in the log that it was written for. A stage of the other
store gets the version by an entry of its own.
"""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from artifact_store.artifact.evidence import PROVENANCE_SUFFIX, SBOM_SUFFIX
from artifact_store.artifact.ids import ArtifactId
from artifact_store.artifact.peek import open_source, peek
from artifact_store.blobs.download import download
from artifact_store.blobs.protocol import keep
from artifact_store.core.errors import ConflictError, NotFoundError, VerificationError
from artifact_store.records import artifacts, keys, removals, withdrawals
from artifact_store.records.artifacts import ArtifactRecord
from artifact_store.store.store import Store


def copy(source: Store, target: Store, app: str, version: str) -> bool:
    """Copy a version with its evidence, signatures, approvals and withdrawals; return whether it was missing.

    The record is written last, as by a push. A version that is there already gets what it lacks, also its
    bytes. Raises as `Artifacts.fetch`, RemovedError if gc removed the version from the target, and
    ConflictError if the target has it with other bytes.
    """
    record = source.artifacts.usable(app, version)
    source.notary.check_artifact(record)
    artifact = ArtifactId(app, version)
    existing = artifacts.find(target.blobs, artifact)
    if existing and existing.digest != record.digest:
        raise ConflictError(
            f"{target.name} has {app} {version} with other bytes: {existing.digest}, not {record.digest}",
            hint="version numbers are never reused: pack the commit under another --version",
        )
    is_lost = existing is not None and not artifacts.has_bytes(target.blobs, existing)
    if existing and is_lost and (removal := removals.find(target.blobs, existing, target.clock())):
        raise removals.refusal(removal, gone=True, place=target.name)
    if existing is None or is_lost:
        _copy_bytes(source, target, record, existing or record)
        keep(target.blobs, keys.record(artifact), artifacts.encode(existing or record))
    for key in _statements(source, record):
        keep(target.blobs, key, source.blobs.get(key))
    for _, sealed in withdrawals.read(source.blobs, artifact):
        withdrawals.write(target.blobs, artifact, sealed)
    return existing is None or is_lost


def _copy_bytes(source: Store, target: Store, record: ArtifactRecord, copied: ArtifactRecord) -> None:
    """Copy the bytes and the evidence of `record` to where `copied`, its record in the target, names them."""
    key, place = artifacts.archive_key(record), artifacts.archive_key(copied)
    with tempfile.TemporaryDirectory(prefix="fapstore-") as folder:
        path = Path(folder, "artifact.tgz")
        download(source.blobs, key, record.digest, path)
        _check_root(path, record)
        with path.open("rb") as file, suppress(ConflictError):
            target.blobs.create(place, file, record.digest)
    for kind in (SBOM_SUFFIX, PROVENANCE_SUFFIX):
        with suppress(ConflictError, NotFoundError):
            target.blobs.create(keys.evidence(place, kind), source.artifacts.evidence(record, kind))


def _check_root(path: Path, record: ArtifactRecord) -> None:
    """Raise VerificationError if a record names another root than that of its bytes: it is not signed."""
    if record.root:
        with open_source(str(path)) as source:
            root = peek(source).root
        if root != record.root:
            raise VerificationError(
                f"the record of {record.app} {record.version} has the root {record.root}, and its bytes "
                f"have {root or 'none'}",
                hint="find out who can write to the store; pack and push a new version",
            )


def _statements(source: Store, record: ArtifactRecord) -> Iterator[str]:
    """The keys of the signatures and approvals of a version."""
    artifact = ArtifactId(record.app, record.version)
    yield from source.blobs.keys(keys.signatures(artifact))
    for stage in source.stages.names(record.app):
        yield from source.blobs.keys(keys.approvals(record.app, stage, record.digest))
