"""The plan of one host: from its state and a rollout to its phases. Pure."""

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import msgspec

from faprelease.config.artifact_source import ArtifactSource
from faprelease.config.target import Target
from faprelease.errors import FapError
from faprelease.hosts.retention import outdated_releases
from faprelease.hosts.state import HostState, Owner, Record, Release, Rollout, State
from faprelease.plan import release_command
from faprelease.plan.config_digest import config_digest
from faprelease.plan.prepare import Preparation
from faprelease.plugins.hooks import Context, Plugins
from faprelease.plugins.processes import MANAGERS
from faprelease.steps.model import HostPlan, Phase, Secret, Step, host_path, host_program, host_script
from faprelease.steps.place import Place


def owner_of(target: Target) -> Owner:
    """The deployment that a target's folder belongs to."""
    settings = target.settings
    return Owner(app=settings.app_name, stage=settings.stage, role=settings.role)


@dataclass(frozen=True, kw_only=True)
class Host:
    """One host: its configuration, its state, and the plugins of its role."""

    target: Target
    state: HostState
    plugins: Plugins

    @property
    def place(self) -> Place:
        """The host and the role."""
        return self.target.place

    @property
    def restarts(self) -> bool:
        """Whether a process manager stops its processes before it starts the new ones."""
        return self.target.settings.handover == "restart" and self.has_manager

    @property
    def has_manager(self) -> bool:
        """Whether a plugin runs its processes by a process manager."""
        return not MANAGERS.isdisjoint(name.rpartition(".")[2] for name in self.plugins.names())

    def with_brought_files(self, verb: str) -> "Host":
        """The same host, without the missing linked files that a plugin provides."""
        brought = self.plugins.brings(Context(self.target, verb, "", ""))
        missing = tuple(name for name in self.state.missing if name not in brought)
        return replace(self, state=replace(self.state, missing=missing))

    def config(self, info: "RunInfo") -> str:
        """The digest of its configuration."""
        return config_digest(self.target, self.plugins, self.state.key or info.key)


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """The facts of one run: its user and time (UTC), the token of its locks, the id of the new release (and
    of the rollout), a key for configuration digests, for hosts that have none yet, and a note for the ledger
    (empty: none)."""

    who: str
    at: datetime
    token: str
    release: str = ""
    key: str = ""
    note: str = ""


