"""What hosts hold, made up for the pure tests of plans, and the hosts that hold it."""

from typing import Any

from faprelease.config import target as config
from faprelease.config.artifact_source import ArtifactSource
from faprelease.config.deployfile import DeployFile
from faprelease.hosts.state import HostState, Record, Release, Unpacked
from faprelease.plan.host import Host
from faprelease.plugins import registry

GIB = 1024**3
SOURCE = ArtifactSource(url="https://x.example/a.tgz?key=1", name="https://x.example/a.tgz?…")


def host_state(*releases: Release, current: str = "", **more: Any) -> HostState:
    values: dict[str, Any] = {
        "current": current,
        "link": "",
        "blocked": "",
        "releases": tuple(sorted(releases, key=lambda each: each.id)),
        "taken": tuple(sorted(each.id for each in releases)),
        "tools": frozenset({"curl", "python3"}),
        "missing": (),
        "free": GIB,
        "unwritable": "",
        "locked": "",
    }
    return HostState(**values | more)


def hosts(
    *states: HostState, more: dict[str, Any] | None = None, roles: tuple[str, ...] = ("web",)
) -> list[Host]:
    names = [f"web{number}" for number in range(1, len(states) // len(roles) + 1)]
    values = {
        "app_name": "shop",
        "path": "/srv/%(app_name)s-%(role)s",
        "stage_role_configs": {"production": {role: {"hosts": names} for role in roles}},
        **(more or {}),
    }
    file = DeployFile("deploy.yml", values, {})
    targets = config.targets(file, "production", None, {}, registry.options_of(file))
    return [
        Host(target=target, state=state, plugins=registry.load(target.settings.plugins, file))
        for target, state in zip(targets, states, strict=True)
    ]


A, B, C, D = (f"26112{day}-000000" for day in range(1, 5))


def release(name: str, version: str, state: str = "retired", previous: str = "") -> Release:
    return Release(
        name, Record(state=state, previous=previous), Unpacked(digest=f"d{version}", version=version), True
    )
