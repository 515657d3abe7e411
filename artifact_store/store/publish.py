"""Publish the file of an artifact as a version of its app. The record is written last.

Each push writes its bytes into its own folder, which no other push uses. So gc, which removes the bytes of
failed pushes, can't remove those of another push. What the newest versions have is copied inside the store;
if there is any doubt about a copy, the whole is sent, to another folder.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from msgspec.structs import replace

from artifact_store.artifact import archive, evidence
from artifact_store.artifact.archive import Scan
from artifact_store.artifact.ids import ArtifactId
from artifact_store.artifact.manifest import Manifest
from artifact_store.artifact.peek import open_source, peek
from artifact_store.blobs.protocol import Blobs, CopyError
from artifact_store.core import text
from artifact_store.core.actor import Stamp
from artifact_store.core.errors import ConflictError, VerificationError
from artifact_store.records import artifacts, keys, removals
from artifact_store.records.artifacts import ArtifactRecord, Published
from artifact_store.store import reuse


@dataclass(frozen=True)
class Upload:
    """The open file of an artifact, and the result of reading it, which may still be running."""

    path: Path
    file: BinaryIO
    scan: Future[Scan]
    known: Scan | None = None
    """What the file says of itself, and its maker of its sha256; a push checks all of it by `scan`."""

    def check(self) -> None:
        """Wait until the whole file is read. Raises VerificationError if it is not what `known` says."""
        scan = self.scan.result()
        if self.known not in (None, scan):
            raise VerificationError(
                f"{self.path.name} is not the artifact that was packed: its sha256 is {scan.digest}",
                hint="make sure nothing writes to the file, then pack it again",
            )


@contextmanager
def open_upload(path: Path, digest: str = "") -> Iterator[Upload]:
    """Open the artifact at `path`, and read it in a thread while the store is opened.

    With `digest`, its sha256 as the program that made it knows it, it is read while it is stored, too. Raises
    UsageError if it can't be opened, and with `digest` VerificationError if it is no artifact.
    """
    with (
        archive.open_artifact(path) as file,
        archive.open_artifact(path) as scanned,
        ThreadPoolExecutor(1) as pool,
    ):
        scan = pool.submit(archive.scan, scanned, path.name)
        yield Upload(path, file, scan, _known(path, digest) if digest else None)


def _known(path: Path, digest: str) -> Scan:
    with open_source(str(path)) as source:
        outline = peek(source)
    return Scan(outline.manifest, digest, outline.root, outline.size)


def publish(blobs: Blobs, upload: Upload, stamp: Stamp) -> Published:
    """Store an artifact, and the evidence beside it: see `Artifacts.publish`."""
    scan = upload.known or upload.scan.result()
    record = ArtifactRecord(
        app=scan.manifest.app,
        version=scan.manifest.version,
        digest=scan.digest,
        root=scan.root,
        size=scan.size,
        commit=scan.manifest.commit,
        who=stamp.who,
        at=stamp.at,
        ci=stamp.ci,
        operation=stamp.operation,
        dirty=scan.manifest.dirty,
    )
    artifact = ArtifactId(record.app, record.version)
    if stored := artifacts.find(blobs, artifact):
        has_bytes = artifacts.has_bytes(blobs, stored)
        if removal := removals.find(blobs, stored, stamp.at):
            raise removals.refusal(removal, gone=not has_bytes)
        result = _same_bytes(stored, record)
        upload.check()
        if has_bytes:
            return result
        _put(blobs, stored, upload.file)  # someone removed them by hand
        return replace(result, uploaded=stored.size)
    evidence_files = evidence.read(upload.path, scan.digest)
    pushed = _put_what_is_new(blobs, record, upload.file, scan.manifest)
    record = replace(record, operation=pushed.operation)
    upload.check()
    for kind, content in evidence_files.items():
        with suppress(ConflictError):
            blobs.create(keys.evidence(artifacts.archive_key(record), kind), content)
    try:
        blobs.create(keys.record(artifact), artifacts.encode(record))
    except ConflictError:
        stored = artifacts.decode(blobs.get(keys.record(artifact)), artifact)
        return replace(
            _same_bytes(stored, record),
            uploaded=pushed.uploaded,
            copied_from=pushed.copied_from,
            not_copied=pushed.not_copied,
        )
    return pushed


def moved(pushed: Published) -> str:
    """How many bytes a push sent, for people; empty if all, and nothing else was tried."""
    if pushed.not_copied:
        return f"sent all {text.size(pushed.size)}: {pushed.not_copied}"
    if not pushed.copied_from:
        return ""
    versions = " and ".join(pushed.copied_from)
    sent = f"sent {text.size(pushed.uploaded)} of {text.size(pushed.size)}"
    return f"{sent}; the rest was copied from {versions} in the store"


def _put_what_is_new(blobs: Blobs, record: ArtifactRecord, file: BinaryIO, manifest: Manifest) -> Published:
    """Write the bytes of `file` to the key of the record, with copies of what the newest versions have.

    If they can't be copied, write the whole to the key of another record, which is in the result.
    """
    whole = artifacts.published(record, created=True, uploaded=record.size)
    if record.size < reuse.LARGE:
        _put(blobs, whole, file)
        return whole
    known = reuse.find(blobs, manifest, record.size - manifest.offsets[-1])
    problem = known.problem
    if known.ranges:
        try:
            sent = blobs.create_with(artifacts.archive_key(record), file, record.digest, known.ranges)
        except CopyError as error:
            problem = error.message
            whole = replace(whole, operation=f"{record.operation}-whole")
        else:
            copied_from = known.versions if sent < record.size else ()
            return replace(whole, uploaded=sent, copied_from=copied_from)
    _put(blobs, whole, file)
    return replace(whole, not_copied=problem)


def _put(blobs: Blobs, record: ArtifactRecord, file: BinaryIO) -> None:
    """Write the bytes of `file` to the key of the record; on a conflict, the same bytes are there."""
    with suppress(ConflictError):
        blobs.create(artifacts.archive_key(record), file, record.digest)


def _same_bytes(stored: ArtifactRecord, pushed: ArtifactRecord) -> Published:
    """The result of a push to an existing version. Raises ConflictError if the bytes differ."""
    if stored.digest != pushed.digest:
        raise ConflictError(
            f"{stored.app} {stored.version} exists with other bytes: {stored.digest}, pushed by {stored.who} "
            f"at {stored.at:%Y-%m-%d %H:%M} UTC; these are {pushed.digest}",
            hint="pack with a new --version; version numbers are never reused",
        )
    return artifacts.published(stored, created=stored.operation == pushed.operation)
