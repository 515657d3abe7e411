"""Run a plan on its hosts: prepare everywhere, then publish everywhere, or go back everywhere.

Nothing is decided here but what the plan says to do when a step fails.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import zip_longest
from typing import Protocol, TypeVar

from artifact_store.core.hints import Hint
from artifact_store.records.releases import Outcome
from faprelease.errors import (
    FapError,
    InterruptedRunError,
    PartlyDoneError,
    ReleaseFailedError,
    RolledBackError,
    VerificationError,
)
from faprelease.plan import release_command
from faprelease.steps.model import VERIFICATION_FAILED, HostPlan, Phase, Plan, Result, joined, legs_of
from faprelease.steps.place import Place
from faprelease.transports.channel import ChannelLostError
from faprelease.transports.session import HostSession, StepFailedError

T = TypeVar("T")
R = TypeVar("R")
PhasesOf = Callable[[HostPlan], tuple[Phase, ...]]
MOST_THREADS = 64
INTERRUPTED = 130


class Observer(Protocol):
    """Is shown what happens, as it happens; called from several threads."""

    def result(self, plan: HostPlan, phase: Phase, result: Result, *, next_step: str = "") -> None: ...

    def begin_phase(self, name: str) -> None: ...

    def begin_host(self, plan: HostPlan, phase: Phase) -> None: ...

    def fetched(self, plan: HostPlan, count: int) -> None: ...

    def end_host(self, plan: HostPlan, outcome: Outcome, release: str) -> None: ...

    def end_phase(self, name: str, seconds: float) -> None: ...

    def say(self, line: str) -> None: ...


@dataclass(frozen=True)
class Failure:
    """Why a host could not go on."""

    plan: HostPlan
    phase: str
    step: str
    reason: str
    code: int | None
    """The step's exit code; None when the channel was lost."""
    log: str = ""
    """What the app said last."""


class Sessions(Protocol):
    """The open sessions of a run."""

    def of(self, plan: HostPlan) -> HostSession:
        """The session to run this plan on; plans on one host and user share one."""

    def renew(self, plan: HostPlan) -> HostSession:
        """A new session after the old one was lost, with the lock taken again; raises FapError."""


def in_parallel(items: Sequence[T], work: Callable[[T], R]) -> list[R]:
    """`work` on all items at once; results in order; the first exception is raised after all have ended."""
    if len(items) == 1:
        return [work(items[0])]
    futures = [_threads().submit(work, item) for item in items]
    wait(futures)
    return [future.result() for future in futures]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS)


def run(
    plan: Plan,
    sessions: Sessions,
    report: Observer,
    clock: Callable[[], float],
    stop: threading.Event,
    *,
    more: bool = False,
) -> None:
    """Carry a plan out: prepare everywhere, run what one host does for all, publish batch by batch, tidy up
    everywhere. When `stop` is set, what is under way ends, and then what was done is undone. The sessions end
    with it, unless there is `more` to do on them.

    Raises ReleaseFailedError (nothing was published), VerificationError (likewise, over wrong bytes),
    RolledBackError (all hosts are on their old release again), InterruptedRunError (either of the two) or
    PartlyDoneError.
    """
    runner = _Runner(plan, sessions, report, clock, stop)
    failures = runner.in_step(plan.hosts, lambda host: host.prepare)
    if failures:
        runner.give_up(failures)
    failures = runner.run_once()
    if failures:
        runner.give_up(failures)
    for number, batch in enumerate(plan.batches if any(host.publish for host in plan.hosts) else ()):
        failures = runner.publish(number, batch)
        if failures:
            runner.go_back(number, failures)
    failures = runner.in_step(plan.hosts, lambda host: host.finish, until_the_end=True, last=not more)
    runner.end_as("healthy", plan.hosts)
    if failures:
        raise PartlyDoneError(
            f"{plan.title}: the new release is live everywhere, but tidying up failed\n{_told(failures)}",
            hint="mend what it says; the next release tidies up again",
        )


def check(plan: Plan, sessions: Sessions, report: Observer, clock: Callable[[], float]) -> str:
    """Run a plan that only checks; what is wrong, for people, empty if every check passed."""
    return "\n".join(failed_checks(plan, sessions, report, clock).values())


