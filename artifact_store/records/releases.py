"""Records of releases: one for each run of `faprelease` and each role, never changed.

    <app>/releases/<stage>/<role>/<time>-<entry>-<operation>.json

A record is an envelope. It names the entry of the stage's log that was released. Records are ordered by these
entries, because their times come from different clocks.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Literal

import msgspec

from artifact_store.core.errors import VerificationError
from artifact_store.records import envelope, keys

Outcome = Literal["healthy", "failed", "undone", "partly", "unknown"]
"""`healthy`: published, and its health check passed; `failed`: not published, the old release still runs;
`undone`: published, and rolled back; `partly`: the hosts differ (only of a whole run); `unknown`: the
connection was lost."""


class HostOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome on one host; never `partly`."""

    host: str
    outcome: Outcome


class ReleaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run of `faprelease` for one role of a stage, over all its hosts."""

    app: str
    stage: str
    role: str
    action: Literal["release", "rollback"]
    release: str
    """The id of the new release or, for a rollback, of the release it went back to: `261122-185409`."""
    previous: str
    """The id of the release that ran before; empty if there was none, or hosts had different ones."""
    version: str
    """The version of the artifact in `release`; empty for a tgz without a manifest."""
    digest: str
    """The sha256 of that artifact, in hexadecimal."""
    root: str = ""
    """The root by which its hosts checked it; empty if they read the whole."""
    config: str
    """The digest of the configuration, or empty."""
    entry: int
    """The number of the entry of the stage's log; 0 for a release by URL and for a rollback on hosts."""
    outcome: Outcome
    hosts: tuple[HostOutcome, ...]
    who: str
    at: datetime
    """When the run ended, in UTC, by the controller's clock."""
    ci: str
    """The URL of the CI run, or empty."""
    note: str = ""
    """What it did in spite of a check, and which, for people; or empty."""
    operation: str
    """The random id of the run. A writer whose reply was lost recognises its own record by it."""


def not_healthy(records: Iterable[ReleaseRecord], digest: str, entries: Collection[int]) -> str:
    """The reason why an artifact does not count as released and healthy; empty if it does.

    Each role that got it by one of these entries of the stage's log needs a healthy release of it that was
    not rolled back later. Clocks are not used. A rollback on hosts has entry 0.
    """
    known = tuple(records)
    rolled_back = {(r.role, r.previous) for r in known if r.action == "rollback" and r.outcome != "failed"}
    tried = [r for r in known if r.action == "release" and r.digest == digest and r.entry in entries]
    healthy = {r.role for r in tried if r.outcome == "healthy" and (r.role, r.release) not in rolled_back}
    missing = sorted({r.role for r in tried} - healthy)
    if missing:
        return f"it is not healthy as {' and '.join(missing)}"
    return "" if healthy else "it was never released there"


def key(record: ReleaseRecord) -> str:
    """The key of a record. Raises UsageError if a name in it is not valid."""
    return keys.release(record.app, record.stage, record.role, record.at, record.entry, record.operation)


def encode(record: ReleaseRecord) -> bytes:
    """Encode a record."""
    return envelope.seal(msgspec.json.encode(record))


def decode(data: bytes, where: str) -> ReleaseRecord:
    """Decode the record at the key `where`. Raises VerificationError if it is not the record of that key."""
    record, _ = envelope.read(data, ReleaseRecord, where)
    if key(record) != where:
        raise VerificationError(
            f"{where} belongs to another run: {key(record)}",
            hint="someone copied it there: find out who can write to the store",
        )
    return record
