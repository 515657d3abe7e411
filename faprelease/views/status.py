"""The live release and all releases of each host, and how hosts differ from what they should be. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from faprelease.config.target import Target
from faprelease.hosts.host_json import decode
from faprelease.hosts.retention import KEEP_AS_EVIDENCE
from faprelease.hosts.state import HostState, Release
from faprelease.steps.model import Step, host_script
from faprelease.steps.place import Place

T = TypeVar("T")


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the live release, as its manager knows it."""

    name: str
    up: int | None = None
    """For how many seconds it has run; None if it does not run."""
    restarts: int | None = None
    """How often its manager started it again after it had ended; None if nobody counts."""


class ScheduleStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule of the live release, and its last run."""

    name: str
    at: str
    """The five fields of cron."""
    timezone: str
    next: str = ""
    """When it runs next (RFC 3339, UTC)."""
    started: str = ""
    """When the last run started (RFC 3339, UTC); empty if there was none."""
    ended: str = ""
    running: bool = False
    code: int | None = None
    """Its exit code; None while it runs, or if it was killed before it could record one."""
    release: str = ""
    """The release in which it ran."""


class HostStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The live release of one role on one host, as `faprelease status --json` prints it."""

    stage: str
    role: str
    host: str
    release: str = ""
    state: str = ""
    version: str = ""
    digest: str = ""
    since: str = ""
    """When it went live (RFC 3339, UTC); empty if an earlier version released it."""
    by: str = ""
    health: str = ""
    """`healthy`, or what the health check found wrong; empty without a health check or a live release."""
    rollback_to: str = ""
    locked: str = ""
    frozen: str = ""
    processes: tuple[ProcessStatus, ...] = ()
    schedules: tuple[ScheduleStatus, ...] = ()
    drift: tuple[str, ...] = ()
    """How it differs from the other hosts of its role, or from the result of a finished release."""
    changed: tuple[str, ...] = ()
    """Files of the release that changed since it was sealed, if that was requested."""
    unreachable: str = ""


class KeptRelease(msgspec.Struct, frozen=True, kw_only=True):
    """One release on one host, as `faprelease releases --json` prints it."""

    stage: str
    role: str
    host: str
    release: str
    state: str
    version: str
    digest: str
    since: str
    by: str
    kept: str
    """The reason why it is kept, or that it was removed."""
    size: int | None = None
    """The size of its folder in bytes, without the targets of its links (shared/, packages); None if it was
    removed."""


def alike(rows: Iterable[KeptRelease]) -> list[tuple[list[str], list[KeptRelease]]]:
    """The releases of each role, once for all hosts that have the same ones; with the names of the hosts.

    The times and sizes are those of the first host: they hardly differ.
    """
    by_host: dict[tuple[str, str], list[KeptRelease]] = {}
    for row in rows:
        by_host.setdefault((row.role, row.host), []).append(row)
    groups: dict[tuple[Any, ...], tuple[list[str], list[KeptRelease]]] = {}
    for (role, host), held in by_host.items():
        key = (role, *((row.release, row.state, row.digest, row.by, row.kept) for row in held))
        groups.setdefault(key, ([], held))[0].append(host)
    return list(groups.values())


def statuses(
    hosts: Sequence[tuple[Target, HostState]],
    health: Mapping[Place, str],
    changed: Mapping[Place, tuple[str, ...]],
    unreachable: Sequence[tuple[Target, str]],
    processes: Mapping[Place, tuple[ProcessStatus, ...]] | None = None,
    schedules: Mapping[Place, tuple[ScheduleStatus, ...]] | None = None,
) -> list[HostStatus]:
    """Return the status of each host and role; all mappings are by place. The release that most
    hosts of a role run is the reference for the others."""
    roles = {target.settings.role for target, _ in hosts}
    usual, split = (
        {role: _usual(hosts, role) for role in roles},
        {role: _split(hosts, role) for role in roles},
    )
    rows = []
    for target, state in hosts:
        live = state.release(state.current)
        last = state.last_good()
        rows.append(
            HostStatus(
                stage=target.settings.stage,
                role=target.settings.role,
                host=target.host,
                release=state.current,
                state=live.record.state if live else "",
                version=live.artifact.version if live and live.artifact else "",
                digest=live.artifact.digest if live and live.artifact else "",
                since=live.record.at if live else "",
                by=live.record.by if live else "",
                health=health.get(target.place, ""),
                rollback_to=last.id if last else "",
                locked=state.locked,
                frozen=str(state.frozen) if state.frozen else "",
                changed=changed.get(target.place, ()),
                processes=(processes or {}).get(target.place, ()),
                schedules=(schedules or {}).get(target.place, ()),
                drift=(*_drift(state, live, usual[target.settings.role]), *split[target.settings.role]),
            )
        )
    missing = [
        HostStatus(stage=target.settings.stage, role=target.settings.role, host=target.host, unreachable=why)
        for target, why in unreachable
    ]
    return rows + missing


