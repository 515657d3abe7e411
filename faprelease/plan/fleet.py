"""From what the hosts are and what is wanted to what will be done. Pure: no clock, no network, no files."""

from collections.abc import Mapping

from faprelease.config.artifact_source import ArtifactSource
from faprelease.errors import ConfigError, FapError
from faprelease.hosts.fitness import refuse_unfit
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
    """Bring an artifact to every host.

    With `rerun` a release_command of it whose end nobody knows is run again; without `command` it is not run.

    Raises FapError if a host can't take a release, with a hint for each thing that is missing.
    """
    found = [(host.target, host.state) for host in hosts]
    refuse_unfit(found)
    runs_command = release_command.target_of([host.target for host in hosts]) if command else None
    if runs_command and not rerun:
        release_command.refuse_unknown_outcome(found, source.digest)
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
    """See whether the artifact runs well already: None unless every host has it live, the same
    artifact with the same configuration. Without a sha256 nobody knows what a URL holds. With `whole`, a
    release whose files changed is not well."""
    if not source.digest or not all(is_live(host, info, source.digest) for host in hosts):
        return None
    planners = _planners(hosts, info, "release", {host.place: host.state.current for host in hosts})
    plans = tuple(planner.check(whole=whole) for planner in planners)
    return Plan(f"check {_stage(hosts)}: {source.name}", plans)


def plan_health(hosts: list[Host], info: RunInfo) -> Plan:
    """See whether what is live on these hosts runs well, whatever it is."""
    planners = _planners(hosts, info, "release", {host.place: host.state.current for host in hosts})
    return Plan(f"check {_stage(hosts)}", tuple(planner.check() for planner in planners))


def plan_rollback(
    hosts: list[Host], info: RunInfo, to: str = "", *, force: bool = False, renew: bool = False
) -> Plan:
    """Go back to the last release that was live before the current one, or to the one that `to` names.

    With `renew`, its artifact becomes a new release with the configuration of today. Raises FapError where a
    host has none, or the hosts would go to different ones.
    """
    found = goals(hosts, to, force=force)
    moving = [host for host in hosts if host.place in found]
    names = " and ".join(dict.fromkeys(map(describe, found.values())))
    title = f"roll back {hosts[0].target.settings.app_name} in {_stage(hosts)} to {names}"
    if renew:
        refuse_unfit((host.target, host.state) for host in moving)
        sources = {place: release.id for place, release in found.items()}
        planners = _planners(moving, info, "release", dict.fromkeys(found, info.release), sources)
        plans, title = [planner.copy() for planner in planners], f"{title}, with the current configuration"
    else:
        planners = _planners(moving, info, "rollback", {place: each.id for place, each in found.items()})
        plans = [planner.rollback() for planner in planners]
    return Plan(title, tuple(plans), batch_wait=_batch_wait(hosts), keep=_keeps(hosts))


def plan_restart(hosts: list[Host], info: RunInfo) -> Plan:
    """Restart what is live on every host. Raises FapError where nothing is; ConfigError if no plugin does."""
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


def plan_recovery(hosts: list[Host], info: RunInfo, found: Recovery) -> Plan:
    """End a rollout that was cut off: finish it, or (in `if_published`) take it back."""
    cut_off = found.rollout
    name = f"{cut_off.verb} {cut_off.release} in {_stage(hosts)} that {cut_off.by or 'someone'} started"
    if found.action == "finish":
        planners = [HostPlanner(host, info, host.state.rollout or cut_off) for host in found.published]
        return Plan(f"finish the unfinished {name}", tuple(planner.finish() for planner in planners))
    numbers = batches_of(found.published)
    plans = [
        HostPlanner(host, info, host.state.rollout or cut_off, number).go_back()
        for host, number in zip(found.published, numbers, strict=True)
    ]
    plans += [HostPlanner(host, info, cut_off, max(numbers) + 1).discard() for host in found.prepared]
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
    """The release that a host comes back to if this run fails, or what `current` says instead of one."""
    if verb == "rollback":
        return state.current, ""
    current = state.release(state.current)
    last_good = state.last_good()
    if last_good and not (current and current.is_good):
        # A current release whose gate never passed is come back to only where there is no better one.
        return last_good.id, ""
    # What another tool published under a name of its own is all there is to come back to at first.
    return state.current, "" if state.current else state.link


def is_live(host: Host, info: RunInfo, digest: str) -> bool:
    """The host runs the artifact of that digest, with the configuration of now, and its gate was passed."""
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
