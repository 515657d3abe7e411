"""What a run did, for the store: a record for each role, by which `fapstore` knows what runs where."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from artifact_store import actor
from artifact_store.releases import HostOutcome, Outcome, ReleaseRecord
from faprelease.errors import FapError, InterruptedRunError, PartlyDoneError, RolledBackError
from faprelease.facts import Unpacked, Verb
from faprelease.hostplan import Host, Order
from faprelease.promoted import Promoted, store_of
from faprelease.steps import HostPlan, Plan


@contextmanager
def recorded(
    plan: Plan,
    hosts: list[Host],
    order: Order,
    verb: Verb,
    what: Promoted | None,
    say: Callable[[str], None],
) -> Iterator[None]:
    """Record how what runs inside ends, if a store is named that can be written; `what` is None for a URL.

    The hosts are what counts: where the store can't be written, that is only said.
    """
    try:
        yield
    except FapError as error:
        _write(plan, hosts, order, verb, what, _outcome(error), say)
        raise
    _write(plan, hosts, order, verb, what, "healthy", say)


def _outcome(error: FapError) -> Outcome:
    if isinstance(error, PartlyDoneError):
        return "partly"
    return "undone" if isinstance(error, (RolledBackError, InterruptedRunError)) else "failed"


def _write(
    plan: Plan,
    hosts: list[Host],
    order: Order,
    verb: Verb,
    what: Promoted | None,
    outcome: Outcome,
    say: Callable[[str], None],
) -> None:
    where = store_of(hosts[0].target)
    if not where:
        return
    from artifact_store.store import open_store

    try:
        store = open_store(where)
        if store.can_write:
            for record in records(plan, hosts, order, verb, what, outcome):
                store.record_release(record)
    except FapError as error:
        say(f"warning: the store has no record of this {verb}: {error.message}")


def records(
    plan: Plan, hosts: list[Host], order: Order, verb: Verb, what: Promoted | None, outcome: Outcome
) -> list[ReleaseRecord]:
    """One record for each role of a plan that ended with `outcome`. Pure but for the CI run's name."""
    first = hosts[0].target.settings
    roles: dict[str, list[HostPlan]] = {}
    for host in plan.hosts:
        roles.setdefault(host.role, []).append(host)
    made = []
    for role, plans in roles.items():
        there = _unpacked(hosts, plans[0])
        previous = {each.previous for each in plans}
        made.append(
            ReleaseRecord(
                app=first.project_name,
                stage=first.stage,
                role=role,
                action=verb,
                release=plans[0].release,
                previous=previous.pop() if len(previous) == 1 else "",
                version=what.version if what else there.version,
                digest=what.digest if what else there.digest,
                config="",
                entry=what.entry if what else 0,
                outcome=outcome,
                hosts=tuple(
                    HostOutcome(host=each.host, outcome="unknown" if outcome == "partly" else outcome)
                    for each in plans
                ),
                who=order.who,
                at=order.at.replace(microsecond=0),
                ci=actor.ci_run(),
                operation=order.token,
            )
        )
    return made


def _unpacked(hosts: list[Host], plan: HostPlan) -> Unpacked:
    """What the release that a rollback goes to was made of; nothing is known of a new one from a URL."""
    for host in hosts:
        if (host.target.host, host.target.settings.role) == (plan.host, plan.role):
            release = host.state.release(plan.release)
            if release and release.artifact:
                return release.artifact
    return Unpacked(digest="")
