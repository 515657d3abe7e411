"""The store's records of converging hosts, written by the hosts themselves."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import msgspec

from artifact_store.records.hosts import HostRecord
from faprelease.config import target as config
from faprelease.config.layers import Scope
from faprelease.config.target import Target
from faprelease.errors import ConfigError
from faprelease.request import Request
from faprelease.run.run import load
from faprelease.run.store_head import store_of

if TYPE_CHECKING:
    from artifact_store.stages.log_rules import StageState


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """The last record of one host, as `faprelease status --store --json` prints it."""

    stage: str
    role: str
    host: str
    runs: str = ""
    """The release that runs after it."""
    outcome: Literal["", "healthy", "failed", "undone", "unknown"] = ""
    """The outcome of `version`; empty for a host of deploy.yml that never recorded anything."""
    version: str = ""
    digest: str = ""
    entry: int = 0
    at: str = ""
    """When it last changed anything (RFC 3339, UTC)."""
    problem: str = ""
    lags: bool = True
    """Whether it runs something else than what was promoted."""


def read(request: Request) -> list[Recorded]:
    """Return the status of all hosts of a stage or role: those with a record, and those that deploy.yml
    names.

    No host is contacted. Raises ConfigError, and StoreError and its subclasses.
    """
    from artifact_store.store.store import open_store

    file, options = load(request.file, request.flags)
    known, found = {**config.CORE, **options}, []
    for role in config.roles_of(file, request.stage, request.role, options):
        scope = Scope(file, known, request.stage, role, request.flags)
        values = scope.effective().values
        where = os.environ.get("FAP_STORE") or values["store"]
        if not where:
            raise ConfigError(
                "no store is named", hint="add it to deploy.yml: store: s3://bucket/prefix, or set FAP_STORE"
            )
        store, app = open_store(where, existing=True), values["project_name"]
        head, records = store.stages.head(app, request.stage), store.records.hosts(app, request.stage, role)
        named = [entry.address for entry in scope.hosts()] if values["manager"] == "converge" else []
        found += statuses(head, records, named, request.stage, role)
    return found


def statuses(
    head: "StageState | None", records: Iterable[HostRecord], named: Iterable[str], stage: str, role: str
) -> list[Recorded]:
    """Return a row for each host of a role: by its record, or because deploy.yml names it. Pure."""
    rows = {name: Recorded(stage=stage, role=role, host=name) for name in named}
    for record in records:
        healthy = record.outcome == "healthy"
        rows[record.host] = Recorded(
            stage=stage,
            role=role,
            host=record.host,
            runs=record.release if healthy else record.previous,
            outcome=record.outcome,
            version=record.version,
            digest=record.digest,
            entry=record.entry,
            at=f"{record.at:%Y-%m-%dT%H:%M:%SZ}",
            problem=record.problem,
            lags=not healthy or head is None or record.digest != head.digest,
        )
    return [rows[name] for name in sorted(rows)]


def of(target: Target, host: str) -> HostRecord | None:
    """Return the last record of a host; None without one, or if the store can't list. Raises StoreError."""
    from artifact_store.store.store import open_store

    store, settings = open_store(store_of(target), existing=True), target.settings
    if not store.can_list:
        return None
    return store.records.host(settings.project_name, settings.stage, settings.role, host)


def write(target: Target, record: HostRecord) -> None:
    """Add a record, if the store can be written; raises StoreError and its subclasses."""
    from artifact_store.store.store import open_store

    store = open_store(store_of(target), existing=True)
    if store.can_write:
        store.records.add_host(record)
