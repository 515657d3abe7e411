"""From the state of the hosts and a request to a plan. Pure: no clock, no network, no files."""

from collections.abc import Mapping

from faprelease.config.artifact_source import ArtifactSource
from faprelease.errors import ConfigError, FapError
from faprelease.hosts.fitness import refuse_unable, refuse_unfit
from faprelease.hosts.state import HostState, Rollout, SeenEntry, Verb
from faprelease.plan import release_command
from faprelease.plan.host import Host, HostPlanner, RunInfo
from faprelease.plan.recovery import Recovery, batches_of
from faprelease.plan.rollback_target import describe, goals
from faprelease.steps.model import Plan
from faprelease.steps.place import Place


def plan_release(
    hosts: list[Host],
    info: RunInfo,
    source: ArtifactSource,
    *,
    rerun: bool = False,
    command: bool = True,
) -> Plan:
    """Plan the release of an artifact to every host.

    `rerun` allows to run its release_command again if the last outcome is unknown; without `command` it is
    not run.

    Raises FapError if a host does not meet a requirement, with a hint for each of them.
    """
    states = [(host.target, host.state) for host in hosts]
    refuse_unfit(states)
    runs_command = release_command.target_of([host.target for host in hosts]) if command else None
    if runs_command and not rerun:
        release_command.refuse_unknown_outcome(states, source.digest)
    wanted = {host.place: info.release for host in hosts}
    planners = _planners(hosts, info, "release", wanted, released=source)
    return Plan(
        f"release {info.release} to {_stage(hosts)}: {source.name}",
        tuple(planner.release(source, runs_command=planner.target is runs_command) for planner in planners),
        batch_wait=_batch_wait(hosts),
        keep=_keeps(hosts),
    )


def plan_check(
    hosts: list[Host], info: RunInfo, source: ArtifactSource, *, whole: bool = False
) -> Plan | None:
    """Plan a health check of an artifact that is already live. None unless it is live on every host, with the
    same configuration, or if its sha256 is not known. With `whole`, also check that no file changed."""
    if not source.digest or not all(is_live(host, info, source.digest) for host in hosts):
        return None
    planners = _planners(hosts, info, "release", {host.place: host.state.current for host in hosts})
    plans = tuple(planner.check(whole=whole) for planner in planners)
    return Plan(f"check {_stage(hosts)}: {source.name}", plans)


def plan_health(hosts: list[Host], info: RunInfo) -> Plan:
    """Plan a health check of the live release of each host."""
    planners = _planners(hosts, info, "release", {host.place: host.state.current for host in hosts})
    return Plan(f"check {_stage(hosts)}", tuple(planner.check() for planner in planners))


def plan_rollback(
    hosts: list[Host], info: RunInfo, to: str = "", *, force: bool = False, renew: bool = False
) -> Plan:
    """Plan a rollback to the last healthy release before the current one, or to the one that `to` names.

    With `renew`, its artifact becomes a new release with the current configuration. Raises FapError if a host
    has no such release, or the hosts would roll back to different ones.
    """
    targets = goals(hosts, to, force=force)
    moving = [host for host in hosts if host.place in targets]
    refuse_unable((host.target, host.state) for host in moving)
    names = " and ".join(dict.fromkeys(map(describe, targets.values())))
    title = f"roll back {hosts[0].target.settings.app_name} in {_stage(hosts)} to {names}"
    if renew:
        refuse_unfit((host.target, host.state) for host in moving)
        sources = {place: release.id for place, release in targets.items()}
        planners = _planners(moving, info, "release", dict.fromkeys(targets, info.release), sources)
        plans, title = [planner.copy() for planner in planners], f"{title}, with the current configuration"
    else:
        planners = _planners(
            moving, info, "rollback", {place: release.id for place, release in targets.items()}
        )
        plans = [planner.rollback() for planner in planners]
    return Plan(title, tuple(plans), batch_wait=_batch_wait(hosts), keep=_keeps(hosts))