def parse_processes(output: str) -> tuple[ProcessStatus, ...]:
    """Parse the output of the hook `deploy_uptime`."""
    return _parsed(output, ProcessStatus)


def parse_schedules(output: str, now: datetime) -> tuple[ScheduleStatus, ...]:
    """Parse the output of `plugins.schedules.runs`, and add the next run after `now`."""
    return tuple(
        msgspec.structs.replace(each, next=_next(each, now)) for each in _parsed(output, ScheduleStatus)
    )


def _parsed(output: str, kind: type[T]) -> tuple[T, ...]:
    """One value for each line that can be read."""
    values = []
    for line in output.splitlines():
        try:
            values.append(decode(line, kind))
        except ValueError:
            continue
    return tuple(values)


def _next(schedule: ScheduleStatus, now: datetime) -> str:
    from faprelease.config import cron  # only a role that has schedules needs it

    try:
        run = cron.next_run(cron.fields(schedule.at), schedule.timezone, now)
    except (ValueError, KeyError, OSError, StopIteration):  # a host may answer anything
        return ""
    return run.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _usual(hosts: Sequence[tuple[Target, HostState]], role: str) -> Release | None:
    """The release that most hosts of a role run; None if no release is ahead of the others."""
    live = [
        release
        for target, state in hosts
        if target.settings.role == role and (release := state.release(state.current))
    ]
    counts = Counter(map(_digest, live)).most_common()
    if len(counts) > 1 and counts[0][1] == counts[1][1]:
        return None
    return next((release for release in live if _digest(release) == counts[0][0]), None)


def _split(hosts: Sequence[tuple[Target, HostState]], role: str) -> list[str]:
    """The difference between the hosts of a role, if as many run one artifact as another."""
    names: dict[str, list[str]] = {}
    versions: dict[str, str] = {}
    for target, state in hosts:
        if target.settings.role == role and (live := state.release(state.current)):
            names.setdefault(_digest(live), []).append(target.host)
            versions[_digest(live)] = (live.artifact.version if live.artifact else "") or live.id
    if len(names) < 2 or _usual(hosts, role):
        return []
    each = (f"{', '.join(names[digest])} {versions[digest]}" for digest in names)
    return [f"the hosts run different artifacts: {'; '.join(each)}"]


def _drift(state: HostState, live: Release | None, usual: Release | None) -> list[str]:
    reasons = []
    if state.rollout and not state.rollout.ended:
        reasons.append(f"the {state.rollout.verb} of {state.rollout.release} did not finish")
    if state.command and state.command.exit is None:
        reasons.append(f"release_command of {state.command.release} was interrupted: how it ended is unknown")
    if live is None:
        if state.link or state.blocked:
            reasons.append(f"current points to {state.link or state.blocked}, which faprelease did not make")
        elif usual:
            reasons.append("no release is live here")
        return reasons
    if live.record.state != "live":
        reasons.append(f"{live.id} is current, but its state is {live.record.state}, not live")
    if usual and _digest(live) != _digest(usual):
        version = usual.artifact.version if usual.artifact else ""
        reasons.append(f"runs another artifact than the other hosts, which run {version or usual.id}")
    return reasons


def _digest(release: Release) -> str:
    return release.artifact.digest if release.artifact else release.id


def measure(target: Target) -> Step:
    """The step that measures the releases, for `parse_sizes`. It changes nothing."""
    return host_script("measure the releases", "look/sizes", limit=600, releases=target.layout.releases)


def parse_sizes(output: str) -> dict[str, int]:
    """The size of each release in bytes, by its id."""
    return {name: int(kib) * 1024 for kib, name in re.findall(r"^(\d{1,15}) (.+)$", output, re.M | re.A)}


def kept_releases(target: Target, state: HostState, sizes: Mapping[str, int]) -> list[KeptRelease]:
    """The releases of a host, the newest first."""
    goal = state.last_good()
    return [
        KeptRelease(
            stage=target.settings.stage,
            role=target.settings.role,
            host=target.host,
            release=release.id,
            state=release.record.state,
            version=release.artifact.version if release.artifact else "",
            digest=release.artifact.digest if release.artifact else "",
            since=release.record.at,
            by=release.record.by,
            size=sizes.get(release.id),
            kept=_why_kept(release, state.current, goal.id if goal else "", target.settings.keep_releases),
        )
        for release in reversed(state.releases)
    ]


def _why_kept(release: Release, current: str, goal: str, keep: int) -> str:
    if release.id == current:
        return "live"
    if release.id == goal:
        return "a rollback goes back to it"
    if release.is_good:
        return f"one of the last {keep} (keep_releases)"
    if not release.present:
        return "removed; only its record is kept"
    if release.record.state == "bad":
        return f"kept for inspection, as the newest {KEEP_AS_EVIDENCE} bad ones"
    return "unfinished; a later release removes it"
