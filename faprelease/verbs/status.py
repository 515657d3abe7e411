"""The verbs that only read: status, releases, history. They take no lock."""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from artifact_store.records.releases import Outcome
from faprelease.config.target import Target
from faprelease.plan.fleet import plan_health
from faprelease.plan.host import Host
from faprelease.plugins import schedules
from faprelease.plugins.hooks import Context
from faprelease.report.report import Report
from faprelease.request import Request
from faprelease.run import execute, store_head
from faprelease.run.run import ConnectedHosts, Run
from faprelease.steps.model import NOTHING, HostPlan, Phase, Result, Step
from faprelease.steps.place import Place
from faprelease.views import history, host_report
from faprelease.views.history import HistoryRow
from faprelease.views.status import (
    HostStatus,
    KeptRelease,
    kept_releases,
    measure,
    parse_processes,
    parse_schedules,
    parse_sizes,
    statuses,
)


def status(request: Request, *, verify: bool = False) -> list[HostStatus]:
    """Return what each host of the stage or role runs, its health, and which hosts can't be reached. With
    `verify`, also the files of the live release that changed since it was sealed.

    Raises FapError if a host's records can't be read.
    """
    run, lost = Run.of(request, "status", Report()), dict[Place, str]()
    with run.connect(lock=False, lost=lost) as connected:
        healths = health(connected)
        said = connected.connections.run("verify", host_report.changed_files) if verify else {}
        processes = {place: parse_processes(text) for place, text in _uptimes(connected).items()}
        runs = _runs(connected)
    now = datetime.now(UTC)
    found = [(host.target, host.state) for host in connected.hosts]
    changed = {place: host_report.parse_changed(text) for place, text in said.items()}
    schedules_by_place = {place: parse_schedules(text, now) for place, text in runs.items()}
    return statuses(found, healths, changed, _named(run, lost), processes, schedules_by_place)


def releases(request: Request) -> list[KeptRelease]:
    """Return every release on every host. Raises FapError, UnreachableError."""
    with Run.of(request, "releases", Report()).connect(lock=False) as connected:
        said = connected.connections.run("measure", measure)
        return [
            each
            for host in connected.hosts
            for each in kept_releases(host.target, host.state, parse_sizes(said[host.place]))
        ]


def events(request: Request) -> list[HistoryRow]:
    """Return past events, from the ledgers of the hosts and from the store if one is named.

    Raises FapError, UnreachableError.
    """
    run = Run.of(request, "history", Report())
    with run.connect(lock=False) as connected:
        said = connected.connections.run("read the ledgers", history.read_ledger)
    ledgers = [(target, history.parse(said[target.place])) for target in run.targets]
    return history.merge(ledgers, store_head.releases(run.targets[0], request.role))


def health(connected: ConnectedHosts) -> dict[Place, str]:
    """Run the plugins' checks on what is live; by place: `healthy`, or what is wrong."""
    live = [host for host in connected.hosts if _is_live(host)]
    if not live:
        return {}
    plan = plan_health(live, connected.info)
    wrong = execute.failed_checks(plan, connected.connections, _Silent(), time.monotonic)
    checked = [host.place for host in plan.hosts if host.prepare]
    return {place: wrong.get(place, "healthy") for place in checked}


def _uptimes(connected: ConnectedHosts) -> dict[Place, str]:
    """What the plugins print of the processes of what is live, by place."""
    said: dict[Place, str] = {}
    steps = {host.place: list(host.plugins.uptime(_live(host))) for host in connected.hosts if _is_live(host)}
    while any(steps.values()):
        now = {place: left.pop(0) for place, left in steps.items() if left}
        for place, text in _ask(connected, "uptime", now).items():
            said[place] = f"{said.get(place, '')}\n{text}"
    return said


def _runs(connected: ConnectedHosts) -> dict[Place, str]:
    """What the hosts print of the schedules that they run, by place."""
    steps = {host.place: schedules.runs(_live(host)) for host in connected.hosts if host.state.schedules}
    return _ask(connected, "schedules", steps)


def _ask(connected: ConnectedHosts, name: str, steps: Mapping[Place, Step]) -> dict[Place, str]:
    """Run a step on each of some places; what each printed. One that fails says nothing."""
    if not steps:
        return {}
    steps = {place: replace(step, script=f"({step.script}\n) || :") for place, step in steps.items()}
    said = connected.connections.run(name, lambda target: steps.get(target.place, NOTHING))
    return {place: said[place] for place in steps}


def _live(host: Host) -> Context:
    return Context(host.target, "status", host.target.layout.release(host.state.current), "")


def _is_live(host: Host) -> bool:
    live = host.state.release(host.state.current)
    return live is not None and live.present


def _named(run: Run, lost: dict[Place, str]) -> list[tuple[Target, str]]:
    return [(target, lost[target.place]) for target in run.targets if target.place in lost]


class _Silent:
    """An observer that ignores everything."""

    def result(self, plan: HostPlan, phase: Phase, result: Result, *, next_step: str = "") -> None: ...

    def begin_phase(self, name: str) -> None: ...

    def begin_host(self, plan: HostPlan, phase: Phase) -> None: ...

    def fetched(self, plan: HostPlan, count: int) -> None: ...

    def end_host(self, plan: HostPlan, outcome: Outcome, release: str) -> None: ...

    def end_phase(self, name: str, seconds: float) -> None: ...

    def say(self, line: str) -> None: ...
