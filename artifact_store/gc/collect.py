"""Garbage collection: remove unused versions and the bytes of failed pushes.

Only the bytes of a version are removed. Its record, signatures, SBOM and provenance stay, so its history can
still be audited and its version number is never reused.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from artifact_store.artifact.ids import ArtifactId, is_version
from artifact_store.blobs.protocol import Blob, Blobs, Unfinished
from artifact_store.blobs.s3_errors import UnsupportedError
from artifact_store.core import text
from artifact_store.core.actor import Stamp
from artifact_store.core.errors import NotFoundError, StoreError, UsageError, VerificationError
from artifact_store.gc.references import IsTrusted, Retention, references
from artifact_store.records import artifacts, keys, removals
from artifact_store.records.removals import Removal

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Unused:
    """A version that nothing refers to, with the keys of its bytes and their size."""

    version: str
    pushed: datetime
    keys: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class GcPlan:
    """Everything that a run of gc will remove, unless something refers to it by then."""

    app: str
    retention: Retention
    unused: tuple[Unused, ...]
    leftovers: tuple[Blob, ...]
    """Bytes of failed pushes."""
    uploads: tuple[Unfinished, ...] | None
    """None if the store can't list them; then they stay."""
    marks: tuple[Blob, ...]
    """Marks of killed runs of gc, on versions that something refers to."""
    kept: int
    """The number of versions that stay."""
    missing: tuple[str, ...]
    """Versions that something refers to, but whose bytes are missing, and were not removed by gc."""
    marked: tuple[str, ...] = ()
    """Versions that stay, with the mark of another run, which may still work or was killed."""

    @property
    def size(self) -> int:
        """The number of bytes to remove."""
        removed: tuple[Unused | Blob | Unfinished, ...] = (
            *self.unused,
            *self.leftovers,
            *(self.uploads or ()),
        )
        return sum(item.size for item in removed)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.unused or self.leftovers or self.uploads or self.marks)


@dataclass(frozen=True)
class GcResult:
    """The result of a run of gc."""

    removed: tuple[str, ...]
    spared: tuple[str, ...]
    """Versions that something began to refer to meanwhile."""
    size: int
    """The number of bytes that were removed."""


@dataclass(frozen=True)
class Run:
    """A run of gc, which deletes nothing later than `lasts` after its start: its marks say so."""

    by: Stamp
    clock: Callable[[], datetime]
    lasts: timedelta

    @property
    def until(self) -> datetime:
        """When it has ended at the latest."""
        return self.by.at + self.lasts


@dataclass(frozen=True)
class _Version:
    record: Blob | None
    archives: tuple[Blob, ...]
    evidence: tuple[Blob, ...]
    marks: tuple[Blob, ...]


def plan(blobs: Blobs, app: str, retention: Retention, now: datetime, trusts: IsTrusted) -> GcPlan:
    """Read all versions and references, and decide what to remove. Changes nothing.

    Raises the errors of reading: if any log or record can't be read, nothing is removed.
    """
    versions = _versions(blobs, app)
    wanted = references(blobs, app, retention, now, trusts)
    unused, leftovers, marks, missing, marked = [], [], [], [], []
    for name, version in sorted(versions.items()):
        if version.record is None:
            leftovers += _old((*version.archives, *version.evidence), retention, now)
        elif _is_wanted(name, version.archives, wanted):
            leftovers += _old(_strays(blobs, ArtifactId(app, name), version), retention, now)
            missing += [] if version.archives or version.marks else [name]
        elif version.archives and _old([version.record], retention, now):
            paths = tuple(blob.key for blob in version.archives)
            size = sum(blob.size for blob in version.archives)
            unused.append(Unused(name, version.record.modified, paths, size))
        else:
            leftovers += _old(_strays(blobs, ArtifactId(app, name), version), retention, now)
        if version.archives and name not in {one.version for one in unused[-1:]}:
            ended = _ended(blobs, version.marks, retention, now)
            marks += ended
            marked += [name] if len(ended) < len(version.marks) else []
    recorded = [version for version in versions.values() if version.record and version.archives]
    return GcPlan(
        app,
        retention,
        tuple(sorted(unused, key=lambda one: (one.pushed, one.version))),
        tuple(leftovers),
        _uploads(blobs, app, retention, now),
        tuple(marks),
        len(recorded) - len(unused),
        tuple(missing),
        tuple(marked),
    )


