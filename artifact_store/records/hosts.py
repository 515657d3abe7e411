"""Records of hosts that update themselves (`faprelease converge`): one for each change, never changed.

    <app>/hosts/<stage>/<role>/<host>/<entry>-<time>-<operation>.json

The names of a host's records sort by the entry of the stage's log that it tried, and then by its own clock.
The last one has the state of the host, and the highest entry that it ever tried, even after the host itself
was restored from an old snapshot.
"""

from datetime import datetime
from typing import Literal

import msgspec

from artifact_store.blobs.protocol import Blobs, keep
from artifact_store.core.errors import VerificationError
from artifact_store.records import envelope, keys


class HostRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run on a host that tried to install the version of its stage."""

    app: str
    stage: str
    role: str
    host: str
    entry: int
    """The number of the entry of the stage's log, from 1."""
    version: str
    digest: str
    """The sha256 of the artifact that the entry names, in hexadecimal."""
    config: str
    """The digest of the configuration, or empty."""
    release: str
    """The id of the new release (`261122-185409`), or empty if there was none."""
    previous: str
    """The id of the release that ran before, or empty."""
    outcome: Literal["healthy", "failed", "undone", "unknown"]
    """As in `releases.Outcome`. After `failed` and `undone`, `previous` still runs."""
    problem: str
    """What went wrong, for people, or empty. Contains no secret."""
    at: datetime
    """When the run ended, in UTC, by the host's clock."""
    fapkit: str
    """The version of fapkit on the host."""
    operation: str
    """The random id of the run. A writer whose reply was lost recognises its own record by it."""


def write(blobs: Blobs, record: HostRecord) -> None:
    """Write a record; writing the same record again is allowed.

    Raises ConflictError if another record has its key, UsageError if a name in it is not valid.
    """
    keep(blobs, key(record), envelope.seal(msgspec.json.encode(record)))


def latest(blobs: Blobs, app: str, stage: str, role: str, host: str) -> HostRecord | None:
    """The last record of a host with the highest entry; None if it has no records.

    Raises VerificationError if it can't be read.
    """
    records = _last_of_each(blobs, keys.host(app, stage, role, host))
    return records[0] if records else None


def all_latest(blobs: Blobs, app: str, stage: str, role: str | None = None) -> tuple[HostRecord, ...]:
    """The latest record of each host of a stage, or of one of its roles; sorted by role and host."""
    records = _last_of_each(blobs, keys.hosts(app, stage, role))
    return tuple(sorted(records, key=lambda record: (record.role, record.host)))


def key(record: HostRecord) -> str:
    """The key of a record. Raises UsageError if a name in it is not valid."""
    folder = keys.host(record.app, record.stage, record.role, record.host)
    return keys.host_record(folder, record.entry, record.at, record.operation)


def _last_of_each(blobs: Blobs, prefix: str) -> list[HostRecord]:
    last: dict[str, str] = {}
    for name in blobs.keys(prefix):
        if folder := keys.host_folder(name):
            last[folder] = max(name, last.get(folder, ""))
    return [
        _decode(data, name)
        for name, data in zip(last.values(), blobs.get_each(last.values()), strict=True)
        if data is not None
    ]


def _decode(data: bytes, where: str) -> HostRecord:
    record, _ = envelope.read(data, HostRecord, where)
    if key(record) != where:
        raise VerificationError(
            f"{where} belongs to another host or run: {key(record)}",
            hint="someone copied it there: find out who can write to the store",
        )
    return record
