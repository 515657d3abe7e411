"""Release on this machine what was promoted to its stage.

Read the log, probe the host, decide, act, record the result. The host talks to nothing but the store.
"""

import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from typing import Literal

import msgspec

from artifact_store.artifact.ids import check_host
from artifact_store.records.hosts import HostRecord
from faprelease.config import target as config
from faprelease.config.artifact_source import ArtifactSource
from faprelease.config.layers import HostEntry, Scope
from faprelease.errors import (
    ConfigError,
    FapError,
    HeldBackError,
    InterruptedRunError,
    LockedError,
    PartlyDoneError,
    RolledBackError,
    UnreachableError,
    UsageError,
    VerificationError,
)
from faprelease.hosts.state import HostState, SeenEntry
from faprelease.plan import seen
from faprelease.plan.fleet import plan_check, plan_release
from faprelease.plan.host import Host
from faprelease.plan.recovery import recovery
from faprelease.report.report import Report
from faprelease.request import Request
from faprelease.run import execute, store_head
from faprelease.run.run import ConnectedHosts, Run, load
from faprelease.verbs import converge_memory, converge_store
from faprelease.verbs.converge_memory import Memory


class _UnhealthyError(HeldBackError):
    """The promoted version runs, but its health check fails; releasing it again would not help."""


Outcome = Literal[
    "healthy",
    "unchanged",
    "planned",
    "held back",
    "unhealthy",
    "failed",
    "undone",
    "unknown",
    "stopped",
    "locked",
    "refused",
    "unverified",
    "unreachable",
]
_OUTCOMES: tuple[tuple[type[FapError], Outcome], ...] = (
    (RolledBackError, "undone"),
    (_UnhealthyError, "unhealthy"),
    (HeldBackError, "held back"),
    (PartlyDoneError, "unknown"),
    (InterruptedRunError, "stopped"),
    (LockedError, "locked"),
    (VerificationError, "unverified"),
    (UnreachableError, "unreachable"),
    (UsageError, "refused"),
)
_RECORDED: dict[Outcome, Literal["healthy", "failed", "undone", "unknown"]] = {
    "healthy": "healthy",
    "unchanged": "healthy",
    "failed": "failed",
    "unverified": "failed",
    "undone": "undone",
    "held back": "undone",
    "unknown": "unknown",
}
_LONGEST_PROBLEM = 2000


