"""From what the hosts are and what is wanted to what will be done. Pure: no clock, no network, no files."""

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import msgspec

from faprelease import environment
from faprelease.config import Target
from faprelease.errors import FapError
from faprelease.facts import HostState, Record, Release, is_good
from faprelease.fitness import refuse_unfit
from faprelease.hooks import Context, Plugins
from faprelease.steps import HostPlan, Phase, Plan, Step, host_script
from faprelease.strategies import curl

INSTALL_SECONDS = 900
"""How long an artifact's own installer may take, in seconds."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """One host as a plan sees it: what is configured, what was found, and the plugins of its role."""

    target: Target
    state: HostState
    plugins: Plugins


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is the same on all hosts of one run: who does it and when (UTC), the lock's token, and the new
    release's id."""

    who: str
    at: datetime
    token: str
    release: str = ""


def plan_release(hosts: list[Host], order: Order, what: str = "") -> Plan:
    """Bring the artifact that the settings name to every host; `what` is its name where the store told it.

    Raises FapError if a host can't take a release, with a hint for each thing that is missing.
    """
    refuse_unfit((host.target, host.state) for host in hosts)
    options = Context(hosts[0].target, "release", "", "").options(curl.Options)
    first = hosts[0].target.settings
    return Plan(
        f"release {order.release} to {first.stage}: {what or curl.what_may_be_shown(options.curl_url)}",
        tuple(_HostPlanner(host, order, "release").release() for host in hosts),
    )


def plan_rollback(hosts: list[Host], order: Order, to: str = "") -> Plan:
    """Go back to the last release that was live before the current one, or to the release `to`.

    Raises FapError where a host has none, or the hosts would go to different ones.
    """
    goals = {host.target.label: _rollback_goal(host, to) for host in hosts}
    if len(set(goals.values())) > 1:
        listed = "; ".join(f"{label}: {goal}" for label, goal in goals.items())
        raise FapError(
            f"the hosts do not agree on the release before this one: {listed}",
            hint="name the one to go to: faprelease rollback STAGE ROLE --to RELEASE",
        )
    first = hosts[0].target.settings
    return Plan(
        f"roll {first.app_name} in {first.stage} back to {next(iter(goals.values()))}",
        tuple(_HostPlanner(host, order, "rollback").rollback(goals[host.target.label]) for host in hosts),
    )


def _rollback_goal(host: Host, to: str) -> str:
    state, label = host.state, host.target.label
    if to:
        goal = state.release(to)
        if goal is None or not is_good(goal) or goal.id == state.current:
            good = ", ".join(r.id for r in state.releases if is_good(r) and r.id != state.current) or "none"
            raise FapError(
                f"{label}: {to} can't be rolled back to", hint=f"releases that were live there: {good}"
            )
        return goal.id
    if not state.current:
        raise FapError(
            f"{label}: nothing is released there", hint=f"release first: {_release_line(host.target)}"
        )
    last = state.last_good()
    if last is None:
        raise FapError(
            f"{label}: there is no release to go back to; {state.current} stays live",
            hint=f"release a good version instead: {_release_line(host.target)}",
        )
    return last.id


def _release_line(target: Target) -> str:
    settings = target.settings
    what = "" if settings.store else "--curl-url URL "
    return f"faprelease {what}{settings.stage} {settings.role}"


