"""The owner of a folder on a host, and the manager of a role. Pure.

A folder belongs to one deployment: an app, a stage and a role. Its host records which one, so that another
stage or role with the same `path` is refused. The manager is a controller that releases to the hosts, or each
host, which converges.

The key `manager` in deploy.yml chooses. A host that converges, or was taken over, records its manager too. So
a copy of deploy.yml with another manager is refused before it changes anything.
"""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable

from faprelease.config import own_names
from faprelease.config.target import Target
from faprelease.errors import ConfigError
from faprelease.hosts.state import Owner
from faprelease.plan.host import Host, owner_of
from faprelease.plugins.hooks import Context
from faprelease.request import Manager, Request
from faprelease.steps.model import Step, host_script

VERBS = frozenset(["release", "rollback"])
"""The verbs that only the manager may run."""


def refuse_other(targets: Iterable[Target], verb: str, asked_by: Manager, store: str) -> None:
    """Raise ConfigError, with the command to use instead, if a role has the other manager."""
    for target in targets:
        settings = target.settings
        if settings.manager == asked_by:
            continue
        place = f"{settings.stage} {settings.role}"
        if asked_by == "converge":
            raise ConfigError(
                f"a controller releases to {place} (deploy.yml: manager), so its hosts do not converge",
                hint=f"to let them converge, set `manager: converge` for {settings.role} in deploy.yml",
            )
        app, stage = settings.project_name, settings.stage
        prefix = f"fapstore --store {store}" if store else "fapstore"
        words = f"rollback {app}" if verb == "rollback" else f"promote {app} VERSION"
        raise ConfigError(
            f"the hosts of {place} converge by themselves (`manager: converge`)"
            f" to the version that {stage} has in the store",
            hint=f"to change that version: {prefix} {words} {stage}\n"
            f"then see the hosts follow: faprelease status --store {place}",
        )


def refuse_shared(claims: Iterable[tuple[Target, Iterable[str]]]) -> None:
    """Raise ConfigError if two roles on one host have the same program, unit, file or port."""
    owners = defaultdict[str, dict[str, str]](dict)
    for target, names in claims:
        others, own = owners[target.host], dict.fromkeys(names, target.settings.role)
        both = own_names.taken(target, own, others)
        if both:
            raise ConfigError(
                f"the roles {others[both[0]]} and {target.settings.role} on {target.host} have the same"
                f" {both[0]}",
                hint=own_names.hint(target, both),
            )
        others.update(own)


def refuse_taken(
    hosts: Iterable[Host], request: Request, names_of: Callable[[Host, Owner], Container[str] | None]
) -> None:
    """Raise ConfigError if a folder belongs to another deployment, or if the other manager released to a host
    last, unless the request takes it over.

    `names_of` returns the names that another deployment claims on a host; None if deploy.yml does not have
    it.
    """
    for host in hosts:
        target, owner, path = host.target, host.state.owner, host.target.layout.path
        if owner and owner != owner_of(target) and not request.take_over:
            claims = host.plugins.claims(Context(target, "release", "", ""))
            both = [f"path: {path}", *own_names.taken(target, claims, names_of(host, owner))]
            raise ConfigError(
                f"{host.place}: {path} belongs to {owner}, not to {owner_of(target)}",
                hint=f"{own_names.hint(target, both)}\n"
                "if this deployment takes the place of that one, pass --take-over once",
            )
        recorded = host.state.manager
        if recorded in ("", request.manager) or request.take_over:
            continue
        label = host.place
        if request.manager == "converge":
            message = f"{label} does not converge any more: a controller took it over"
        else:
            message = f"{label} converges by itself: another deploy.yml has `manager: converge`"
        raise ConfigError(
            message,
            hint="make all copies of deploy.yml the same; if this one is right, pass --take-over once",
        )


def needs_note(hosts: Iterable[Host], manager: Manager) -> bool:
    """Whether a host must record a new manager. Without a record, the manager is a controller."""
    usual = ("", manager) if manager == "controller" else (manager,)
    return any(host.state.manager not in usual for host in hosts)


def note(target: Target, manager: Manager) -> Step:
    """The step that records the manager on a host."""
    return host_script(
        "record who manages the host", "release/manager", state=target.layout.state, manager=manager
    )
