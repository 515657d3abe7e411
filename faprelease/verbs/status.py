"""The verbs that only read: what runs where, which releases there are, what happened. No lock is taken."""

import time

from artifact_store.records.releases import Outcome
from faprelease.config.target import Target
from faprelease.plan.fleet import plan_health
from faprelease.plan.host import Host
from faprelease.report.report import Report
from faprelease.request import Request
from faprelease.run import execute, store_head
from faprelease.run.run import ConnectedHosts, Run
from faprelease.steps.model import HostPlan, Phase, Result
from faprelease.steps.place import Place
from faprelease.views import history, host_report
from faprelease.views.history import HistoryRow
from faprelease.views.status import Held, HostStatus, held, measure, parse_sizes, statuses


def status(request: Request, *, verify: bool = False) -> list[HostStatus]:
    """What every host of the stage or role runs, and whether it runs well; one that can't be reached is told.
    With `verify` also which files of what is live are not what they were when it was sealed.

    Raises FapError where a host's records can't be read.
    """
    run, lost = Run.of(request, "status", Report()), dict[Place, str]()
    with run.connect(lock=False, lost=lost) as connected:
        well = health(connected)
        said = connected.connections.run("verify", host_report.changed_files) if verify else {}
    found = [(host.target, host.state) for host in connected.hosts]
    changed = {place: host_report.parse_changed(text) for place, text in said.items()}
    return statuses(found, well, changed, _named(run, lost))


def releases(request: Request) -> list[Held]:
    """Every release on every host. Raises FapError, UnreachableError."""
    with Run.of(request, "releases", Report()).connect(lock=False) as connected:
        said = connected.connections.run("measure", measure)
        return [
            each
            for host in connected.hosts
            for each in held(host.target, host.state, parse_sizes(said[host.place]))
        ]


def events(request: Request) -> list[HistoryRow]:
    """What the ledgers of the hosts say that happened, and the store of a stage where one is named.

    Raises FapError, UnreachableError.
    """
    run = Run.of(request, "history", Report())
    with run.connect(lock=False) as connected:
        said = connected.connections.run("read the ledgers", history.read_ledger)
    ledgers = [(target, history.parse(said[target.place])) for target in run.targets]
    return history.merge(ledgers, store_head.releases(run.targets[0], request.role))


def health(connected: ConnectedHosts) -> dict[Place, str]:
    """What the plugins' checks find of all that is live, by place: `well`, or what is wrong."""
    live = [host for host in connected.hosts if _is_live(host)]
    if not live:
        return {}
    plan = plan_health(live, connected.info)
    wrong = execute.failed_checks(plan, connected.connections, _Silent(), time.monotonic)
    looked_at = [host.place for host in plan.hosts if host.prepare]
    return {place: wrong.get(place, "healthy") for place in looked_at}


def _is_live(host: Host) -> bool:
    live = host.state.release(host.state.current)
    return live is not None and live.present


def _named(run: Run, lost: dict[Place, str]) -> list[tuple[Target, str]]:
    return [(target, lost[target.place]) for target in run.targets if target.place in lost]


class _Silent:
    """Nobody wants to know how it goes on."""

    def result(self, plan: HostPlan, phase: Phase, result: Result, *, next_step: str = "") -> None: ...

    def begin_phase(self, name: str) -> None: ...

    def begin_host(self, plan: HostPlan, phase: Phase) -> None: ...

    def fetched(self, plan: HostPlan, count: int) -> None: ...

    def end_host(self, plan: HostPlan, outcome: Outcome, release: str) -> None: ...

    def end_phase(self, name: str, seconds: float) -> None: ...

    def say(self, line: str) -> None: ...
