"""Records of a run in the store, one for each role: they tell `fapstore` what runs where."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from artifact_store.core import actor
from artifact_store.records.releases import HostOutcome, Outcome, ReleaseRecord
from faprelease.config.artifact_source import ArtifactSource
from faprelease.errors import FapError
from faprelease.hosts.state import Release, Rollout, Unpacked, Verb
from faprelease.plan.host import Host, RunInfo
from faprelease.report.events import HostEnded
from faprelease.report.report import Report
from faprelease.run.store_head import store_of
from faprelease.steps.model import HostPlan, Plan
from faprelease.steps.place import Place


@contextmanager
def recorded(
    plan: Plan,
    hosts: list[Host],
    info: RunInfo,
    report: Report,
    *,
    source: ArtifactSource | None = None,
    rollout: Rollout | None = None,
) -> Iterator[None]:
    """Record how the block inside ends, if a store is named that can be written.

    It is a release of `source`, the end of another run's `rollout`, or else a rollback. A store that can't
    be written is only a warning.
    """
    try:
        yield
    finally:
        _write(plan, hosts, info, report, source, rollout)


def _write(
    plan: Plan,
    hosts: list[Host],
    info: RunInfo,
    report: Report,
    source: ArtifactSource | None,
    rollout: Rollout | None,
) -> None:
    where = store_of(hosts[0].target)
    if not where:
        return
    from artifact_store.store.store import open_store

    try:
        store = open_store(where, existing=True)
        if store.can_write:
            for record in records(plan, hosts, info, report.ended, source=source, rollout=rollout):
                store.records.add_release(record)
    except FapError as error:
        report.say(f"warning: the store could not record this {_verb(source, rollout)}: {error.message}")


def records(
    plan: Plan,
    hosts: list[Host],
    info: RunInfo,
    ended: Mapping[Place, HostEnded],
    *,
    source: ArtifactSource | None = None,
    rollout: Rollout | None = None,
) -> list[ReleaseRecord]:
    """Return one record for each role of a plan. A host without an outcome counts as unknown. Pure, except
    that it reads the name of the CI run."""
    first = hosts[0].target.settings
    roles: dict[str, list[HostPlan]] = {}
    for host in plan.hosts:
        roles.setdefault(host.place.role, []).append(host)
    made = []
    for role, plans in roles.items():
        found = _release(hosts, plans[0])
        there = found.artifact if found and found.artifact else Unpacked(digest="")
        configs = {found.record.config} if found else {each.config for each in plans}
        previous = {each.previous for each in plans}
        outcomes: dict[str, Outcome] = {
            each.place.host: ended[each.place].outcome if each.place in ended else "unknown" for each in plans
        }
        made.append(
            ReleaseRecord(
                app=first.project_name,
                stage=first.stage,
                role=role,
                action=_verb(source, rollout),
                release=plans[0].release,
                previous=previous.pop() if len(previous) == 1 else "",
                version=(source.version if source else "") or there.version,
                digest=(source.digest if source else "") or there.digest,
                root=source.root if source else there.root,
                config=configs.pop() if len(configs) == 1 else "",
                entry=named.entry if (named := rollout or source) else 0,
                outcome=whole(outcomes.values()),
                hosts=tuple(HostOutcome(host=host, outcome=outcome) for host, outcome in outcomes.items()),
                who=info.who,
                at=info.at.replace(microsecond=0),
                ci=actor.ci_run(),
                note=info.note,
                # A run that finishes another run's rollout has its own operation besides.
                operation=f"{info.token}-{rollout.id}" if rollout else info.token,
            )
        )
    return made


def whole(outcomes: Collection[Outcome]) -> Outcome:
    """Return the outcome of a role from those of its hosts: `partly` if some run the new release, or may."""
    kinds = set(outcomes)
    if kinds <= {"failed", "undone"}:
        return "undone" if "undone" in kinds else "failed"
    return kinds.pop() if len(kinds) == 1 else "partly"


def _verb(source: ArtifactSource | None, rollout: Rollout | None) -> Verb:
    return rollout.verb if rollout else "release" if source else "rollback"


def _release(hosts: list[Host], plan: HostPlan) -> Release | None:
    """Return the release that a plan publishes if the host had it before; None for a new one."""
    for host in hosts:
        if host.place == plan.place:
            return host.state.release(plan.release)
    return None
