"""Execute a plan on its hosts: prepare on all of them, then publish on all of them, or roll all of them back.

The only decisions made here are those that the plan foresees for a failed step.
"""

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
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
from faprelease.run.parallel import in_parallel
from faprelease.steps.model import VERIFICATION_FAILED, HostPlan, Phase, Plan, Result, joined, legs_of
from faprelease.steps.place import Place
from faprelease.transports.channel import ChannelLostError
from faprelease.transports.session import HostSession, StepFailedError

T = TypeVar("T")
R = TypeVar("R")
PhasesOf = Callable[[HostPlan], tuple[Phase, ...]]
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
    """Why a host could not continue."""

    plan: HostPlan
    phase: str
    step: str
    reason: str
    code: int | None
    """The step's exit code; None when the channel was lost."""
    log: str = ""
    """The last lines that the app logged."""


class Sessions(Protocol):
    """The open sessions of a run."""

    def of(self, plan: HostPlan) -> HostSession:
        """The session to run this plan on; plans on one host and user share one."""

    def renew(self, plan: HostPlan) -> HostSession:
        """A new session after the old one was lost, with the lock taken again; raises FapError."""


def run(
    plan: Plan,
    sessions: Sessions,
    report: Observer,
    clock: Callable[[], float],
    stop: threading.Event,
    *,
    more: bool = False,
) -> None:
    """Execute a plan: prepare all hosts, run the release command on one, publish batch by batch, clean up.

    When `stop` is set, the current step finishes, and then everything is undone. The sessions are closed at
    the end, unless `more` is to be done on them.

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
            runner.roll_back(number, failures)
    failures = runner.in_step(plan.hosts, lambda host: host.finish, until_the_end=True, last=not more)
    runner.end_as("healthy", plan.hosts)
    if failures:
        raise PartlyDoneError(
            f"{plan.title}: the new release is live on all hosts, but cleaning up failed\n"
            f"{_described(failures)}",
            hint="fix the problem above; the next release cleans up again",
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
    return {failure.plan.place: _described([failure]) for failure in failures}


def restart(
    plan: Plan, sessions: Sessions, report: Observer, clock: Callable[[], float], stop: threading.Event
) -> None:
    """Execute a plan that only restarts: batch by batch, up to the first that fails.

    Raises PartlyDoneError, InterruptedRunError.
    """
    runner = _Runner(plan, sessions, report, clock, stop)
    for number, batch in enumerate(plan.batches):
        failures = runner.publish(number, batch)
        if failures:
            kind = InterruptedRunError if stop.is_set() else PartlyDoneError
            rest = _hosts_of(plan.batches[number + 1 :])
            raise kind(
                f"{plan.title}: stopped early; not restarted: {_names(rest)}\n{_described(failures)}",
                hint=Hint("fix the problem above, then restart again; or: faprelease rollback {place}"),
            )


def undo(plan: Plan, sessions: Sessions, report: Observer, clock: Callable[[], float]) -> None:
    """Undo a run that did not finish: `if_published`, the last batch first, and `if_unpublished` on hosts
    where it had published nothing.

    Raises PartlyDoneError.
    """
    runner = _Runner(plan, sessions, report, clock, threading.Event())
    published = [host for host in plan.hosts if host.if_published]
    left = runner.take_back(len({host.batch for host in published}) - 1)
    runner.end_as("undone", published, left)
    runner.end_as("failed", [host for host in plan.hosts if host not in published], left)
    if left:
        raise PartlyDoneError(
            f"{plan.title}: failed\n{_described(left)}",
            hint=Hint("see what each host runs: faprelease status {stage}"),
        )


SCREEN, LEAST_LINES = 24, 8
"""How many lines of failures are shown in all, and of each at least. The log has the rest."""


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
        """The seconds that each phase took, by phase name and host."""
        self._ran_command = False

    def in_step(
        self,
        hosts: Sequence[HostPlan],
        phases_of: PhasesOf,
        *,
        until_the_end: bool = False,
        last: bool = False,
    ) -> list[Failure]:
        """Run phases on all hosts; where a binding step ends, every host waits for the others. Stops after a
        failure and, unless `until_the_end`, when the run was interrupted. The `last` call closes the
        sessions."""
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
        """Run the phases of all hosts at once; plans that share a session close it together."""
        phases = {id(host): own for host, own in zip(hosts, leg, strict=True)}
        ends = {id(self._sessions.of(host)): id(host) for host in hosts if last}.values()
        return self._on_all(hosts, lambda host: self._run_host(host, phases[id(host)], last=id(host) in ends))

    def _differences(self) -> list[Failure]:
        """The hosts whose binding step handed over another digest than the first host's, or none."""
        first = next(iter(self._bound.values()), "")
        return [
            Failure(
                host,
                "updating",
                "compare with the other hosts",
                f"got {own or 'no sha256'}, the first host {first or 'none'}",
                VERIFICATION_FAILED,
            )
            for host in self._plan.hosts
            if (own := self._bound.get(host.place)) is not None and (own != first or not own)
        ]

    def _interruption(self, phase: str) -> list[Failure]:
        first = self._plan.hosts[0]
        return [Failure(first, phase, "interrupted", "", INTERRUPTED)] if self._stop.is_set() else []

    def run_once(self) -> list[Failure]:
        """Run the phases that one host runs for all."""
        hosts = [host for host in self._plan.hosts if host.once]
        self._ran_command = bool(hosts)
        return self.in_step(hosts, lambda host: host.once)

    def publish(self, number: int, batch: Sequence[HostPlan]) -> list[Failure]:
        """Publish a batch, after the pause: its hosts in parallel, the phases of a host one after another."""
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
        """Wait between two batches; return True if the run was interrupted meanwhile."""
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
        """Return the last lines that the app logged, as far as they can be read."""
        results: list[Result] = []
        for phase in host.explain:
            with suppress(StepFailedError, ChannelLostError):
                self._sessions.of(host).run(phase, results.append)
        return "\n".join(result.output for result in results)

    def end_as(self, outcome: Outcome, hosts: Sequence[HostPlan], left: Sequence[Failure] = ()) -> None:
        """Report the outcome of hosts; it is unknown for those that could not be undone."""
        lost = {failure.plan.place for failure in left}
        for host in hosts:
            unknown = host.place in lost
            release = "" if unknown else host.release if outcome == "healthy" else host.previous
            self._report.end_host(host, "unknown" if unknown else outcome, release)

    def give_up(self, failures: list[Failure]) -> None:
        """Nothing was published: remove the prepared releases, and raise."""
        left = self._undo(self._plan.hosts, lambda host: host.if_unpublished)
        self.end_as("failed", self._plan.hosts)
        codes = {failure.code for failure in failures}
        kind: type[FapError] = VerificationError if VERIFICATION_FAILED in codes else ReleaseFailedError
        if self._stop.is_set():
            kind = InterruptedRunError
        message = f"{self._plan.title}: nothing was published\n{_described(failures)}{self._not_undone()}"
        if left:
            message += f"\nand the prepared release could not be removed on every host:\n{_described(left)}"
        raise kind(message, hint=self._what_next("every host runs what it ran before"))

    def roll_back(self, number: int, failures: list[Failure]) -> None:
        """Roll back every host after a failure in the batch of that number, unless on_failure says keep; then
        raise."""
        if self._plan.keep and not self._stop.is_set():
            self._keep(number, failures)
        self._report.say("rolling back on all hosts")
        left = self.take_back(number)
        self.end_as("undone", _hosts_of(self._plan.batches[: number + 1]), left)
        self.end_as("failed", _hosts_of(self._plan.batches[number + 1 :]))
        if left:
            raise PartlyDoneError(
                f"{self._plan.title}: failed, and rolling back failed too\n{_described(failures)}\n"
                f"{_described(left)}"
                f"{self._not_undone()}",
                hint=Hint("see what each host runs: faprelease status {stage}"),
            )
        kind = InterruptedRunError if self._stop.is_set() else RolledBackError
        raise kind(
            f"{self._plan.title}: failed and rolled back; every host runs its old release again\n"
            f"{_described(failures)}"
            f"{self._not_undone()}",
            hint=self._what_next("every host runs its old release again"),
        )

    def take_back(self, number: int) -> list[Failure]:
        """Undo the batches up to that number, the last first; remove what the other hosts have prepared."""
        batches = self._plan.batches
        left = _flat(
            self._undo(batch, lambda host: host.if_published) for batch in reversed(batches[: number + 1])
        )
        return left + self._undo(_hosts_of(batches[number + 1 :]), lambda host: host.if_unpublished)

    def _keep(self, number: int, failures: list[Failure]) -> None:
        """Keep the batches before the failed one, leave that one as it is, and leave the rest on the old
        release."""
        batches = self._plan.batches
        before, failed, rest = _hosts_of(batches[:number]), batches[number], _hosts_of(batches[number + 1 :])
        left = self.in_step(before, lambda host: host.finish, until_the_end=True)
        left += self._undo(failed, lambda host: host.if_kept)
        left += self._undo(rest, lambda host: host.if_unpublished)
        self.end_as("healthy", before)
        for host in failed:
            self._report.end_host(host, "unknown", host.release)
        self.end_as("failed", rest)
        told = _described(failures) + ("\n" + _described(left) if left else "")
        raise PartlyDoneError(
            f"{self._plan.title}: failed; not rolled back (on_failure: keep)\n{told}\n"
            f"  new, healthy: {_names(before)}; new, failed: {_names(failed)}; old: {_names(rest)}",
            hint=Hint("release again, or roll back: faprelease rollback {place}"),
        )

    def _not_undone(self) -> str:
        return f"\n{release_command.CODE_ALONE}" if self._ran_command else ""

    def _what_next(self, where: str) -> str:
        if self._stop.is_set():
            return "release again whenever you like"
        return f"{where}; fix the problem above, then release again"

    def _undo(self, hosts: Sequence[HostPlan], phases_of: PhasesOf) -> list[Failure]:
        """Undo on every host, whatever happens on others; a host with a lost connection gets one new one."""
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
        """Run `work` for every host, in parallel, but hosts on one session one after another."""
        by_session: dict[int, list[HostPlan]] = {}
        for host in hosts:
            by_session.setdefault(id(self._sessions.of(host)), []).append(host)
        return _flat(
            in_parallel(list(by_session.values()), lambda hosts: _flat(work(host) for host in hosts))
        )

    def _run_host(self, host: HostPlan, phases: Sequence[Phase], *, last: bool = False) -> list[Failure]:
        """Run all phases in one round trip, up to the first step that fails."""
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


def _described(failures: list[Failure]) -> str:
    """The failures for people; hosts that failed alike share their lines, and all fit on a screen."""
    groups: dict[tuple[str, ...], list[Failure]] = {}
    for failure in failures:
        groups.setdefault(_likeness(failure), []).append(failure)
    most = max(LEAST_LINES, SCREEN // max(len(groups), 1))
    lines = []
    for group in groups.values():
        first, names = group[0], _names([failure.plan for failure in group])
        ended = "connection lost" if first.code is None else f"exit {first.code}"
        hosts = f"{len(group)} hosts ({names})" if len(group) > 1 else names
        lines.append(f"  {hosts}, {first.phase}: {first.step}: {ended}")
        shown = [f"    {line}" for line in first.reason.splitlines()[-most:]]
        lines += shown
        lines += [f"    | {line}" for line in first.log.splitlines()[-max(LEAST_LINES, most - len(shown)) :]]
    return "\n".join(lines)


def _likeness(failure: Failure) -> tuple[str, ...]:
    """What failures have in common that differ only in numbers, such as process ids, and the host's name."""
    said = f"{failure.reason}\n{failure.log}".replace(failure.plan.place.host, "")
    return (failure.phase, failure.step, str(failure.code), re.sub(r"\d+", "0", said))
