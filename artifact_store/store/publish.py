"""Publish: the file of an artifact becomes a version of its app. The record is written last.

Each push puts its bytes into a folder of its own, which nobody else ever writes to. So gc, which removes
what killed pushes left, can't take from one push what it means to take from another.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from artifact_store.artifact import archive, evidence
from artifact_store.artifact.archive import Scan
from artifact_store.artifact.ids import ArtifactId
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.actor import Stamp
from artifact_store.core.errors import ConflictError
from artifact_store.records import artifacts, keys, removals
from artifact_store.records.artifacts import ArtifactRecord, Published


@dataclass(frozen=True)
class Upload:
    """An artifact's open file, and what reading it whole shows, which may still be under way."""

    path: Path
    file: BinaryIO
    scan: Future[Scan]


@contextmanager
def open_upload(path: Path) -> Iterator[Upload]:
    """Open the artifact at `path`, and read it on a thread: meanwhile the store can be opened.

    Raises UsageError if it can't be opened.
    """
    with archive.open_artifact(path) as file, ThreadPoolExecutor(1) as pool:
        yield Upload(path, file, pool.submit(archive.scan, file, path.name))


def publish(blobs: Blobs, upload: Upload, stamp: Stamp) -> Published:
    """Store an artifact, and the evidence beside it: see `Artifacts.publish`."""
    scan = upload.scan.result()
    mine = ArtifactRecord(
        app=scan.manifest.app,
        version=scan.manifest.version,
        digest=scan.digest,
        size=scan.size,
        commit=scan.manifest.commit,
        who=stamp.who,
        at=stamp.at,
        ci=stamp.ci,
        operation=stamp.operation,
        dirty=scan.manifest.dirty,
    )
    artifact = ArtifactId(mine.app, mine.version)
    if there := artifacts.find(blobs, artifact):
        if removed := removals.find(blobs, artifact):
            raise removals.refusal(removed)
        same = _same_bytes(there, mine)
        if blobs.size(artifacts.archive_key(there)) is None:  # someone removed them by hand
            _put(blobs, there, upload.file)
        return same
    beside = evidence.read(upload.path, scan.digest)
    _put(blobs, mine, upload.file)
    for kind, content in beside.items():
        with suppress(ConflictError):
            blobs.create(keys.evidence(artifacts.archive_key(mine), kind), content)
    try:
        blobs.create(keys.record(artifact), artifacts.encode(mine))
    except ConflictError:
        there = artifacts.decode(blobs.get(keys.record(artifact)), artifact)
        return _same_bytes(there, mine)
    return artifacts.published(mine, created=True)


def _put(blobs: Blobs, found: ArtifactRecord, file: BinaryIO) -> None:
    """Have the bytes of `file` where the record says that they are: a conflict is with the same ones."""
    with suppress(ConflictError):
        blobs.create(artifacts.archive_key(found), file, found.digest)


def _same_bytes(there: ArtifactRecord, mine: ArtifactRecord) -> Published:
    """The result of pushing `mine` where `there` is; raise ConflictError if the bytes differ."""
    if there.digest != mine.digest:
        raise ConflictError(
            f"{there.app} {there.version} has other bytes already: {there.digest}, pushed by {there.who} "
            f"at {there.at:%Y-%m-%d %H:%M} UTC; these are {mine.digest}",
            hint="a version is never reused: pack this under another --version",
        )
    return artifacts.published(there, created=there.operation == mine.operation)
