"""What `faprelease` did with one role of a stage, and how it ended: a record for each run, never changed.

    <app>/releases/<stage>/<role>/<time>-<entry>-<operation>.json

A record is an envelope. It says which entry of the stage's log was released; the order that counts is that
of the entries, since the times are those of many clocks.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Literal

import msgspec

from artifact_store.core.errors import VerificationError
from artifact_store.records import envelope, keys

Outcome = Literal["healthy", "failed", "undone", "partly", "unknown"]
"""`healthy`: published, and its gate passed; `failed`: not published, the old release runs on; `undone`:
published, and gone back; `partly`: the hosts differ (a whole run's outcome only); `unknown`: lost."""


class HostOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended on one host; `partly` is never said of one."""

    host: str
    outcome: Outcome


class ReleaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run of `faprelease` for one role of a stage, over all its hosts."""

    app: str
    stage: str
    role: str
    action: Literal["release", "rollback"]
    release: str
    """The id of the release that was made or, by a rollback, gone back to: `261122-185409`."""
    previous: str
    """The id of the release that ran before, which a rollback leaves; empty if none or several."""
    version: str
    """The version of the artifact in `release`; empty for a tgz that has no manifest."""
    digest: str
    """The sha256 of that artifact, in hexadecimal."""
    config: str
    """The digest of the configuration it was released with, or empty."""
    entry: int
    """The number of the stage's log entry that was released, or 0: released by URL, or gone back on hosts."""
    outcome: Outcome
    hosts: tuple[HostOutcome, ...]
    who: str
    at: datetime
    """When the run ended, in UTC, by the controller's clock."""
    ci: str
    """The URL of the CI run, or empty."""
    operation: str
    """The random id of the run: by it a writer whose reply was lost recognises its own record."""


def not_healthy(records: Iterable[ReleaseRecord], digest: str, entries: Collection[int]) -> str:
    """Why an artifact does not count as released and healthy; empty if it does.

    Each role that got it by one of these entries of the stage's log needs a healthy release of it which no
    rollback has left since. No clock is asked. Rollbacks on hosts know no entry: theirs is 0.
    """
    known = tuple(records)
    left = {(r.role, r.previous) for r in known if r.action == "rollback" and r.outcome != "failed"}
    tried = [r for r in known if r.action == "release" and r.digest == digest and r.entry in entries]
    healthy = {r.role for r in tried if r.outcome == "healthy" and (r.role, r.release) not in left}
    missing = sorted({r.role for r in tried} - healthy)
    if missing:
        return f"it is not healthy as {' and '.join(missing)}"
    return "" if healthy else "it was never released there"


def key(record: ReleaseRecord) -> str:
    """Where the record lies; raises UsageError if a name in it can't be part of a key."""
    return keys.release(record.app, record.stage, record.role, record.at, record.entry, record.operation)


def encode(record: ReleaseRecord) -> bytes:
    """The bytes of a record."""
    return envelope.seal(msgspec.json.encode(record))


def decode(data: bytes, where: str) -> ReleaseRecord:
    """Read the record at the key `where`; raise VerificationError if it is none, or another key's."""
    record, _ = envelope.read(data, ReleaseRecord, where)
    if key(record) != where:
        raise VerificationError(
            f"{where} is the record of another run: {key(record)}",
            hint="someone copied it there: find out who can write to the store",
        )
    return record
