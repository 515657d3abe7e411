"""The addresses on which the hosts of a role answer, for load balancers (12factor.net, VIII). Pure."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from faprelease.config.target import Target
from faprelease.errors import ConfigError
from faprelease.plugins import processes
from faprelease.plugins.hooks import Context, Plugins
from faprelease.steps.place import Place
from faprelease.transports import address

WEB = "web"
"""The process type that answers requests."""


@dataclass(frozen=True)
class Upstream:
    """One process that answers requests."""

    app: str
    stage: str
    role: str
    host: str
    port: int

    @property
    def group(self) -> str:
        """The name of the role's group in a load balancer."""
        return re.sub(r"\W", "_", f"{self.app}_{self.role}")

    def __str__(self) -> str:
        return address.joined(self.host, self.port)


def ports_of(target: Target, plugins: Plugins) -> tuple[int, ...]:
    """The ports on which a host of this role answers: those of `processes`, or those of plugins."""
    settings = target.settings
    if settings.processes:
        counted = [(first, count) for name, count, first in processes.ports(settings) if name == WEB]
        return tuple(port for first, count in counted for port in range(first, first + count))
    return plugins.ports(Context(target, "hosts", "", ""))


def of(targets: Iterable[Target], plugins: Mapping[Place, Plugins]) -> list[Upstream]:
    """Return every process with a port, of every role, in the order of deploy.yml; see `ports_of`. Raises
    ConfigError if no role has one."""
    targets = list(targets)
    upstreams = [
        Upstream(
            target.settings.app_name,
            target.settings.stage,
            target.settings.role,
            target.address or target.host,
            port,
        )
        for target in targets
        for port in ports_of(target, plugins[target.place])
    ]
    if not upstreams:
        roles = ", ".join(dict.fromkeys(target.settings.role for target in targets))
        raise ConfigError(
            f"deploy.yml does not say which port {roles} listens on",
            hint="set processes: {web: 1} and process_port: 8000;"
            " or plugins: [healthcheck] and healthcheck_port: 8000",
        )
    return upstreams


def _nginx(group: str, members: Sequence[Upstream]) -> Iterator[str]:
    """The format of ngx_http_upstream_module."""
    yield f"upstream {group} {{"
    yield from (f"    server {each};" for each in members)
    yield "}"


def _haproxy(group: str, members: Sequence[Upstream]) -> Iterator[str]:
    """A backend (HAProxy configuration manual, 4.2). The names of its servers must be unique."""
    yield f"backend {group}"
    for each in members:
        yield f"    server {re.sub(r'[^A-Za-z0-9_.:-]', '_', each.host)}-{each.port} {each} check"


_OF_GROUP: Mapping[str, Callable[[str, Sequence[Upstream]], Iterator[str]]] = {
    "nginx": _nginx,
    "haproxy": _haproxy,
}
FORMATS = ("lines", "json", *_OF_GROUP)


def render(upstreams: Sequence[Upstream], form: str) -> str:
    """Return the processes in one of FORMATS."""
    if form == "lines":
        return "\n".join(map(str, upstreams))
    if form == "json":
        return json.dumps(
            [{"stage": u.stage, "role": u.role, "host": u.host, "port": u.port} for u in upstreams], indent=2
        )
    groups: dict[str, list[Upstream]] = {}
    for upstream in upstreams:
        groups.setdefault(upstream.group, []).append(upstream)
    return "\n".join(line for group, members in groups.items() for line in _OF_GROUP[form](group, members))
