"""Dispatches the events of a run to every output, and keeps the outcome of each host."""

import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

import click

from artifact_store.core.hints import Hint
from artifact_store.records.releases import Outcome
from faprelease.config.target import Target
from faprelease.errors import ConfigError, FapError
from faprelease.plan.preview import Preview
from faprelease.report.events import (
    Began,
    Connecting,
    Ended,
    Fetched,
    HostBegan,
    HostEnded,
    PhaseBegan,
    PhaseEnded,
    Planned,
    RunEvent,
    Said,
    StepEnded,
    Waiting,
    plain,
)
from faprelease.report.outputs import Lines
from faprelease.report.runlog import RunLog
from faprelease.report.waiting import Waiting as Underway
from faprelease.steps.model import HostPlan, Phase, Plan, Result, restarts
from faprelease.steps.place import Place


class Output(Protocol):
    """Shows the events of a run. It is never called from two threads at the same time."""

    def show(self, event: RunEvent) -> None: ...


class Report:
    """Dispatches events to outputs; the default is plain lines on standard error. Safe in any thread."""

    WAIT_SECONDS = 30
    """How often a line says which steps take long: those that have run for half of this time."""

    def __init__(self, *outputs: Output, verbose: bool = False, log: RunLog | None = None) -> None:
        self._outputs: list[Output] = list(outputs) or [Lines(verbose=verbose)]
        self._log = log
        self._began = time.monotonic()
        # A signal handler may print a line while the same thread is printing another one.
        self._guard = threading.RLock()
        self._title = ""
        self._planned: Preview | None = None
        self._now: dict[Place, HostBegan] = {}
        self._underway = Underway()
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self.ended: dict[Place, HostEnded] = {}
        """The outcome of each host of the last plan."""

    def emit(self, event: RunEvent) -> None:
        """Show an event on every output; a closed output does not stop the run."""
        event = plain(event)
        with self._guard:
            for output in self._outputs:
                # The reader may be gone (`2>&1 | head`, a closed terminal); the release continues.
                with suppress(OSError):
                    output.show(event)

    def say(self, line: str) -> None:
        self.emit(Said(text=line))

    def show_steps(self) -> None:
        """Show every step with its output from now on."""
        for output in self._outputs:
            if isinstance(output, Lines):
                output.verbose = True

    def connecting(self, targets: Iterable[Target]) -> None:
        self.emit(Connecting(hosts=tuple(str(target.place) for target in targets)))

    def begin(self, plan: Plan) -> None:
        self._title, self._now, self.ended = plan.title, {}, {}
        self.emit(Began(title=plan.title, hosts=tuple(dict.fromkeys(host.place.host for host in plan.hosts))))
        if self._watcher.ident is None:
            self._watcher.start()
        if self._log and self._log.refused:
            self.say(f"warning: this run has no log file: {self._log.refused}")
            self._log.refused = ""

    def begin_phase(self, name: str) -> None:
        self.emit(PhaseBegan(phase=name))

    def end_phase(self, name: str, seconds: float) -> None:
        self.emit(PhaseEnded(phase=name, seconds=seconds))

    def begin_host(self, plan: HostPlan, phase: Phase) -> None:
        event = HostBegan(
            host=plan.place.host, role=plan.place.role, phase=phase.name, step=phase.steps[0].title
        )
        self._now[plan.place] = event
        with self._guard:
            self._underway.begin(plan.place, phase, time.monotonic())
        self.emit(event)

    def fetched(self, plan: HostPlan, count: int) -> None:
        """Report the bytes that a host has fetched so far."""
        self.emit(Fetched(host=plan.place.host, role=plan.place.role, bytes=count))

    def result(self, plan: HostPlan, phase: Phase, result: Result, *, next_step: str = "") -> None:
        fetched = result.facts.get("fetched", "")
        with self._guard:
            self._underway.end_step(plan.place, result, time.monotonic())
        self.emit(
            StepEnded(
                host=plan.place.host,
                role=plan.place.role,
                phase=phase.name,
                step=result.step.title,
                code=result.code,
                seconds=round(result.seconds, 3),
                output=result.output,
                shown=result.step.shown,
                next=next_step,
                fetched=int(fetched or 0),
            )
        )

    def end_host(self, plan: HostPlan, outcome: Outcome, release: str) -> None:
        """Report the outcome of the rollout on a host, and the release that is live there now (empty: none,
        or unknown)."""
        event = HostEnded(host=plan.place.host, role=plan.place.role, outcome=outcome, release=release)
        self.ended[plan.place] = event
        with self._guard:
            self._underway.end(plan.place)
        self.emit(event)

    def end(self, plan: Plan, where: str) -> None:
        """Report that a plan was executed; `where` names its hosts."""
        releases = ", ".join(dict.fromkeys(host.release for host in plan.hosts))
        self.emit(Said(text=f"done: {releases} is live on {where}, {self._seconds():.1f} s", good=True))
        roles = [host.place.role for host in plan.hosts if host.publish and not restarts(host)]
        if roles:
            self.say(
                f"warning: nothing was started or restarted for {', '.join(dict.fromkeys(roles))}: no plugin"
                " does that; add one to deploy.yml: plugins: [systemd], or [supervisorctl]"
            )

    def whereabouts(self) -> str:
        """The last step of each host, one per line."""
        return "\n".join(f"  {at.place}: {at.phase}: {at.step}" for at in self._now.values())

    def finish(self, verb: str, error: BaseException | None) -> None:
        """Report the end of the run. Adds the path of the log to the hint of an error."""
        self._ended.set()
        log = str(self._log.path) if self._log and self._log.path else ""
        interrupted = isinstance(error, KeyboardInterrupt | click.Abort)
        exit_code = int(getattr(error, "exit_code", 1)) if error else 0
        self.emit(
            Ended(
                verb=verb,
                title=self._title,
                exit_code=130 if interrupted else exit_code,
                error=str(getattr(error, "message", type(error).__name__)) if error else "",
                hint=str(getattr(error, "hint", "")),
                hosts=tuple(self.ended.values()),
                seconds=round(self._seconds(), 3),
                plan=self._planned,
                log=log,
            )
        )
        if isinstance(error, FapError) and log:
            error.hint = Hint.lines([error.hint, f"full log: {log}"])

    def show_plan(self, shown: Preview, scripts: Iterable[str] = ()) -> None:
        """Show a plan, and its exact scripts, with secrets redacted."""
        self._title, self._planned = shown.title, shown
        self.emit(Planned(plan=shown, scripts=tuple(scripts)))

    def confirm(self, stage: str) -> None:
        """Ask the user to type the name of a protected stage.

        Raises ConfigError if there is no terminal, or the user types something else.
        """
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise ConfigError(
                f"{stage} is protected, and there is no terminal to confirm on",
                hint="without a terminal, as in CI: --yes",
            )
        typed = click.prompt(
            f"{stage} is protected; type its name to continue", default="", show_default=False, err=True
        )
        if typed.strip() != stage:
            raise ConfigError(f"{typed!r} is not {stage!r}: nothing was done", hint="type the stage's name")

    def agrees(self, action: str) -> bool:
        """Ask the user for an action; without a terminal, the answer is no."""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        return click.confirm(action, default=False, err=True)

    def _watch(self) -> None:
        """Report the steps that take long, again and again, until the run ends."""
        while not self._ended.wait(self.WAIT_SECONDS):
            with self._guard:
                steps = self._underway.longer_than(self.WAIT_SECONDS / 2, time.monotonic())
            if steps:
                self.emit(Waiting(steps=steps))

    def _seconds(self) -> float:
        return time.monotonic() - self._began
