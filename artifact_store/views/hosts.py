"""What hosts really run, from the records of releases and of hosts that update themselves. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from artifact_store.records.hosts import HostRecord
from artifact_store.records.releases import ReleaseRecord


@dataclass(frozen=True, kw_only=True)
class RunningHost:
    """A host of a role, as the last record about it says."""

    role: str
    host: str
    version: str
    """What it runs; empty if no record says it."""
    release: str
    """The id of the release that it runs, or empty."""
    outcome: str
    """The outcome of the last run there; see `releases.Outcome`."""
    tried: str
    """The version of that run."""
    at: datetime
    """When that run ended, in UTC."""


def running(releases: Iterable[ReleaseRecord], hosts: Iterable[HostRecord]) -> tuple[RunningHost, ...]:
    """What each host runs, sorted by role and host."""
    versions: dict[tuple[str, str, str], str] = {}
    rows: dict[tuple[str, str], RunningHost] = {}
    for run in sorted(releases, key=lambda run: run.at):
        for each in run.hosts:
            place = (run.role, each.host)
            versions[*place, run.release] = run.version
            stays = run.release if each.outcome == "healthy" else run.previous
            if each.outcome == "unknown":
                stays = ""
            before = rows.get(place)
            if not stays and before and each.outcome != "unknown":
                stays = before.release  # hosts had different releases before
            rows[place] = RunningHost(
                role=run.role,
                host=each.host,
                version=versions.get((*place, stays), ""),
                release=stays,
                outcome=each.outcome,
                tried=run.version,
                at=run.at,
            )
    for record in hosts:
        place = (record.role, record.host)
        before = rows.get(place)
        if before and before.at > record.at:
            continue
        healthy = record.outcome == "healthy"
        stays = record.release if healthy else "" if record.outcome == "unknown" else record.previous
        rows[place] = RunningHost(
            role=record.role,
            host=record.host,
            version=record.version if healthy else versions.get((*place, stays), ""),
            release=stays,
            outcome=record.outcome,
            tried=record.version,
            at=record.at,
        )
    return tuple(rows[place] for place in sorted(rows))
