"""What names a host in deploy.yml: `web1`, `deploy@web1:2222`, `2001:db8::1`, `[2001:db8::1]:2222`."""

import re
from dataclasses import dataclass

from faprelease.errors import ConfigError

_ADDRESS = re.compile(
    r"(?:(?P<user>[^@]+)@)?(?:\[(?P<bracketed>[^\]]+)\]|(?P<bare>[^\[\]:]+))(?::(?P<port>\d{1,5}))?"
)


@dataclass(frozen=True)
class Address:
    """A host, and the user and port that were named with it, which win over everything else."""

    host: str
    user: str = ""
    port: int = 0


def parse(text: str) -> Address:
    """Read `[user@]host[:port]`, where an IPv6 address needs its brackets only with a port.

    Raises ConfigError.
    """
    user, at, rest = text.rpartition("@")
    if rest.count(":") > 1 and "[" not in rest:
        return Address(rest, user)
    match = _ADDRESS.fullmatch(text)
    port = int(match["port"] or 0) if match else 0
    if match is None or port > 65535 or (at and not user):
        raise ConfigError(
            f"{text!r} is not a valid host",
            hint="write hosts as web1, deploy@web1, web1:2222 or [2001:db8::1]:2222",
        )
    return Address(match["bracketed"] or match["bare"], match["user"] or "", port)


def joined(host: str, port: int) -> str:
    """`web1`, `web1:2222` or `[2001:db8::1]:2222`; port 0 is none."""
    if not port:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def for_ssh(text: str, user: str, port: int = 0) -> str:
    """The same as an argument of ssh: a URI where there is a port, `user@host` otherwise."""
    named = parse(text)
    user, port = named.user or user, named.port or port
    if not port:
        return f"{user}@{named.host}"
    return f"ssh://{user}@{joined(named.host, port)}"