def carry_out(blobs: Blobs, plan: GcPlan, run: Run, wait: Callable[[], None], trusts: IsTrusted) -> GcResult:
    """Remove what `plan` lists, except versions that something refers to by then.

    First all versions are marked. Then `wait` gives time to promotions that looked for marks just before, and
    to slow listings. Then the logs are read again, and only then bytes are deleted. An error takes back the
    marks of the versions whose bytes are not touched yet. A killed run leaves its marks, and the next run
    finishes its work. Raises StoreError if it takes longer than its marks last, and UsageError, with nothing
    done, if they would last too long.
    """
    by = run.by
    if run.lasts > removals.LONGEST:
        raise UsageError(
            f"this gc may take {run.lasts}, and its marks count for {removals.LONGEST} at most",
            hint="use a shorter --wait",
        )
    for blob in plan.marks:
        blobs.delete(blob.key)
    marks = {
        unused.version: keys.removal(ArtifactId(plan.app, unused.version), by.operation)
        for unused in plan.unused
    }
    waiting, spared = dict(marks), []
    try:
        for version, key in marks.items():
            blobs.create(key, removals.encode(Removal(app=plan.app, version=version, by=by, until=run.until)))
        if marks:
            wait()
        wanted = references(blobs, plan.app, plan.retention, by.at, trusts) if marks else frozenset()
        for number, unused in enumerate(plan.unused):
            if run.clock() >= run.until:
                raise StoreError(
                    f"gc took longer than {run.lasts}, and stopped after {number} of {len(plan.unused)} "
                    "versions",
                    hint="run it again for the rest",
                )
            if unused.version in wanted or wanted.intersection(map(_digest, unused.keys)):
                blobs.delete(waiting[unused.version])
                spared.append(unused.version)
                continue
            del waiting[unused.version]
            for key in unused.keys:
                blobs.delete(key)
    except BaseException:
        for key in waiting.values():
            blobs.delete(key)
        raise
    removed = tuple(unused.version for unused in plan.unused if unused.version not in spared)
    size = sum(unused.size for unused in plan.unused if unused.version not in spared)
    for blob in plan.leftovers:
        if _is_leftover(blobs, plan.app, blob):
            blobs.delete(blob.key)
            size += blob.size
    for upload in plan.uploads or ():
        blobs.abort(upload)
        size += upload.size
    return GcResult(removed, tuple(spared), size)


def take_back(blobs: Blobs, app: str) -> int:
    """Delete all marks on versions whose bytes are there; return their number. No gc may run meanwhile."""
    marks = [blob for version in _versions(blobs, app).values() if version.archives for blob in version.marks]
    for blob in marks:
        blobs.delete(blob.key)
    return len(marks)


def _ended(blobs: Blobs, marks: Iterable[Blob], retention: Retention, now: datetime) -> list[Blob]:
    """The marks of runs that have ended without removing the bytes."""
    return [blob for blob in marks if not _may_run(blobs, blob, retention, now)]


def _may_run(blobs: Blobs, mark: Blob, retention: Retention, now: datetime) -> bool:
    try:
        return removals.read(blobs, mark).may_run(now)
    except NotFoundError:
        return False
    except VerificationError:
        return not _old([mark], retention, now)


def _uploads(blobs: Blobs, app: str, retention: Retention, now: datetime) -> tuple[Unfinished, ...] | None:
    try:
        unfinished = list(blobs.unfinished(f"{app}/"))
    except UnsupportedError:
        return None
    return tuple(upload for upload in unfinished if now - upload.started > retention.grace)