def failed_checks(
    plan: Plan, sessions: Sessions, report: Observer, clock: Callable[[], float]
) -> dict[Place, str]:
    """Run a plan that only checks; what is wrong, by place."""
    failures = _Runner(plan, sessions, report, clock, threading.Event()).in_step(
        plan.hosts, lambda host: host.prepare, until_the_end=True
    )
    return {failure.plan.place: _told([failure]) for failure in failures}


def restart(
    plan: Plan, sessions: Sessions, report: Observer, clock: Callable[[], float], stop: threading.Event
) -> None:
    """Carry out a plan that only restarts: batch by batch, up to the first that fails.

    Raises PartlyDoneError, InterruptedRunError.
    """
    runner = _Runner(plan, sessions, report, clock, stop)
    for number, batch in enumerate(plan.batches):
        failures = runner.publish(number, batch)
        if failures:
            kind = InterruptedRunError if stop.is_set() else PartlyDoneError
            rest = _hosts_of(plan.batches[number + 1 :])
            raise kind(
                f"{plan.title}: ended early; not restarted: {_names(rest)}\n{_told(failures)}",
                hint=Hint("fix the problem above and restart again, or go back: faprelease rollback {place}"),
            )


def undo(plan: Plan, sessions: Sessions, report: Observer, clock: Callable[[], float]) -> None:
    """Take back what a run that was cut off had done: `if_published`, the last batch first, and where it had
    published nothing `if_unpublished`.

    Raises PartlyDoneError.
    """
    runner = _Runner(plan, sessions, report, clock, threading.Event())
    published = [host for host in plan.hosts if host.if_published]
    left = runner.take_back(len({host.batch for host in published}) - 1)
    runner.end_as("undone", published, left)
    runner.end_as("failed", [host for host in plan.hosts if host not in published], left)
    if left:
        raise PartlyDoneError(
            f"{plan.title}: failed\n{_told(left)}",
            hint=Hint("see what each host runs: faprelease status {stage}"),
        )


