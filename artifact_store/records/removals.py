"""The mark of gc on a version, written before its bytes are deleted and kept afterwards.

Each run of gc writes its own marks and takes back only those, so any number of runs may work at once.
A promotion looks for marks after it wrote its entry, and gc reads the logs after it wrote its marks: so at
least one of the two sees the other.

A mark says when its run has ended at the latest: a run deletes nothing later than that. So the marks of a
killed run count for nothing in time, and each one after a day, whatever it says. Only a version whose bytes
are gone is removed.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from artifact_store.artifact.ids import ArtifactId
from artifact_store.blobs.protocol import Blob, Blobs
from artifact_store.core.actor import Stamp
from artifact_store.core.errors import NotFoundError, RemovedError, StoreError, VerificationError
from artifact_store.core.hints import Hint
from artifact_store.records import artifacts, keys
from artifact_store.records.artifacts import ArtifactRecord

LONGEST = timedelta(days=1)
"""How long a run of gc lasts at most, and so how long after it was written a mark may count."""
_SKEW = timedelta(minutes=30)
"""The most by which two clocks differ that S3 accepts."""


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """A version, and the run of gc that removes or removed it."""

    app: str
    version: str
    by: Stamp
    """The run of gc; its time is when it started."""
    until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    """When that run has ended at the latest, in UTC. None in marks of an older fapkit, which say nothing."""

    def may_run(self, now: datetime) -> bool:
        """Whether the run may still delete bytes."""
        return self.until is None or now < self.until + _SKEW


def encode(removal: Removal) -> bytes:
    """Encode a mark."""
    return msgspec.json.encode(removal) + b"\n"


def find(blobs: Blobs, record: ArtifactRecord, now: datetime) -> Removal | None:
    """A mark of a run that removed the bytes of a version, or may still do so; None if there is none.

    What can't be read is a stranger's object, and no mark. A store that can't be listed shows no marks.
    """
    if not blobs.can_list:
        return None
    marks = list(_all(blobs, ArtifactId(record.app, record.version)))
    running = [mark for mark in marks if mark.may_run(now)]
    if marks and not running and not artifacts.has_bytes(blobs, record):
        return marks[0]
    return running[0] if running else None


def _all(blobs: Blobs, artifact: ArtifactId) -> Iterator[Removal]:
    for blob in blobs.listing(keys.removals(artifact)):
        with suppress(NotFoundError, VerificationError):  # taken back meanwhile, or a stranger's
            yield read(blobs, blob)


def read(blobs: Blobs, mark: Blob) -> Removal:
    """Read a mark, whose run has ended a day after the mark was written at the latest.

    Raises NotFoundError if it was taken back meanwhile, and VerificationError if it is none.
    """
    data = blobs.get(mark.key)
    try:
        removal = msgspec.json.decode(data, type=Removal)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise VerificationError(
            f"{blobs.name}: {mark.key} can't be read: {error}", hint="was it written by fapstore?"
        ) from error
    latest = mark.modified + LONGEST
    return msgspec.structs.replace(removal, until=min(removal.until or latest, latest))


def refusal(removal: Removal, *, gone: bool, place: str = "") -> StoreError:
    """The error for using a version that was removed, or may be soon if its bytes are not `gone` yet.

    `place` is the store, if there are two.
    """
    by = f"with `fapstore gc` by {removal.by.who} at {removal.by.at:%Y-%m-%d %H:%M} UTC"
    if gone:
        return RemovedError(
            f"{removal.app} {removal.version} was removed {f'from {place} ' * bool(place)}{by}",
            hint="check out its commit and pack it with a new --version; version numbers are never reused",
        )
    ends = f" by {removal.until + _SKEW:%H:%M} UTC" if removal.until else ""
    return StoreError(
        f"{removal.app} {removal.version} is being removed, or was removed {by}",
        hint=Hint(
            f"wait until that gc has ended{ends}; if it was killed and no other one runs: "
            "{fapstore} gc {app} --take-back",
            app=removal.app,
        ),
    )