class Converged(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended, as it is printed: one JSON object."""

    stage: str
    role: str
    host: str = ""
    outcome: Outcome = "failed"
    changed: bool = False
    """Something was published here, even if it was rolled back."""
    was: str = ""
    """The release that ran before; empty for none, or if the host was not probed."""
    now: str = msgspec.field(default="", name="is")
    """The release that runs now."""
    version: str = ""
    """The version that was promoted; below its digest, and the number of the log entry."""
    digest: str = ""
    entry: int = 0
    config: str = ""
    """The digest of the effective configuration."""
    problem: str = ""
    seconds: float = 0


def converge(
    request: Request, report: Report, *, host: str = "", again: bool = False
) -> tuple[Converged, FapError | None]:
    """Release on this machine, called `host` (default: its hostname), what was promoted to the stage.

    A release that was tried and rolled back is held back until the log or the configuration changes, or with
    `again`. Return the result, and the error if it failed.
    """
    began = time.monotonic()
    run = _Convergence(request, report, host, again=again)
    error = run.caught(run.run)
    return msgspec.structs.replace(run.told, seconds=round(time.monotonic() - began, 3)), error


def name_in(entries: Iterable[HostEntry], hostname: str) -> str:
    """Return the machine's name in deploy.yml: its hostname, or the only name that adds a domain to it.
    Pure."""
    entries = list(entries)
    if any(hostname in entry.words for entry in entries):
        return hostname
    longer = [entry.address for entry in entries if entry.address.startswith(f"{hostname}.")]
    return longer[0] if len(longer) == 1 else hostname


def went_back(
    pair: tuple[str, str], state: HostState, records: Iterable[HostRecord | None], stopped: str
) -> bool:
    """Return whether this artifact with this configuration (their digests) was published here and rolled
    back.

    The release `stopped` does not count: someone stopped its run, which says nothing about it. Pure.
    """
    if any(
        release.record.state == "bad"
        and release.id != stopped
        and release.artifact is not None
        and (release.artifact.digest, release.record.config) == pair
        for release in state.releases
    ):
        return True
    return any(_did_not_stay(record, pair) for record in records)


def _did_not_stay(record: HostRecord | None, pair: tuple[str, str]) -> bool:
    return (
        record is not None
        and record.outcome in ("undone", "unknown")
        and (record.digest, record.config) == pair
    )


def _says(record: HostRecord) -> tuple[str, ...]:
    """Return the fields that make two records different."""
    return (record.outcome, record.digest, record.config, record.release)


class _Convergence:
    """One run; `told` is its result so far."""

    def __init__(self, request: Request, report: Report, host: str, *, again: bool) -> None:
        self._request, self._report, self._host, self._again = request, report, host, again
        self.told = Converged(stage=request.stage, role=request.role or "", host=host)
        self._memory = Memory()

    def caught(self, work: Callable[[], None]) -> FapError | None:
        """Run `work`; note and return the error that ended it."""
        try:
            work()
        except FapError as error:
            outcome = next((each for kind, each in _OUTCOMES if isinstance(error, kind)), "failed")
            self._tell(outcome=outcome, problem=error.message[:_LONGEST_PROBLEM])
            return error
        return None

    def run(self) -> None:
        run = self._run()
        source = store_head.find(run.targets[0], self._request.file.parent)
        self._tell(version=source.version, digest=source.digest, entry=source.entry)
        run = run.with_environment()
        with run.connect(lock=not run.dry_run) as connected:
            state = connected.hosts[0].target.layout.state
            self._memory = converge_memory.read(state)
            connected = self._refuse_older(source, connected)
            self._tell(was=connected.hosts[0].state.current, now=connected.hosts[0].state.current)
            if run.dry_run:
                self._plan(connected, source)
                return
            self._keep(state, entry=source.entry, origin=source.origin)
            error = self.caught(lambda: self._bring(run, run.recover(connected)[0], source))
            self._write_down(connected, state)
            if error:
                raise error

    def _run(self) -> Run:
        """Return the run on this machine alone, whatever `hosts` and `connection` say."""
        asked = self._request
        if not asked.role:
            raise ConfigError(
                "converge needs a role", hint=f"name it: faprelease converge {asked.stage} ROLE"
            )
        for flag in {"hosts", "connection", "curl_url"} & asked.flags.keys():
            raise ConfigError(
                f"--{flag.replace('_', '-')} means nothing here: this machine is brought to what the log of"
                f" {asked.stage} says",
                hint="leave it out; --host NAME sets the name of this machine",
            )
        file, options = load(asked.file, asked.flags)
        config.roles_of(file, asked.stage, asked.role, options)
        entries = Scope(file, {**config.CORE, **options}, asked.stage, asked.role, asked.flags).hosts()
        name = check_host(self._host or name_in(entries, socket.gethostname()))
        self._tell(host=name)
        flags = {**asked.flags, "hosts": [name], "connection": "local"}
        self._request = replace(asked, flags=flags, manager="converge", confirmed=True)
        return Run.of(self._request, "release", self._report)

    def _plan(self, connected: ConnectedHosts, source: ArtifactSource) -> None:
        """Show what a run would do, as far as that is known without the lock."""
        host = connected.hosts[0]
        self._tell(outcome="planned", config=host.config(connected.info))
        if recovery(connected.hosts):
            self._report.say("an earlier run did not finish here; the next one finishes or undoes it first")
        elif plan_check(connected.hosts, connected.info, source):
            self._tell(outcome="unchanged")
        else:
            self._hold_back(host, source)
            self._report.say(f"would do: {plan_release(connected.hosts, connected.info, source).title}")

    def _bring(self, run: Run, connected: ConnectedHosts, source: ArtifactSource) -> None:
        host = connected.hosts[0]
        self._tell(now=host.state.current, config=host.config(connected.info))
        check = plan_check(connected.hosts, connected.info, source)
        if check:
            wrong = execute.check(check, connected.connections, self._report, time.monotonic)
            if not wrong:
                self._tell(outcome="unchanged")
                return
            if not self._again:
                raise _UnhealthyError(
                    f"{host.state.current} is the promoted version, but it is unhealthy:\n{wrong}",
                    hint="fix that, or release it again: the same command with --again",
                )
        self._hold_back(host, source)
        plan = plan_release(connected.hosts, connected.info, source)
        try:
            run.execute(plan, connected)
        finally:
            for ended in self._report.ended.values():
                self._tell(now=ended.release, changed=ended.outcome != "failed")
        self._tell(outcome="healthy")

    def _refuse_older(self, source: ArtifactSource, connected: ConnectedHosts) -> ConnectedHosts:
        """Raise VerificationError if the log is older than what this host has seen, or another one; with
        --allow-older, return the run with a note of that."""
        remembered = SeenEntry(self._memory.entry, self._memory.origin)
        released = connected.hosts[0].state.seen(self.told.stage)
        known = {"this host": max(remembered, released, key=lambda each: each.number)}
        note = seen.refuse_older(source, known, self._request)
        if note:
            self._report.say(f"warning: {note}")
        return replace(connected, info=replace(connected.info, note=note))

    def _hold_back(self, host: Host, source: ArtifactSource) -> None:
        """Raise HeldBackError if this log entry was tried here and rolled back; VerificationError if the
        entry is lower than one that was tried before the host was restored from a snapshot."""
        recorded, last = converge_store.of(host.target, self.told.host), self._memory.last
        known = {"this host": SeenEntry(recorded.entry)} if recorded else {}
        seen.refuse_older(source, known, self._request)
        pair = (source.digest, self.told.config)
        if self._again or not went_back(pair, host.state, (last, recorded), self._memory.stopped):
            return
        tried = max(each.entry if each else 0 for each in (host.state.rollout, last, recorded))
        if tried and store_head.since(host.target, source) > tried:
            return
        settings, store = host.target.settings, store_head.store_of(host.target)
        raise HeldBackError(
            f"{source.name} was tried on {self.told.host} with this configuration and was rolled back;"
            f" {host.state.current or 'nothing'} keeps running",
            hint="to roll back all hosts: "
            f"fapstore --store {store} rollback {settings.project_name} {settings.stage}\n"
            "or promote another version, or change the configuration; to try it once more here: --again",
        )

    def _write_down(self, connected: ConnectedHosts, state: str) -> None:
        """Record the result if it changed: on this host first, then in the store."""
        if self.told.outcome == "stopped":
            self._keep(state, stopped=connected.info.release)
        record, last = self._record(connected), self._memory.last
        if record and not (last and _says(last) == _says(record)):
            self._keep(state, last=record, recorded=False)
        if self._memory.last and not self._memory.recorded:
            try:
                converge_store.write(connected.hosts[0].target, self._memory.last)
            except FapError as error:
                self._report.say(f"warning: the store has no record of this yet: {error.message}")
                return
            self._keep(state, recorded=True)

    def _record(self, connected: ConnectedHosts) -> HostRecord | None:
        """Return the record of this run, None for nothing new."""
        told, last = self.told, self._memory.last
        outcome, held_back = _RECORDED.get(told.outcome), told.outcome == "held back"
        if outcome is None or (held_back and _did_not_stay(last, (told.digest, told.config))):
            return None
        tried = connected.info.release if told.changed else ""
        return HostRecord(
            app=connected.hosts[0].target.settings.project_name,
            stage=told.stage,
            role=told.role,
            host=told.host,
            entry=told.entry,
            version=told.version,
            digest=told.digest,
            config=told.config,
            release=told.now if outcome == "healthy" else tried,
            previous=told.was if outcome == "healthy" else told.now,
            outcome=outcome,
            problem=told.problem,
            at=datetime.now(UTC).replace(microsecond=0),
            fapkit=metadata.version("fapkit"),
            operation=connected.info.token,
        )

    def _keep(self, state: str, **known: object) -> None:
        memory = msgspec.structs.replace(self._memory, **known)
        if memory != self._memory:
            converge_memory.write(state, memory)
            self._memory = memory

    def _tell(self, **known: object) -> None:
        self.told = msgspec.structs.replace(self.told, **known)
