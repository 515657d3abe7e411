"""From what the hosts are and what is wanted to what will be done. Pure: no clock, no network, no files."""

from faprelease import release_command
from faprelease.config import Target
from faprelease.errors import FapError
from faprelease.facts import HostState, Rollout, Verb, is_good
from faprelease.fitness import refuse_unfit
from faprelease.hooks import Context
from faprelease.hostplan import Host, HostPlanner, Order
from faprelease.rollout import Recovery, batches_of
from faprelease.steps import Plan
from faprelease.strategies import curl


def plan_release(hosts: list[Host], order: Order, what: str = "", *, rerun: bool = False) -> Plan:
    """Bring the artifact that the settings name to every host; `what` is its name where the store told it.
    With `rerun` a release_command of it whose end nobody knows is run again.

    Raises FapError if a host can't take a release, with a hint for each thing that is missing.
    """
    found = [(host.target, host.state) for host in hosts]
    refuse_unfit(found)
    runs_command = release_command.target_of([host.target for host in hosts])
    if runs_command and not rerun:
        release_command.refuse_unknown_outcome(found, _curl_options(hosts).curl_sha256.lower())
    planners = _planners(hosts, order, "release", {host.target.label: order.release for host in hosts})
    return Plan(
        f"release {order.release} to {_stage(hosts)}: {_name(hosts, what)}",
        tuple(planner.release(runs_command=planner.target is runs_command) for planner in planners),
        batch_wait=_batch_wait(hosts),
        keep=_keeps(hosts),
    )


def plan_look(hosts: list[Host], order: Order, what: str = "") -> Plan | None:
    """See whether what the settings name runs well already: None unless every host has it live, the same
    artifact with the same configuration. Without a sha256 nobody knows what a URL holds."""
    wanted = _curl_options(hosts).curl_sha256.lower()
    if not wanted or not all(_is_live(host, order, wanted) for host in hosts):
        return None
    planners = _planners(hosts, order, "release", {host.target.label: host.state.current for host in hosts})
    return Plan(
        f"look at {_stage(hosts)}: {_name(hosts, what)}", tuple(planner.look() for planner in planners)
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
    planners = _planners(hosts, order, "rollback", goals)
    app_name = hosts[0].target.settings.app_name
    return Plan(
        f"roll {app_name} in {_stage(hosts)} back to {next(iter(goals.values()))}",
        tuple(planner.rollback() for planner in planners),
        batch_wait=_batch_wait(hosts),
        keep=_keeps(hosts),
    )


def plan_recovery(hosts: list[Host], order: Order, found: Recovery) -> Plan:
    """End a rollout that was cut off: finish it, or (in `if_published`) take it back."""
    cut_off = found.rollout
    name = f"{cut_off.verb} {cut_off.release} in {_stage(hosts)}, which {cut_off.by or 'someone'} began"
    if found.action == "finish":
        planners = [HostPlanner(host, order, host.state.rollout or cut_off) for host in found.published]
        return Plan(f"finish the {name}", tuple(planner.finish() for planner in planners))
    numbers = batches_of(found.published)
    plans = [
        HostPlanner(host, order, host.state.rollout or cut_off, number).go_back()
        for host, number in zip(found.published, numbers, strict=True)
    ]
    plans += [HostPlanner(host, order, cut_off, max(numbers) + 1).discard() for host in found.prepared]
    return Plan(f"take back the {name}", tuple(plans))


def _planners(hosts: list[Host], order: Order, verb: Verb, goals: dict[str, str]) -> list[HostPlanner]:
    everyone = tuple((host.target.host, host.target.settings.role) for host in hosts)
    planners = []
    for host, batch in zip(hosts, batches_of(hosts), strict=True):
        previous, foreign = _comes_from(host.state, verb)
        rollout = Rollout(
            id=order.release,
            verb=verb,
            release=goals[host.target.label],
            previous=previous,
            foreign=foreign,
            by=order.who,
            hosts=everyone,
        )
        planners.append(HostPlanner(host, order, rollout, batch))
    return planners


def _comes_from(state: HostState, verb: Verb) -> tuple[str, str]:
    """The release that a host comes back to if this run fails, or what `current` says instead of one."""
    if verb == "rollback":
        return state.current, ""
    current = state.release(state.current)
    last_good = state.last_good()
    if last_good and not (current and is_good(current)):
        # A current release whose gate never passed is come back to only where there is no better one.
        return last_good.id, ""
    # What another tool published under a name of its own is all there is to come back to at first.
    return state.current, "" if state.current else state.link


def _is_live(host: Host, order: Order, digest: str) -> bool:
    live = host.state.release(host.state.current)
    if live is None or live.artifact is None or live.record.state != "live" or not live.present:
        return False
    return live.artifact.digest == digest and live.record.config == host.config(order)


def _curl_options(hosts: list[Host]) -> curl.Options:
    return Context(hosts[0].target, "release", "", "").options(curl.Options)


def _name(hosts: list[Host], what: str) -> str:
    return what or curl.what_may_be_shown(_curl_options(hosts).curl_url)


def _batch_wait(hosts: list[Host]) -> int:
    return max(host.target.settings.batch_wait for host in hosts)


def _keeps(hosts: list[Host]) -> bool:
    return all(host.target.settings.on_failure == "keep" for host in hosts)


def _stage(hosts: list[Host]) -> str:
    return hosts[0].target.settings.stage


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