class _Runner:
    def __init__(
        self,
        plan: Plan,
        sessions: Sessions,
        report: Observer,
        clock: Callable[[], float],
        stop: threading.Event,
    ) -> None:
        self._plan, self._sessions, self._report, self._clock, self._stop = (
            plan,
            sessions,
            report,
            clock,
            stop,
        )
        self._bound: dict[Place, str] = {}
        self._seconds: defaultdict[str, dict[int, float]] = defaultdict(dict)
        """How long each phase took, by name and host."""
        self._ran_command = False

    def in_step(
        self,
        hosts: Sequence[HostPlan],
        phases_of: PhasesOf,
        *,
        until_the_end: bool = False,
        last: bool = False,
    ) -> list[Failure]:
        """Every host comes to where they have to agree before any goes on. Stops after a failure, and,
        unless `until_the_end`, when the run was interrupted. The `last` step of a run ends its sessions."""
        legs = list(zip_longest(*(legs_of(phases_of(host)) for host in hosts), fillvalue=()))
        for number, leg in enumerate(legs, 1):
            names = list(dict.fromkeys(phase.name for phases in leg for phase in phases))
            for name in names:
                self._report.begin_phase(name)
            failures = self._run_leg(hosts, leg, last=last and number == len(legs))
            failures += self._differences()
            if not until_the_end:
                failures += self._interruption(names[-1])
            if failures:
                return failures
            for name in names:
                self._report.end_phase(name, max(self._seconds[name].values()))
        return []

    def _run_leg(
        self, hosts: Sequence[HostPlan], leg: Sequence[Sequence[Phase]], *, last: bool
    ) -> list[Failure]:
        """The phases of each host, at once; those who share a session end it together."""
        phases = {id(host): own for host, own in zip(hosts, leg, strict=True)}
        ends = {id(self._sessions.of(host)): id(host) for host in hosts if last}.values()
        return self._on_all(hosts, lambda host: self._run_host(host, phases[id(host)], last=id(host) in ends))

    def _differences(self) -> list[Failure]:
        """The hosts whose binding step handed over another digest than the first host's."""
        first = next(iter(self._bound.values()), "")
        return [
            Failure(
                host,
                "updating",
                "compare with the other hosts",
                f"got {own}, the first host {first}",
                VERIFICATION_FAILED,
            )
            for host in self._plan.hosts
            if (own := self._bound.get(host.place, first)) != first
        ]

    def _interruption(self, phase: str) -> list[Failure]:
        first = self._plan.hosts[0]
        return [Failure(first, phase, "interrupted", "", INTERRUPTED)] if self._stop.is_set() else []

    def run_once(self) -> list[Failure]:
        """What one host does for all."""
        hosts = [host for host in self._plan.hosts if host.once]
        self._ran_command = bool(hosts)
        return self.in_step(hosts, lambda host: host.once)

    def publish(self, number: int, batch: Sequence[HostPlan]) -> list[Failure]:
        """All phases of a host one after another, the hosts of a batch side by side, after the pause."""
        batches = len(self._plan.batches)
        name = "published" if batches == 1 else f"batch {number + 1} of {batches}"
        if number and self._interrupted_pause():
            return self._interruption(name)
        began = self._clock()
        self._report.begin_phase(name)
        failures = self._on_all(batch, self._publish_host)
        failures += self._interruption(name)
        if not failures:
            self._report.end_phase(name, self._clock() - began)
        return failures

    def _interrupted_pause(self) -> bool:
        """Wait between two batches; True if the run was interrupted by then."""
        for _ in range(self._plan.batch_wait):
            # A signal that another thread was given is heard only when this one wakes up.
            if self._stop.wait(1):
                break
        return self._stop.is_set()

    def _publish_host(self, host: HostPlan) -> list[Failure]:
        failures = self._run_host(host, host.publish)
        return [
            replace(each, log=self._explain(host)) if each.code is not None else each for each in failures
        ]

    def _explain(self, host: HostPlan) -> str:
        """What the app said last, as far as it can be had."""
        results: list[Result] = []
        for phase in host.explain:
            with suppress(StepFailedError, ChannelLostError):
                self._sessions.of(host).run(phase, results.append)
        return "\n".join(result.output for result in results)

    def end_as(self, outcome: Outcome, hosts: Sequence[HostPlan], left: Sequence[Failure] = ()) -> None:
        """Tell what became of hosts; of those that could not be undone nobody knows."""
        lost = {failure.plan.place for failure in left}
        for host in hosts:
            unknown = host.place in lost
            release = "" if unknown else host.release if outcome == "healthy" else host.previous
            self._report.end_host(host, "unknown" if unknown else outcome, release)

    def give_up(self, failures: list[Failure]) -> None:
        """Nothing was published: remove what was prepared."""
        left = self._undo(self._plan.hosts, lambda host: host.if_unpublished)
        self.end_as("failed", self._plan.hosts)
        codes = {failure.code for failure in failures}
        kind: type[FapError] = VerificationError if VERIFICATION_FAILED in codes else ReleaseFailedError
        if self._stop.is_set():
            kind = InterruptedRunError
        message = f"{self._plan.title}: nothing was published\n{_told(failures)}{self._not_undone()}"
        if left:
            message += f"\nand what was prepared could not be removed everywhere:\n{_told(left)}"
        raise kind(message, hint=self._what_next())

    def go_back(self, number: int, failures: list[Failure]) -> None:
        """Something was published, up to the batch of that number: every host returns to the release it
        came from, unless it is to be kept."""
        if self._plan.keep and not self._stop.is_set():
            self._keep(number, failures)
        self._report.say("going back on all hosts")
        left = self.take_back(number)
        self.end_as("undone", _hosts_of(self._plan.batches[: number + 1]), left)
        self.end_as("failed", _hosts_of(self._plan.batches[number + 1 :]))
        if left:
            raise PartlyDoneError(
                f"{self._plan.title}: failed, and going back failed too\n{_told(failures)}\n{_told(left)}"
                f"{self._not_undone()}",
                hint=Hint("see what each host runs: faprelease status {stage}"),
            )
        kind = InterruptedRunError if self._stop.is_set() else RolledBackError
        raise kind(
            f"{self._plan.title}: failed; every host is on its old release again\n{_told(failures)}"
            f"{self._not_undone()}",
            hint=self._what_next(),
        )

    def take_back(self, number: int) -> list[Failure]:
        """Undo the batches up to that number, the last one first, and what the others have prepared."""
        batches = self._plan.batches
        left = _flat(
            self._undo(batch, lambda host: host.if_published) for batch in reversed(batches[: number + 1])
        )
        return left + self._undo(_hosts_of(batches[number + 1 :]), lambda host: host.if_unpublished)

    def _keep(self, number: int, failures: list[Failure]) -> None:
        """The batches that were good stay live, the one that failed stays as it is, the rest stays old."""
        batches = self._plan.batches
        before, failed, rest = _hosts_of(batches[:number]), batches[number], _hosts_of(batches[number + 1 :])
        left = self.in_step(before, lambda host: host.finish, until_the_end=True)
        left += self._undo(failed, lambda host: host.if_kept)
        left += self._undo(rest, lambda host: host.if_unpublished)
        self.end_as("healthy", before)
        for host in failed:
            self._report.end_host(host, "unknown", host.release)
        self.end_as("failed", rest)
        told = _told(failures) + ("\n" + _told(left) if left else "")
        raise PartlyDoneError(
            f"{self._plan.title}: failed, and kept as on_failure says\n{told}\n"
            f"  new and good: {_names(before)}; new, failed: {_names(failed)}; old: {_names(rest)}",
            hint=Hint("release again, or go back: faprelease rollback {place}"),
        )

    def _not_undone(self) -> str:
        return f"\n{release_command.CODE_ALONE}" if self._ran_command else ""

    def _what_next(self) -> str:
        return "release again at any time" if self._stop.is_set() else "mend what it says, and release again"

    def _undo(self, hosts: Sequence[HostPlan], phases_of: PhasesOf) -> list[Failure]:
        """Undo on every host, whatever the others do; a host whose channel was lost gets one new one."""
        return self._on_all(hosts, lambda host: self._undo_host(host, phases_of(host)))

    def _undo_host(self, host: HostPlan, phases: tuple[Phase, ...]) -> list[Failure]:
        failures = _flat(self._run_host(host, [phase]) for phase in phases)
        if any(failure.code is None for failure in failures):
            try:
                self._sessions.renew(host)
            except FapError as error:
                return [Failure(host, "undo", "connect again", error.message, None)]
            failures = _flat(self._run_host(host, [phase]) for phase in phases)
        return failures

    def _on_all(self, hosts: Sequence[HostPlan], work: Callable[[HostPlan], list[Failure]]) -> list[Failure]:
        """`work` for every host, all at once, but those on one session one after another."""
        by_session: dict[int, list[HostPlan]] = {}
        for host in hosts:
            by_session.setdefault(id(self._sessions.of(host)), []).append(host)
        return _flat(
            in_parallel(list(by_session.values()), lambda hosts: _flat(work(host) for host in hosts))
        )

    def _run_host(self, host: HostPlan, phases: Sequence[Phase], *, last: bool = False) -> list[Failure]:
        """All phases in one round trip, up to the first step that fails."""
        work = [(phase, step) for phase in phases for step in phase.steps]
        if not work:
            return []
        self._report.begin_host(host, phases[0])
        ended: list[Result] = []

        def tell(result: Result) -> None:
            phase, _ = work[len(ended)]
            ended.append(result)
            seconds = self._seconds[phase.name]
            seconds[id(host)] = seconds.get(id(host), 0) + result.seconds
            following, step = work[len(ended)] if len(ended) < len(work) else (phase, None)
            next_step = step.title if step and following is phase else ""
            self._report.result(host, phase, result, next_step=next_step)
            if result.code == 0 and following is not phase:
                self._report.begin_host(host, following)

        session = self._sessions.of(host)
        try:
            for result in session.run(
                joined(phases), tell, on_fetched=lambda count: self._report.fetched(host, count), last=last
            ):
                if result.step.binding:
                    self._bound[host.place] = result.facts.get("digest", "")
        except StepFailedError as failed:
            phase, step = work[len(ended) - 1]
            return [Failure(host, phase.name, step.title, failed.result.output, failed.result.code)]
        except ChannelLostError as lost:
            phase, under_way = work[min(len(ended), len(work) - 1)]
            return [Failure(host, phase.name, under_way.title, str(lost), None)]
        return []


def _flat(lists: Iterable[list[Failure]]) -> list[Failure]:
    return [item for each in lists for item in each]


def _hosts_of(batches: Sequence[Sequence[HostPlan]]) -> list[HostPlan]:
    return [host for batch in batches for host in batch]


def _names(hosts: Sequence[HostPlan]) -> str:
    return ", ".join(str(host.place) for host in hosts) or "none"


def _told(failures: list[Failure]) -> str:
    lines = []
    for failure in failures:
        ended = "connection lost" if failure.code is None else f"exit {failure.code}"
        lines.append(f"  {failure.plan.place}, {failure.phase}: {failure.step}: {ended}")
        lines += [f"    {line}" for line in failure.reason.splitlines()[-20:]]
        lines += [f"    | {line}" for line in failure.log.splitlines()[-20:]]
    return "\n".join(lines)
