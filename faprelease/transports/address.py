"""The notation of hosts in deploy.yml: `web1`, `deploy@web1:2222`, `2001:db8::1`, `[2001:db8::1]:2222`."""

import re
from dataclasses import dataclass

from faprelease.errors import ConfigError

_ADDRESS = re.compile(
    r"(?:(?P<user>[^@]+)@)?(?:\[(?P<bracketed>[^\]]+)\]|(?P<bare>[^\[\]:]+))(?::(?P<port>\d{1,5}))?"
)


@dataclass(frozen=True)
class Address:
    """A host, with the user and port in its notation, which win over all other settings."""

    host: str
    user: str = ""
    port: int = 0


def parse(text: str) -> Address:
    """Parse `[user@]host[:port]`; an IPv6 address needs brackets only with a port.

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
    """Join host and port: `web1`, `web1:2222` or `[2001:db8::1]:2222`; port 0 is left out."""
    if not port:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def for_ssh(text: str, user: str, port: int = 0) -> str:
    """Return a host as an argument of ssh: a URI if it has a port, otherwise `user@host`."""
    parsed = parse(text)
    user, port = parsed.user or user, parsed.port or port
    if not port:
        return f"{user}@{parsed.host}"
    return f"ssh://{user}@{joined(parsed.host, port)}"