class HostPlanner:
    """Makes the plan of one host. The methods are in the order in which their steps run."""

    def __init__(self, host: Host, info: RunInfo, rollout: Rollout, batch: int = 0) -> None:
        self.target, self.state, self.plugins = host.target, host.state, host.plugins
        self.settings, self.layout = host.target.settings, host.target.layout
        self.info, self.rollout, self.batch = info, rollout, batch
        self.verb: str = rollout.verb
        self.goal = rollout.release
        self.previous, self.foreign = rollout.previous, rollout.foreign
        self.preparation = Preparation(host.target, self.goal)
        self.key = host.state.key or info.key
        self.config = host.config(info)

    def release(self, source: ArtifactSource, *, runs_command: bool = False) -> HostPlan:
        """Plan to fetch, install and publish an artifact. One host also runs release_command."""
        return self._release(partial(self.preparation.fetch, source), runs_command=runs_command)

    def copy(self) -> HostPlan:
        """Plan to copy an older release, install it with the current configuration, and publish it."""
        return self._release(partial(self.preparation.copy, self.rollout.copy_of))

    def _release(self, files: Callable[[], Iterator[Step]], *, runs_command: bool = False) -> HostPlan:
        prepare = self._phases(
            ("starting", self._make_folder),
            ("started", None),
            ("updating", files),
            ("updated", self.preparation.install),
        )
        *_, last = prepare
        prepare = (*prepare[:-1], Phase(last.name, (*last.steps, *self._seal())))
        once = (Phase("release command", tuple(self._command())),) if runs_command else ()
        return self._rollout(prepare, once=once, if_unpublished=self._discard())

    def rollback(self) -> HostPlan:
        """Plan to publish an older release."""
        prepare = self._phases(
            ("starting", None),
            ("started", None),
            ("reverting", partial(self.preparation.compare, self.state.current)),
            ("reverted", None),
        )
        return self._rollout(prepare, if_unpublished=())

    def restart(self) -> HostPlan:
        """Plan to restart the live release and check its health."""
        self.verb = "restart"
        phases = self._phases(
            ("draining", None), ("published", None), ("checking", None), ("undraining", None)
        )
        done = Phase("record", (self._record({}, "restarted", self.goal),))
        return self._host_plan(publish=(*phases, done) if phases else ())

    def check(self, *, whole: bool = False) -> HostPlan:
        """Plan to check the health of the release, and with `whole` that none of its files changed."""
        return self._host_plan(
            prepare=self._phases(("checking", self.preparation.unchanged if whole else None))
        )

    def finish(self) -> HostPlan:
        """Plan to finish the rollout, after all health checks passed."""
        return self._host_plan(finish=self._finish())

    def go_back(self) -> HostPlan:
        """Plan to undo a publish that happened or was about to happen."""
        return self._host_plan(if_published=self._go_back())

    def discard(self) -> HostPlan:
        """Plan to undo a preparation."""
        return self._host_plan(if_unpublished=(*self._phases(("undraining", None)), *self._discard()))

    def _rollout(
        self,
        prepare: tuple[Phase, ...],
        *,
        once: tuple[Phase, ...] = (),
        if_unpublished: tuple[Phase, ...],
    ) -> HostPlan:
        return self._host_plan(
            prepare=prepare,
            once=once,
            publish=self._publish(),
            explain=self._phases(("explaining", None)),
            finish=self._finish(),
            if_unpublished=if_unpublished,
            if_published=self._go_back(),
            if_kept=(Phase("record", (self._record({}, "kept", self.goal, self.previous, "kept"),)),),
        )

    def _publish(self) -> tuple[Phase, ...]:
        """The phases of a publish. A host that completes them records that it passed, in the same round
        trip."""
        *phases, last = self._phases(
            ("draining", None),
            ("publishing", self._swap),
            ("published", None),
            ("checking", None),
            ("undraining", None),
        )
        note = self._note({"passed": True})
        step = host_script(
            "record that its checks passed", "release/note", kind="note", state=self.layout.state, note=note
        )
        return (*phases, Phase(last.name, (*last.steps, step)))

    def _host_plan(self, **parts: tuple[Phase, ...]) -> HostPlan:
        return HostPlan(
            place=self.target.place,
            layout=self.layout,
            release=self.goal,
            previous=self.previous,
            config=self.config,
            batch=self.batch,
            **parts,
        )

    def _finish(self) -> tuple[Phase, ...]:
        core = self._finish_release if self.verb == "release" else self._finish_rollback
        return self._phases(("finishing", core), ("finished", None))

    def _phases(self, *signals: tuple[str, Callable[[], Iterator[Step]] | None]) -> tuple[Phase, ...]:
        """The phase of each signal: the steps of the core, then those of plugins. Empty phases are left
        out."""
        context = self._context()
        phases = [
            Phase(signal, (*(core() if core else ()), *self.plugins.steps(signal, context)))
            for signal, core in signals
        ]
        return tuple(phase for phase in phases if phase.steps)

    def _context(self) -> Context:
        previous = self.layout.release(self.previous) if self.previous else ""
        return Context(self.target, self.verb, self.layout.release(self.goal), previous)

    def _old_folder(self) -> str:
        """The folder that was live before this run; empty if nothing was."""
        if self.previous:
            return self.layout.release(self.previous)
        return posixpath.join(posixpath.dirname(self.layout.current), self.foreign) if self.foreign else ""

    def _make_folder(self) -> Iterator[Step]:
        new = self.goal
        yield host_script(
            "create the release folder",
            "once/sweep",
            "release/prepare",
            "release/record",
            stdin="\n".join(self.settings.linked_dirs),
            trials=self.layout.trials,
            ours="",
            release=self.layout.release(new),
            current=self.layout.current,
            shared=self.layout.shared,
            shared_writable="yes" if self.settings.shared_writable else "",
            state=self.layout.state,
            records=_lines({new: self._record_of(new, "preparing")}),
        )
        if self.state.owner != self._owner():
            yield host_script(
                "record which deployment the folder belongs to",
                "release/owner",
                stdin=msgspec.json.encode(self._owner()).decode() + "\n",
                state=self.layout.state,
            )
        if not self.state.key:
            secret = Secret(self.key, "(a new key)", (self.key,))
            yield host_script(
                "create the key for digests of configurations",
                "release/key",
                stdin=secret,
                state=self.layout.state,
            )

    def _owner(self) -> Owner:
        return owner_of(self.target)

    def _seal(self) -> Iterator[Step]:
        """Runs after all steps of plugins that change the release."""
        yield self.preparation.seal()
        yield self._record({self.goal: self._record_of(self.goal, "ready")})

    def _command(self) -> Iterator[Step]:
        yield release_command.step(
            self.target, self.goal, self.preparation.environment_file, self._now(), self.info.who
        )

    def _swap(self) -> Iterator[Step]:
        yield self._swap_to(self.goal, msgspec.json.encode(self.rollout).decode())

    def _finish_release(self) -> Iterator[Step]:
        new = self.goal
        retired = self.state.release(self.previous)
        records = {new: self._record_of(new, "live")}
        if retired and retired.is_good:
            records[retired.id] = (
                self._changed(retired, "bad", left=True)
                if self.rollout.copy_of
                else self._changed(retired, "retired")
            )
        event = "rolled back" if self.rollout.copy_of else "released"
        yield self._record(records, event, new, self.previous, "finished")
        outdated = outdated_releases(self.state, new, self.previous, self.settings.keep_releases)
        if outdated:
            yield self._remove("remove old releases", outdated, forget=True)
            if self.settings.cache_path:
                yield self._sweep()

    def _finish_rollback(self) -> Iterator[Step]:
        goal = self.goal
        leaving = self.state.release(self.previous)
        back = self.state.release(goal)
        records = {}
        if back:
            records[goal] = self._changed(back, "live")
        if leaving:
            records[leaving.id] = self._changed(leaving, "bad", left=True)
        yield self._record(records, "rolled back", goal, self.previous, "finished")

    def _discard(self) -> tuple[Phase, ...]:
        """The phases that undo a preparation. The folder is removed first, as it may have filled the disk."""
        new = self.goal
        remove = self._remove(f"remove the unfinished release {new}", [new], forget=False)
        record = self._record({new: self._record_of(new, "failed")}, "failed", new)
        return (Phase("remove", (remove,)), Phase("record", (record,)))

    def _go_back(self) -> tuple[Phase, ...]:
        """The phases that undo a publish. They may run twice, and also if the swap never happened."""
        if self.previous:
            back = self._swap_to(self.previous)
        else:
            back = host_script(
                f"publish {self.foreign} again" if self.foreign else "unpublish: there is no earlier release",
                "release/unpublish",
                state=self.layout.state,
                token=self.target.lock_token(self.info.token),
                current=self.layout.current,
                before=self.foreign,
            )
        leaving, old = self.goal, self._old_folder()
        new = self.layout.release(leaving)
        there = Context(self._target_before(), self.verb, old, new)
        restart = self.plugins.steps("published", there) if old else ()
        restart += self.plugins.steps("failed", Context(self.target, self.verb, new, old))
        drain, check, undrain = (
            self.plugins.steps(signal, there) if old else ()
            for signal in ("draining", "checking", "undraining")
        )
        records = {leaving: self._record_of(leaving, "bad")} if self.verb == "release" else {}
        # Each of these phases runs even if the one before it failed.
        phases = (
            Phase("drain", drain),
            Phase("roll back", (back,)),
            Phase("restart", restart),
            Phase("check", check),
            Phase("undrain", undrain),
            Phase("record", (self._record(records, "went back", self.previous, leaving, "undone"),)),
        )
        return tuple(phase for phase in phases if phase.steps)

    def _target_before(self) -> Target:
        """The target for a release that ran beside the one before it, whatever deploy.yml says by now."""
        if not self.state.front:
            return self.target
        return replace(self.target, settings=msgspec.structs.replace(self.settings, handover="beside"))

    def _swap_to(self, release_id: str, rollout: str = "") -> Step:
        release = self.layout.release(release_id)
        return host_script(
            f"publish: current → {release_id}",
            "release/swap",
            state=self.layout.state,
            token=self.target.lock_token(self.info.token),
            current=self.layout.current,
            target=link_target(self.layout.current, release),
            release=release,
            rollout=rollout,
        )

    def _record_of(self, release_id: str, state: State) -> Record:
        """The record of the release of this rollout, changed to `state`; a new one if there is none."""
        known = self.state.release(release_id)
        if known:
            return self._changed(known, state)
        return Record(
            state=state, previous=self.previous, by=self.info.who, at=self._now(), config=self.config
        )

    def _changed(self, release: Release, state: State, *, left: bool = False) -> Record:
        try:
            return release.record.changed(state, self._now(), left=left)
        except ValueError as error:
            raise FapError(
                f"{self.target.place}: the record of {release.id} is damaged: {error}",
                hint=f"look at {self.layout.records}/{release.id}.jsonl on the host, and move it away",
            ) from error

    def _record(
        self,
        records: dict[str, Record],
        event: str = "",
        release_id: str = "",
        leaving: str = "",
        ended: str = "",
    ) -> Step:
        """One step that writes the states of releases, a line of the ledger for `event`, and how the rollout
        `ended` on this host."""
        states = ", ".join(f"{name} as {record.state}" for name, record in records.items())
        state, scripts = self.layout.state, []
        if records:
            scripts.append(host_script("", "release/record", state=state, records=_lines(records)))
        if event:
            scripts.append(
                host_script(
                    "",
                    "release/ledger",
                    state=state,
                    at=self._now(),
                    release=release_id,
                    event=event,
                    leaving=leaving,
                    who=self.info.who,
                    why=f',"why":{msgspec.json.encode(self.info.note).decode()}' if self.info.note else "",
                )
            )
        if ended:
            scripts.append(host_script("", "release/note", state=state, note=self._note({"ended": ended})))
        return Step(
            title=f"record {states}" if states else f"record: {event}",
            script="\n".join(step.script for step in scripts),
            trusted=True,
        )

    def _now(self) -> str:
        return self.info.at.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _note(self, facts: dict[str, str | bool]) -> str:
        return msgspec.json.encode({"id": self.rollout.id, **facts}).decode()

    def _sweep(self) -> Step:
        cache = host_path(self.settings.cache_path)
        wheels, swept = f"{cache}/wheels", f"{cache}/wheels/.swept"
        # Only after it grew: a code-only release adds nothing to it.
        differs = f"[ ! -e {swept} ] || [ {wheels} -nt {swept} ] || [ {wheels} -ot {swept} ]"
        grew = f"[ -d {wheels} ] && {{ {differs}; }}"
        return host_program("clean up the cache", "sweep", arguments=[cache], limit=600, when=grew)

    def _remove(self, title: str, releases: list[str], *, forget: bool) -> Step:
        return host_script(
            title,
            "release/remove",
            kind="remove",
            stdin="\n".join(releases),
            releases=self.layout.releases,
            records=self.layout.records,
            state=self.layout.state,
            current=self.layout.current,
            run=self.layout.run,
            limit=600,
            forget="yes" if forget else "",
        )


def _lines(records: dict[str, Record]) -> str:
    return "\n".join(f"{name} {msgspec.json.encode(record).decode()}" for name, record in records.items())


def link_target(current: str, release: str) -> str:
    """The target of the link `current`: relative if both are in one folder, so that it can be moved."""
    folder = current.rpartition("/")[0] + "/"
    return release.removeprefix(folder)