class _HostPlanner:
    """The plan of one host; the methods stand in the order in which their steps run."""

    def __init__(self, host: Host, order: Order, verb: str) -> None:
        self.target, self.state, self.plugins = host.target, host.state, host.plugins
        self.settings, self.layout = host.target.settings, host.target.layout
        self.order, self.verb = order, verb
        current = self.state.release(self.state.current)
        known = current is not None and is_good(current)
        last_good = self.state.last_good()
        # A current release whose gate never passed is come back to only where there is no better one.
        self.previous = last_good.id if last_good and not known else self.state.current
        # What another tool published under a name of its own is all there is to come back to at first.
        self.foreign = "" if self.previous else self.state.link

    def release(self) -> HostPlan:
        new = self.order.release
        return HostPlan(
            role=self.settings.role,
            host=self.target.host,
            layout=self.layout,
            release=new,
            previous=self.previous,
            prepare=self._phases(
                new,
                ("starting", self._make_folder),
                ("started", None),
                ("updating", self._fetch),
                ("updated", self._install),
            ),
            publish=self._phases(new, ("publishing", self._swap), ("published", None)),
            finish=self._phases(new, ("finishing", self._finish_release), ("finished", None)),
            if_unpublished=self._discard(),
            if_published=self._go_back(new, "bad"),
        )

    def rollback(self, goal: str) -> HostPlan:
        self.previous = self.state.current
        return HostPlan(
            role=self.settings.role,
            host=self.target.host,
            layout=self.layout,
            release=goal,
            previous=self.previous,
            prepare=self._phases(
                goal, ("starting", None), ("started", None), ("reverting", None), ("reverted", None)
            ),
            publish=self._phases(goal, ("publishing", self._swap), ("published", None)),
            finish=self._phases(goal, ("finishing", self._finish_rollback), ("finished", None)),
            if_unpublished=(),
            if_published=self._go_back(goal, ""),
        )

    def _phases(
        self, release_id: str, *signals: tuple[str, Callable[[str], Iterator[Step]] | None]
    ) -> tuple[Phase, ...]:
        """The core's steps of each signal, then the plugins'; a signal without steps costs no round trip."""
        phases = []
        for signal, core in signals:
            steps = [
                *(core(release_id) if core else ()),
                *self.plugins.steps(signal, self._context(release_id, self.previous)),
            ]
            phases.append(Phase(signal, tuple(steps)))
        return tuple(phase for phase in phases if phase.steps)

    def _context(self, release_id: str, previous: str) -> Context:
        folder = self.layout.release(previous) if previous else ""
        return Context(self.target, self.verb, self.layout.release(release_id) if release_id else "", folder)

    def _old_folder(self) -> str:
        """What ran before this run, empty for nothing."""
        if self.previous:
            return self.layout.release(self.previous)
        return posixpath.join(posixpath.dirname(self.layout.current), self.foreign) if self.foreign else ""

    def _make_folder(self, new: str) -> Iterator[Step]:
        yield host_script(
            "make the release folder",
            "prepare",
            stdin="\n".join(self.settings.linked_dirs),
            release=self.layout.release(new),
            current=self.layout.current,
            shared=self.layout.shared,
            shared_writable="yes" if self.settings.shared_writable else "",
        )
        yield self._record({new: self._new_record("preparing")})

    def _fetch(self, new: str) -> Iterator[Step]:
        options = self._context(new, self.previous).options(curl.Options)
        yield from curl.fetch(options, self.layout, new)

    def _install(self, new: str) -> Iterator[Step]:
        release = self.layout.release(new)
        linked = [*self.settings.linked_files, *self.settings.linked_dirs]
        if linked:
            yield host_script(
                "link shared files",
                "link",
                stdin="\n".join(linked),
                release=release,
                shared=self.layout.shared,
            )
        if self.settings.environment:
            file = self.settings.environment_file.replace("%(release_path)s", release)
            yield host_script(
                "write the environment file",
                "environment",
                stdin=environment.render(self.settings.environment),
                file=file if file.startswith("/") else f"{release}/{file}",
            )
        options = self._context(new, self.previous).options(curl.Options)
        yield host_script(
            "install, without network",
            "install",
            release=release,
            state=self.layout.state,
            limit=INSTALL_SECONDS,
            trusted=False,
            install=options.curl_postinstall_script,
        )
        yield self._record({new: self._new_record("ready")})

    def _swap(self, release_id: str) -> Iterator[Step]:
        yield self._swap_to(release_id)

    def _finish_release(self, new: str) -> Iterator[Step]:
        retired = self.state.release(self.previous)
        records = {new: self._new_record("live")}
        if retired and is_good(retired):
            records[retired.id] = msgspec.structs.replace(retired.record, state="retired")
        yield self._record(records)
        yield self._ledger("released", new, self.previous)
        yield from self._clean_up(new)

    def _finish_rollback(self, goal: str) -> Iterator[Step]:
        left = self.state.release(self.previous)
        back = self.state.release(goal)
        records = {}
        if back:
            records[goal] = msgspec.structs.replace(back.record, state="live")
        if left:
            records[left.id] = msgspec.structs.replace(left.record, state="bad")
        yield self._record(records)
        yield self._ledger("rolled back", goal, self.previous)

    def _clean_up(self, new: str) -> Iterator[Step]:
        outdated = outdated_releases(self.state, new, self.previous, self.settings.keep_releases)
        if outdated:
            yield self._remove("remove old releases", outdated, forget=True)

    def _discard(self) -> tuple[Phase, ...]:
        """What undoes a preparation; the folder goes first, as it may be what filled the disk."""
        new = self.order.release
        remove = self._remove(f"remove the unfinished release {new}", [new], forget=False)
        record = self._record({new: self._new_record("failed")})
        return (Phase("remove", (remove,)), Phase("record", (record, self._ledger("failed", new, ""))))

    def _go_back(self, leaving: str, mark: str) -> tuple[Phase, ...]:
        """What undoes a publish: safe to run when the swap never happened, and safe to run twice."""
        if self.previous:
            back = self._swap_to(self.previous)
        else:
            back = host_script(
                f"publish again what was there: {self.foreign}"
                if self.foreign
                else "unpublish: there was no release before",
                "guard",
                "point",
                "unpublish",
                state=self.layout.state,
                token=self.target.lock_token(self.order.token),
                current=self.layout.current,
                before=self.foreign,
            )
        old = self._old_folder()
        new = self.layout.release(leaving)
        restart = self.plugins.steps("published", Context(self.target, self.verb, old, new)) if old else ()
        restart += self.plugins.steps("failed", Context(self.target, self.verb, new, old))
        records = (self._record({leaving: self._new_record(mark)}),) if mark else ()
        # Each of these phases is run even if the one before it failed.
        phases = (
            Phase("go back", (back,)),
            Phase("restart", restart),
            Phase("record", (*records, self._ledger("went back", self.previous, leaving))),
        )
        return tuple(phase for phase in phases if phase.steps)

    def _swap_to(self, release_id: str) -> Step:
        release = self.layout.release(release_id)
        return host_script(
            f"publish: current → {release_id}",
            "guard",
            "point",
            "swap",
            state=self.layout.state,
            token=self.target.lock_token(self.order.token),
            current=self.layout.current,
            target=link_target(self.layout.current, release),
            release=release,
        )

    def _new_record(self, state: str) -> Record:
        return Record(state=state, previous=self.previous, by=self.order.who)

    def _record(self, records: dict[str, Record]) -> Step:
        lines = [
            f"{release_id} {msgspec.json.encode(record).decode()}" for release_id, record in records.items()
        ]
        title = "record " + ", ".join(
            f"{release_id} as {record.state}" for release_id, record in records.items()
        )
        return host_script(title, "record", stdin="\n".join(lines), records=self.layout.records)

    def _ledger(self, event: str, release_id: str, leaving: str) -> Step:
        return host_script(
            "write the ledger",
            "ledger",
            state=self.layout.state,
            release=release_id,
            event=event,
            at=self.order.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            leaving=leaving,
            who=self.order.who,
        )

    def _remove(self, title: str, releases: list[str], *, forget: bool) -> Step:
        return host_script(
            title,
            "remove",
            stdin="\n".join(releases),
            releases=self.layout.releases,
            records=self.layout.records,
            state=self.layout.state,
            current=self.layout.current,
            limit=600,
            forget="yes" if forget else "",
        )


def outdated_releases(state: HostState, new: str, previous: str, keep: int) -> list[str]:
    """The releases that a finished release removes, oldest first.

    Only those that were live count for `keep`; of those that failed or were left as bad, the newest stays
    as evidence. The new one, the previous one and the one that `current` named stay, and so does every
    folder that no record knows.
    """
    safe = {new, previous, state.current}
    good = [release for release in state.releases if is_good(release)]
    spare = [release.id for release in good if release.id not in safe]
    room = keep - len({release.id for release in good} & safe | {new})
    outdated = spare[: max(0, len(spare) - max(0, room))]
    failed = [release.id for release in state.releases if _is_evidence(release, safe)]
    return sorted([*outdated, *failed[:-1]])


def _is_evidence(release: Release, safe: set[str]) -> bool:
    return not is_good(release) and release.id not in safe


def link_target(current: str, release: str) -> str:
    """What `current` says: relative where both lie in one folder, so that the folder can be moved."""
    folder = current.rpartition("/")[0] + "/"
    return release.removeprefix(folder)