def plan_restart(hosts: list[Host], info: RunInfo) -> Plan:
    """Plan a restart of the live releases. Raises FapError for a host without one; ConfigError if no plugin
    restarts anything."""
    for host in hosts:
        if not host.state.current:
            raise FapError(
                f"{host.place}: no release is live there",
                hint=f"see what runs on each host: faprelease status {_stage(hosts)}",
            )
    planners = _planners(hosts, info, "release", {host.place: host.state.current for host in hosts})
    plans = tuple(planner.restart() for planner in planners)
    if not any(plan.publish for plan in plans):
        raise ConfigError(
            "no plugin restarts anything", hint="add one that does: plugins: [supervisorctl], or [systemd]"
        )
    title = f"restart {hosts[0].target.settings.app_name} in {_stage(hosts)}"
    return Plan(title, plans, batch_wait=_batch_wait(hosts))


def plan_recovery(hosts: list[Host], info: RunInfo, recovery: Recovery) -> Plan:
    """Plan to finish a rollout that was interrupted, or to undo it (in `if_published`)."""
    cut_off = recovery.rollout
    name = f"{cut_off.verb} {cut_off.release} in {_stage(hosts)} that {cut_off.by or 'someone'} started"
    if recovery.action == "finish":
        planners = [HostPlanner(host, info, host.state.rollout or cut_off) for host in recovery.published]
        return Plan(f"finish the unfinished {name}", tuple(planner.finish() for planner in planners))
    numbers = batches_of(recovery.published)
    plans = [
        HostPlanner(host, info, host.state.rollout or cut_off, number).go_back()
        for host, number in zip(recovery.published, numbers, strict=True)
    ]
    plans += [HostPlanner(host, info, cut_off, max(numbers) + 1).discard() for host in recovery.prepared]
    return Plan(f"undo the unfinished {name}", tuple(plans))


def _planners(
    hosts: list[Host],
    info: RunInfo,
    verb: Verb,
    wanted: Mapping[Place, str],
    sources: Mapping[Place, str] | None = None,
    released: ArtifactSource | None = None,
) -> list[HostPlanner]:
    everyone = tuple(host.place for host in hosts)
    planners = []
    for host, batch in zip(hosts, batches_of(hosts), strict=True):
        previous, foreign = _comes_from(host.state, verb)
        stage, entry = host.target.settings.stage, released.entry if released else 0
        seen = SeenEntry(entry, released.origin) if released and entry else host.state.seen(stage)
        rollout = Rollout(
            id=info.release,
            verb=verb,
            release=wanted[host.place],
            previous=previous,
            foreign=foreign,
            by=info.who,
            entry=entry,
            stage=stage if seen.number else "",
            seen=seen.number,
            origin=seen.origin,
            hosts=everyone,
            copy_of=(sources or {}).get(host.place, ""),
        )
        planners.append(HostPlanner(host, info, rollout, batch))
    return planners


def _comes_from(state: HostState, verb: Verb) -> tuple[str, str]:
    """The release that a host returns to if this run fails, or what `current` points to instead of one."""
    if verb == "rollback":
        return state.current, ""
    current = state.release(state.current)
    last_good = state.last_good()
    if last_good and not (current and current.is_good):
        # Return to a release that never passed its health check only if there is no better one.
        return last_good.id, ""
    # At first, the host can only return to what another tool published.
    return state.current, "" if state.current else state.link


def is_live(host: Host, info: RunInfo, digest: str) -> bool:
    """Whether the artifact with this digest is live on the host, with the current configuration."""
    live = host.state.release(host.state.current)
    if live is None or live.artifact is None or live.record.state != "live" or not live.present:
        return False
    return live.artifact.digest == digest and live.record.config == host.config(info)


def _batch_wait(hosts: list[Host]) -> int:
    return max(host.target.settings.batch_wait for host in hosts)


def _keeps(hosts: list[Host]) -> bool:
    return all(host.target.settings.on_failure == "keep" for host in hosts)


def _stage(hosts: list[Host]) -> str:
    return hosts[0].target.settings.stage
