"""The addresses on which the hosts of a role answer, for load balancers (12factor.net, VIII). Pure."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from faprelease.config.settings import WEB
from faprelease.config.target import Target
from faprelease.errors import ConfigError
from faprelease.plugins import handover_units, processes
from faprelease.plugins.hooks import Context, Plugins
from faprelease.steps.place import Place
from faprelease.transports import address

_ALL_ADDRESSES = frozenset(["0.0.0.0", "[::]"])  # noqa: S104


@dataclass(frozen=True)
class Upstream:
    """One process that answers requests."""

    app: str
    stage: str
    role: str
    host: str
    port: int
    """0 if it answers on a unix socket."""
    socket: str = ""
    """The path of its unix socket, which only its own host reaches."""
    listens: str = ""
    """The address on which the host listens, if that is one of several (handover_listen)."""
    beside: bool = False
    """Whether the next release answers at the same place while this process still runs."""

    @property
    def group(self) -> str:
        """The name of the role's group in a load balancer."""
        return re.sub(r"\W", "_", f"{self.app}_{self.role}")

    def __str__(self) -> str:
        return f"unix:{self.socket}" if self.socket else address.joined(self.listens or self.host, self.port)

    @property
    def is_local(self) -> bool:
        """Whether only its own host reaches it."""
        return bool(self.socket) or self.listens.startswith("127.") or self.listens == "::1"


def ports_of(target: Target, plugins: Plugins) -> tuple[int, ...]:
    """The ports on which the processes of this role answer themselves: those of `processes`, or those of
    plugins. With `handover: beside` there are none."""
    settings = target.settings
    if settings.handover == "beside":
        return ()
    if settings.processes:
        counted = [(first, count) for name, count, first in processes.ports(settings) if name == WEB]
        return tuple(port for first, count in counted for port in range(first, first + count))
    return plugins.ports(Context(target, "hosts", "", ""))


def of(targets: Iterable[Target], plugins: Mapping[Place, Plugins]) -> list[Upstream]:
    """Return every process with a port or a socket, of every role, in the order of deploy.yml. Raises
    ConfigError if no role has one."""
    targets = list(targets)
    upstreams = [upstream for target in targets for upstream in _of(target, plugins[target.place])]
    if not upstreams:
        roles = ", ".join(dict.fromkeys(target.settings.role for target in targets))
        raise ConfigError(
            f"deploy.yml does not say which port {roles} listens on",
            hint="set processes: {web: 1} and process_port: 8000;"
            " or plugins: [healthcheck] and healthcheck_port: 8000",
        )
    return upstreams


def _of(target: Target, plugins: Plugins) -> Iterator[Upstream]:
    settings = target.settings
    name = (settings.app_name, settings.stage, settings.role, target.address or target.host)
    if settings.handover != "beside":
        yield from (Upstream(*name, port) for port in ports_of(target, plugins))
    elif settings.handover_listen:
        for listen, _ in handover_units.listens(settings):
            place, _, port = listen.rpartition(":")
            own = "" if place in _ALL_ADDRESSES else place.strip("[]")
            yield Upstream(*name, int(port), listens=own, beside=True)
    else:
        for number in range(1, settings.processes[WEB] + 1):
            yield Upstream(*name, 0, f"{target.layout.run}/{handover_units.socket(number)}", beside=True)


def _nginx(group: str, members: Sequence[Upstream]) -> Iterator[str]:
    """The format of ngx_http_upstream_module. By default, nginx asks no server for 10 s that failed once. A
    socket without a process refuses at once, so it may be asked again by the next request."""
    yield f"upstream {group} {{"
    for each in members:
        yield f"    server {each} {'max_fails=0' if each.socket else 'max_fails=1 fail_timeout=1s'};"
    yield "}"


def _caddy(group: str, members: Sequence[Upstream]) -> Iterator[str]:
    """A snippet of a Caddyfile, for `import` in a site. Requests wait until a process takes connections."""
    servers = " ".join(f"unix/{each.socket}" if each.socket else str(each) for each in members)
    yield f"({group}) {{"
    yield f"    reverse_proxy {servers} {{"
    yield from ("        lb_try_duration 5s", "        fail_duration 1s")
    if members[0].beside:
        yield from ("        transport http {", "            keepalive off", "        }")
    yield "    }"
    yield "}"


def _haproxy(group: str, members: Sequence[Upstream]) -> Iterator[str]:
    """A backend (HAProxy configuration manual, 4.2). The names of its servers must be unique."""
    yield f"backend {group}"
    yield "    option redispatch 1"
    if members[0].beside:
        yield "    option http-server-close"
    for number, each in enumerate(members, start=1):
        name = f"{group}-{number}" if each.socket else f"{_haproxy_name(each.host)}-{each.port}"
        where = f"unix@{each.socket}" if each.socket else str(each)
        yield f"    server {name} {where} check inter 1s fall 2 rise 1"


def _haproxy_name(host: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.:-]", "_", host)


_OF_GROUP: Mapping[str, Callable[[str, Sequence[Upstream]], Iterator[str]]] = {
    "nginx": _nginx,
    "caddy": _caddy,
    "haproxy": _haproxy,
}
FORMATS = ("lines", "json", *_OF_GROUP)


def render(upstreams: Sequence[Upstream], form: str) -> str:
    """Return the processes in one of FORMATS. Raises ConfigError if a front has to be on each host of a role,
    and they differ."""
    if form == "lines":
        return "\n".join(f"{u.host} {u}" if u.is_local else str(u) for u in upstreams)
    if form == "json":
        return json.dumps([_fields(upstream) for upstream in upstreams], indent=2)
    groups: dict[str, list[Upstream]] = {}
    for upstream in upstreams:
        groups.setdefault(upstream.group, []).append(upstream)
    return "\n".join(
        line for group, members in groups.items() for line in _OF_GROUP[form](group, _for_one_front(members))
    )


def _fields(upstream: Upstream) -> dict[str, object]:
    where = {"socket": upstream.socket} if upstream.socket else {"port": upstream.port}
    address = {"address": upstream.listens} if upstream.listens else {}
    return {"stage": upstream.stage, "role": upstream.role, "host": upstream.host, **address, **where}


def _for_one_front(members: Sequence[Upstream]) -> Sequence[Upstream]:
    """The processes that one front can reach: those of all hosts, or if only their own host reaches them,
    those of one host, which are at the same places on each."""
    if not any(each.is_local for each in members):
        return members
    of_hosts: dict[str, list[Upstream]] = {}
    for each in members:
        of_hosts.setdefault(each.host, []).append(each)
    first, *others = of_hosts.values()
    for other in others:
        if [str(each) for each in other] != [str(each) for each in first]:
            raise ConfigError(
                f"{first[0].role} answers in other places on {first[0].host} than on {other[0].host},"
                " and only a front on the same host reaches them",
                hint="set the same path for all hosts of the role, or handover_listen: 0.0.0.0:8000",
            )
    return first
