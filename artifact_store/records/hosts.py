"""What a host did by itself (`faprelease converge`), a record for each change; never changed.

    <app>/hosts/<stage>/<role>/<host>/<entry>-<time>-<operation>.json

The names of a host's records sort by the entry of the stage's log that it tried, and then by its own clock:
the last one tells where it stands, and the highest entry that it has ever seen, even if the host itself was
restored from an old snapshot.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Literal

import msgspec

from artifact_store.blobs.protocol import Blobs, keep
from artifact_store.core.errors import VerificationError
from artifact_store.records import envelope, keys

_THREADS = 4


class HostRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run on a host that tried to bring it to what its stage should run."""

    app: str
    stage: str
    role: str
    host: str
    entry: int
    """The number of the stage's log entry that it tried, from 1."""
    version: str
    digest: str
    """The sha256 of the artifact that the entry names, in hexadecimal."""
    config: str
    """The digest of the configuration that it tried it with, or empty."""
    release: str
    """The id of the release that was made: `261122-185409`; empty if it did not come to that."""
    previous: str
    """The id of the release that ran before, or empty."""
    outcome: Literal["healthy", "failed", "undone", "unknown"]
    """As in `releases.Outcome`: after `failed` and `undone`, `previous` runs on."""
    problem: str
    """What went wrong, for people, or empty; holds no secret."""
    at: datetime
    """When the run ended, in UTC, by the host's clock."""
    fapkit: str
    """The version of fapkit on the host."""
    operation: str
    """The random id of the run: by it a writer whose reply was lost recognises its own record."""


def write(blobs: Blobs, record: HostRecord) -> None:
    """Keep a record; the same one again is no error.

    Raises ConflictError if its place holds another one; UsageError if a name in it can't be part of a key.
    """
    keep(blobs, key(record), envelope.seal(msgspec.json.encode(record)))


def latest(blobs: Blobs, app: str, stage: str, role: str, host: str) -> HostRecord | None:
    """Where a host stands: its record with the highest entry, the last one of that; None if it has none.

    Raises VerificationError for what is no record.
    """
    found = _last_of_each(blobs, keys.host(app, stage, role, host))
    return found[0] if found else None


def all_latest(blobs: Blobs, app: str, stage: str, role: str | None = None) -> tuple[HostRecord, ...]:
    """Where each host of a stage, or of one of its roles, stands; by role and host. Raises as `latest`."""
    found = _last_of_each(blobs, keys.hosts(app, stage, role))
    return tuple(sorted(found, key=lambda record: (record.role, record.host)))


def key(record: HostRecord) -> str:
    """Where the record lies; raises UsageError if a name in it can't be part of a key."""
    folder = keys.host(record.app, record.stage, record.role, record.host)
    return keys.host_record(folder, record.entry, record.at, record.operation)


def _last_of_each(blobs: Blobs, prefix: str) -> list[HostRecord]:
    last: dict[str, str] = {}
    for found in blobs.keys(prefix):
        if folder := keys.host_folder(found):
            last[folder] = max(found, last.get(folder, ""))
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda found: _decode(blobs.get(found), found), last.values()))


def _decode(data: bytes, where: str) -> HostRecord:
    record, _ = envelope.read(data, HostRecord, where)
    if key(record) != where:
        raise VerificationError(
            f"{where} is the record of another host or run: {key(record)}",
            hint="someone copied it there: find out who can write to the store",
        )
    return record
