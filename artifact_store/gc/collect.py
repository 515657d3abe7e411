"""gc: remove versions that nothing refers to, and what killed pushes left; read, decide, act.

Of a version only the bytes go: record, signatures, SBOM and provenance stay, so that who did what can still
be told, and its name is never free again.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

from artifact_store.artifact.ids import ArtifactId
from artifact_store.blobs.protocol import Blob, Blobs, Unfinished
from artifact_store.core import text
from artifact_store.core.actor import Stamp
from artifact_store.gc.references import IsTrusted, Retention, references
from artifact_store.records import artifacts, keys, removals
from artifact_store.records.removals import Removal

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Unused:
    """A version that nothing refers to: `keys` are its bytes, `size` of them."""

    version: str
    pushed: datetime
    keys: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class GcPlan:
    """All that a run of gc will remove, unless something refers to it by then; nothing else."""

    app: str
    rules: Retention
    unused: tuple[Unused, ...]
    leftovers: tuple[Blob, ...]
    """Of pushes that were killed, or lost against other bytes of the same version."""
    uploads: tuple[Unfinished, ...]
    marks: tuple[Blob, ...]
    """Of runs of gc that were killed, on versions that something refers to."""
    kept: int
    """How many versions stay."""
    missing: tuple[str, ...]
    """Versions that something refers to, whose bytes are not there, and which no gc removed."""

    @property
    def size(self) -> int:
        """The bytes that are removed."""
        found: tuple[Unused | Blob | Unfinished, ...] = (*self.unused, *self.leftovers, *self.uploads)
        return sum(one.size for one in found)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.unused or self.leftovers or self.uploads or self.marks)


@dataclass(frozen=True)
class GcResult:
    """What a run of gc did."""

    removed: tuple[str, ...]
    spared: tuple[str, ...]
    """Versions that something came to refer to meanwhile."""
    size: int
    """The bytes that were removed."""


@dataclass(frozen=True)
class _Version:
    record: Blob | None
    archives: tuple[Blob, ...]
    evidence: tuple[Blob, ...]
    marks: tuple[Blob, ...]


def plan(blobs: Blobs, app: str, rules: Retention, now: datetime, trusts: IsTrusted) -> GcPlan:
    """Read what there is and what refers to it; decide what goes. Changes nothing.

    Raises what reading raises: a log or record that can't be read ends it here.
    """
    versions = _versions(blobs, app)
    wanted = references(blobs, app, rules, now, trusts)
    unused, leftovers, marks, missing = [], [], [], []
    for name, found in sorted(versions.items()):
        if found.record is None:
            leftovers += _old((*found.archives, *found.evidence), rules, now)
        elif _is_wanted(name, found.archives, wanted):
            leftovers += _old(_strays(blobs, ArtifactId(app, name), found), rules, now)
            marks += _old(found.marks, rules, now) if found.archives else []
            missing += [] if found.archives or found.marks else [name]
        elif found.archives and _old([found.record], rules, now):
            paths = tuple(blob.key for blob in found.archives)
            size = sum(blob.size for blob in found.archives)
            unused.append(Unused(name, found.record.modified, paths, size))
        else:
            leftovers += _old(_strays(blobs, ArtifactId(app, name), found), rules, now)
    recorded = [found for found in versions.values() if found.record and found.archives]
    uploads = (upload for upload in blobs.unfinished(f"{app}/") if now - upload.started > rules.grace)
    return GcPlan(
        app,
        rules,
        tuple(sorted(unused, key=lambda version: (version.pushed, version.version))),
        tuple(leftovers),
        tuple(uploads),
        tuple(marks),
        len(recorded) - len(unused),
        tuple(missing),
    )


def carry_out(blobs: Blobs, plan: GcPlan, by: Stamp, wait: Callable[[], None], trusts: IsTrusted) -> GcResult:
    """Remove what `plan` lists and nothing refers to by then.

    All versions are marked, then `wait` gives time to whoever looked for marks just before (and to slow
    listings), then the logs are read again, and only then bytes are deleted. An error before that takes the
    marks back; a run that is killed leaves marks, and the next run finishes.
    """
    for blob in plan.marks:
        blobs.delete(blob.key)
    marks = {
        found.version: keys.removal(ArtifactId(plan.app, found.version), by.operation)
        for found in plan.unused
    }
    spared = []
    try:
        for version, key in marks.items():
            blobs.create(key, removals.encode(Removal(app=plan.app, version=version, by=by)))
        if marks:
            wait()
        wanted = references(blobs, plan.app, plan.rules, by.at, trusts) if marks else frozenset()
    except BaseException:
        for key in marks.values():
            blobs.delete(key)
        raise
    for unused in plan.unused:
        if unused.version in wanted or wanted.intersection(map(_digest, unused.keys)):
            blobs.delete(marks[unused.version])
            spared.append(unused.version)
            continue
        for key in unused.keys:
            blobs.delete(key)
    removed = tuple(unused.version for unused in plan.unused if unused.version not in spared)
    size = sum(unused.size for unused in plan.unused if unused.version not in spared)
    for blob in plan.leftovers:
        if _is_leftover(blobs, plan.app, blob):
            blobs.delete(blob.key)
            size += blob.size
    for upload in plan.uploads:
        blobs.abort(upload)
        size += upload.size
    return GcResult(removed, tuple(spared), size)


def _versions(blobs: Blobs, app: str) -> dict[str, _Version]:
    """The keys of each version, by what they are."""
    grouped: dict[str, list[Blob]] = defaultdict(list)
    prefix = keys.artifacts(app)
    for blob in blobs.listing(prefix):
        grouped[blob.key.removeprefix(prefix).split("/")[0]].append(blob)
    return {name: _sorted_out(blobs_) for name, blobs_ in grouped.items()}


def _sorted_out(blobs: Iterable[Blob]) -> _Version:
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


def _strays(blobs: Blobs, artifact: ArtifactId, found: _Version) -> list[Blob]:
    """What lies in the folders of other pushes than the one that made the version."""
    held = (*found.archives, *found.evidence)
    if len({_folder(blob.key) for blob in held}) < 2:
        return []
    made = artifacts.decode(blobs.get(keys.record(artifact)), artifact)
    return [blob for blob in held if _folder(blob.key) != _folder(artifacts.archive_key(made))]


def _is_leftover(blobs: Blobs, app: str, blob: Blob) -> bool:
    """Whether still no record names these bytes: the push may have finished meanwhile."""
    found = artifacts.find(blobs, ArtifactId(app, blob.key.split("/")[2]))
    return found is None or _folder(artifacts.archive_key(found)) != _folder(blob.key)


def _folder(key: str) -> str:
    return key.rpartition("/")[0]


def _digest(key: str) -> str:
    return key.split("/")[3]


def _old(blobs: Iterable[Blob], rules: Retention, now: datetime) -> list[Blob]:
    return [blob for blob in blobs if now - blob.modified > rules.grace]


def facts(found: GcPlan, done: GcResult | None) -> dict[str, object]:
    """One object for programs; sizes in bytes. `done` is None after a dry run."""
    return {
        "app": found.app,
        "unused": [asdict(version) for version in found.unused],
        "leftovers": [asdict(blob) for blob in found.leftovers],
        "uploads": [asdict(upload) for upload in found.uploads],
        "marks": [blob.key for blob in found.marks],
        "size": found.size,
        "kept": found.kept,
        "missing": found.missing,
        "done": asdict(done) if done else None,
    }


def lines(found: GcPlan, now: datetime) -> list[str]:
    """What is to go, for people, a line each."""
    return [
        *(
            f"{found.app} {version.version}  {text.size(version.size)}  "
            f"pushed {text.ago(version.pushed, now)}, nothing refers to it"
            for version in found.unused
        ),
        *(
            f"{blob.key}  {text.size(blob.size)}  left by a push {text.ago(blob.modified, now)}"
            for blob in found.leftovers
        ),
        *(
            f"{upload.key}  {text.size(upload.size)}  "
            f"an upload that was begun {text.ago(upload.started, now)} and never ended"
            for upload in found.uploads
        ),
        *(
            f"{blob.key}  a mark of a gc that was killed {text.ago(blob.modified, now)}"
            for blob in found.marks
        ),
    ]
