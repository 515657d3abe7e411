"""A plan for people, before it runs: what would change on each host, and the exact scripts. Pure."""

from collections.abc import Iterator

import msgspec

from faprelease.hosts.state import Unpacked
from faprelease.plan import handover
from faprelease.plan.host import Host
from faprelease.plan.warnings import warnings
from faprelease.plugins import processes
from faprelease.steps import wire
from faprelease.steps.model import HostPlan, Kind, Phase, Plan, joined, legs_of
from faprelease.steps.place import Place

_UNKNOWN = Unpacked(digest="")
SHOWN_MARK = "FAP"
"""The frame mark in a script that is only shown; a run has a random one."""


class PhasePreview(msgspec.Struct, frozen=True, kw_only=True):
    """The titles of the steps of a phase."""

    phase: str
    steps: tuple[str, ...]


class HostPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What would change on one host."""

    host: str
    role: str
    batch: int
    """The number of its batch, from 1."""
    release: str
    app: str
    """The app, version and commit of its artifact; empty where nobody knows."""
    version: str
    commit: str
    previous: str
    """The live release; empty if there is none of faprelease."""
    previous_app: str
    previous_version: str
    previous_commit: str
    links: tuple[str, ...]
    """Files and folders that are linked from shared/."""
    processes: tuple[str, ...]
    """Changes of the process manager's configuration, as `- removed` and `+ added` lines."""
    handover: tuple[str, ...]
    """What starts, stays and ends beside what answers now."""
    schedules: tuple[str, ...]
    """Changes of the schedules that this host runs for its role, as `- removed` and `+ added` lines."""
    restarts: tuple[str, ...]
    """The titles of the steps after `current` is swapped."""
    release_command: tuple[str, ...]
    """The titles of the steps that only this host runs, for all hosts."""
    removes: tuple[str, ...]
    """Old releases that are removed at the end."""
    phases: tuple[PhasePreview, ...]


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What would change on all hosts."""

    title: str
    download: int | None
    """The most bytes that a host downloads; None if unknown."""
    hosts: tuple[HostPreview, ...]
    warnings: tuple[str, ...] = ()
    """What users of the app may notice."""


def preview(
    plan: Plan, hosts: list[Host], *, artifact: Unpacked | None = None, download: int | None = None
) -> Preview:
    """Return the preview of a plan. `artifact` is what would be released, if it is known."""
    by_place = {host.place: host for host in hosts}
    return Preview(
        title=plan.title,
        download=download,
        hosts=tuple(_host(each, by_place[each.place], artifact or _UNKNOWN) for each in plan.hosts),
        warnings=tuple(warnings(hosts)) if any(each.publish for each in plan.hosts) else (),
    )


def lines(shown: Preview) -> Iterator[str]:
    """The lines of a preview for a terminal. Hosts with the same changes share their lines."""
    yield shown.title
    groups: dict[HostPreview, list[str]] = {}
    for host in shown.hosts:
        groups.setdefault(msgspec.structs.replace(host, host=""), []).append(str(Place(host.host, host.role)))
    batches = max((host.batch for host in shown.hosts), default=1)
    for group, labels in groups.items():
        yield f"\n{', '.join(labels)}" + (f", batch {group.batch} of {batches}" if batches > 1 else "")
        yield f"  from      {_from(group) or 'nothing'}"
        yield f"  to        {_named(group.release, group.app, group.version, group.commit)}"
        if shown.download is not None:
            yield f"  downloads at most {shown.download / 1e6:.1f} MB"
        for name, value in (
            ("links", ", ".join(group.links)),
            ("runs once", ", ".join(group.release_command)),
            ("restarts", ", ".join(group.restarts)),
            ("removes", ", ".join(group.removes)),
        ):
            if value:
                yield f"  {name:<10}{value}"
        yield from (f"  handover  {line}" for line in group.handover)
        if group.processes:
            yield "  processes"
            yield from (f"    {line}" for line in group.processes)
        if group.schedules:
            yield "  schedules, which only this host of the role runs"
            yield from (f"    {line}" for line in group.schedules)
        for phase in group.phases:
            yield f"  {phase.phase:<12}{'; '.join(phase.steps)}"
    if shown.warnings:
        yield ""
        yield from (f"warning: {warning}" for warning in shown.warnings)


def scripts(plan: Plan) -> Iterator[str]:
    """Every script of a plan, in order, with secrets redacted: first the scripts that run, then their
    undo."""
    for host in plan.hosts:
        parts = {
            "": [
                joined(leg)
                for part in (host.prepare, host.once, host.publish, host.finish)
                for leg in legs_of(part)
            ],
            " (undo, if a step fails before publishing)": host.if_unpublished,
            " (undo, if a step fails after publishing)": host.if_published,
        }
        for why, phases in parts.items():
            for phase in phases:
                yield f"# {host.place}: {phase.name}{why}"
                yield wire.render(phase, SHOWN_MARK, reveal=False)


def _forward(host: HostPlan) -> tuple[Phase, ...]:
    return (*host.prepare, *host.once, *host.publish, *host.finish)


def _host(plan: HostPlan, host: Host, artifact: Unpacked) -> HostPreview:
    settings, state = host.target.settings, host.state
    # A recovery finishes a rollout, or only undoes it.
    phases = _forward(plan) or (*plan.if_published, *plan.if_unpublished)
    goal = plan.release if _forward(plan) else plan.previous
    brought, previous = _artifact(host, goal) or artifact, _artifact(host, state.current) or _UNKNOWN
    return HostPreview(
        host=plan.place.host,
        role=plan.place.role,
        batch=plan.batch + 1,
        release=goal,
        app=brought.app,
        version=brought.version,
        commit=brought.commit,
        previous=state.current,
        previous_app=previous.app,
        previous_version=previous.version,
        previous_commit=previous.commit,
        links=(*settings.linked_files, *settings.linked_dirs) if plan.prepare else (),
        processes=_changes(plan, "processes", state.processes),
        schedules=_changes(plan, "schedules", state.schedules),
        handover=tuple(handover.lines(plan, host)),
        restarts=tuple(
            step.title
            for phase in plan.publish
            if phase.name == "published"
            for step in phase.steps
            if step.kind not in ("note", "schedules")
        ),
        release_command=_titles(plan.once),
        removes=tuple(
            name
            for phase in plan.finish
            for step in phase.steps
            if step.kind == "remove" and isinstance(step.stdin, str)
            for name in step.stdin.split()
        ),
        phases=tuple(
            PhasePreview(phase=phase.name, steps=tuple(step.title for step in phase.steps))
            for phase in phases
        ),
    )


def _changes(plan: HostPlan, kind: Kind, before: str) -> tuple[str, ...]:
    """The changes of the files that the step of this kind writes into the release."""
    return tuple(
        line
        for phase in plan.prepare
        for step in phase.steps
        if step.kind == kind and isinstance(step.stdin, str) and not step.program
        for line in processes.changes(before, step.stdin)
    )


def _titles(phases: "Iterator[Phase] | tuple[Phase, ...]") -> tuple[str, ...]:
    return tuple(step.title for phase in phases for step in phase.steps)


def _artifact(host: Host, release_id: str) -> Unpacked | None:
    release = host.state.release(release_id)
    return release.artifact if release else None


def _from(host: HostPreview) -> str:
    return _named(host.previous, host.previous_app, host.previous_version, host.previous_commit)


def _named(release: str, app: str, version: str, commit: str) -> str:
    what = f"{app} {version}".strip()
    return ", ".join(filter(None, (release, what, f"commit {commit[:12]}" if commit else "")))
