"""A role has one manager: a controller releases to its hosts, or each host converges by itself. Pure.

deploy.yml says which (`manager`). A host notes it too where hosts converge, or someone took over: so a copy
of deploy.yml that says something else is noticed before it changes anything.
"""

from collections.abc import Iterable

from faprelease.config.target import Target
from faprelease.errors import ConfigError
from faprelease.plan.host import Host
from faprelease.request import Manager, Request
from faprelease.steps.model import Step, host_script

VERBS = frozenset(["release", "rollback"])
"""What only the manager does."""


def refuse_other(targets: Iterable[Target], verb: str, asked_by: Manager, store: str) -> None:
    """Raise ConfigError, with the line to type instead, if deploy.yml names the other manager for a role."""
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


def refuse_taken(hosts: Iterable[Host], request: Request) -> None:
    """Raise ConfigError if the other manager changed a host last, and nobody says to take it over."""
    for host in hosts:
        noted = host.state.manager
        if noted in ("", request.manager) or request.take_over:
            continue
        label = host.place
        if request.manager == "converge":
            said = f"{label} does not converge any more: a controller took it over"
        else:
            said = f"{label} converges by itself: another deploy.yml has `manager: converge`"
        raise ConfigError(
            said,
            hint="make all copies of deploy.yml the same; if this one is right, pass --take-over once",
        )


def needs_note(hosts: Iterable[Host], manager: Manager) -> bool:
    """Whether a host has to note that somebody else manages it from now on; a controller is the default."""
    usual = ("", manager) if manager == "controller" else (manager,)
    return any(host.state.manager not in usual for host in hosts)


def note(target: Target, manager: Manager) -> Step:
    """The step by which a host notes it."""
    return host_script(
        "record who manages the host", "release/manager", state=target.layout.state, manager=manager
    )