def _versions(blobs: Blobs, app: str) -> dict[str, _Version]:
    """The objects of each version, by kind. Those of strangers, whose folder is no version, are left out."""
    grouped: dict[str, list[Blob]] = defaultdict(list)
    prefix = keys.artifacts(app)
    for blob in blobs.listing(prefix):
        grouped[blob.key.removeprefix(prefix).split("/")[0]].append(blob)
    return {name: _by_kind(objects) for name, objects in grouped.items() if is_version(name)}


def _by_kind(blobs: Iterable[Blob]) -> _Version:
    record = None
    archives: list[Blob] = []
    evidence: list[Blob] = []
    marks: list[Blob] = []
    for blob in blobs:
        parts = blob.key.split("/")[3:]
        if parts == ["artifact.json"]:
            record = blob
        elif len(parts) == 2 and parts[0] == "removed":
            marks.append(blob)
        elif len(parts) == 3 and _DIGEST.fullmatch(parts[0]):
            (archives if parts[2].endswith(".tgz") else evidence).append(blob)
    return _Version(record, tuple(archives), tuple(evidence), tuple(marks))


def _is_wanted(name: str, archives: Iterable[Blob], wanted: frozenset[str]) -> bool:
    return name in wanted or not wanted.isdisjoint(_digest(blob.key) for blob in archives)


def _strays(blobs: Blobs, artifact: ArtifactId, version: _Version) -> list[Blob]:
    """The objects of a version that other pushes wrote than the one in its record."""
    objects = (*version.archives, *version.evidence)
    if len({_folder(blob.key) for blob in objects}) < 2:
        return []
    record = artifacts.decode(blobs.get(keys.record(artifact)), artifact)
    return [blob for blob in objects if _folder(blob.key) != _folder(artifacts.archive_key(record))]


def _is_leftover(blobs: Blobs, app: str, blob: Blob) -> bool:
    """Whether still no record names these bytes: the push may have finished meanwhile."""
    record = artifacts.find(blobs, ArtifactId(app, blob.key.split("/")[2]))
    return record is None or _folder(artifacts.archive_key(record)) != _folder(blob.key)


def _folder(key: str) -> str:
    return key.rpartition("/")[0]


def _digest(key: str) -> str:
    return key.split("/")[3]


def _old(blobs: Iterable[Blob], retention: Retention, now: datetime) -> list[Blob]:
    return [blob for blob in blobs if now - blob.modified > retention.grace]


def facts(plan: GcPlan, result: GcResult | None) -> dict[str, object]:
    """The plan and its result as one JSON object, sizes in bytes. `result` is None after a dry run."""
    return {
        "app": plan.app,
        "unused": [asdict(version) for version in plan.unused],
        "leftovers": [asdict(blob) for blob in plan.leftovers],
        "uploads": [asdict(upload) for upload in plan.uploads or ()],
        "marks": [blob.key for blob in plan.marks],
        "size": plan.size,
        "kept": plan.kept,
        "missing": plan.missing,
        "done": asdict(result) if result else None,
    }


def lines(plan: GcPlan, now: datetime) -> list[str]:
    """The objects to remove, one line each, for people."""
    return [
        *(
            f"{plan.app} {version.version}  {text.size(version.size)}  "
            f"pushed {text.ago(version.pushed, now)}, nothing refers to it"
            for version in plan.unused
        ),
        *(
            f"{blob.key}  {text.size(blob.size)}  from a failed push {text.ago(blob.modified, now)}"
            for blob in plan.leftovers
        ),
        *(
            f"{upload.key}  {text.size(upload.size)}  "
            f"an unfinished upload, started {text.ago(upload.started, now)}"
            for upload in plan.uploads or ()
        ),
        *(
            f"{blob.key}  a mark of a gc that was killed {text.ago(blob.modified, now)}"
            for blob in plan.marks
        ),
    ]
