"""What OpenSSH's configuration says of a host: where it is, by which way, and with which keys."""

import getpass
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from faprelease.errors import ConfigError
from faprelease.transports import address, known_hosts, openssh
from faprelease.transports.lean import paramiko

_ONLY_OPENSSH = (
    "proxycommand",
    "knownhostscommand",
    "pkcs11provider",
    "bindaddress",
    "bindinterface",
)
"""Ways that paramiko can't go: going past one of them would reach another machine, or none."""
_NOT_READ_HERE = re.compile(
    r"^\s*(include|match\b.*\b(exec|localnetwork|tagged))\b", re.IGNORECASE | re.MULTILINE
)
"""What paramiko passes over or can't do, and `ssh -G` can."""
_BLOCK = re.compile(r"^[ \t]*(?=(?:host|match)\b)", re.IGNORECASE | re.MULTILINE)
_DEFAULT_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
_KNOWN_HOSTS = "~/.ssh/known_hosts ~/.ssh/known_hosts2"
_GLOBAL_KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"


@dataclass(frozen=True, kw_only=True)
class Server:
    """One machine to log in to, and the one before it on the way there."""

    label: str
    """As deploy.yml calls it."""
    host: str
    port: int
    user: str
    keys: tuple[Path, ...]
    certificates: tuple[Path, ...]
    only_these_keys: bool
    """`IdentitiesOnly`: of the agent's keys, only those."""
    known_hosts: tuple[Path, ...]
    key_name: str
    """How known_hosts calls it."""
    via: "Server | None"
    needs_openssh: str
    """What of it only the system's ssh can do, empty for nothing."""


def look_up(label: str, user: str, config_file: Path | None) -> Server:
    """What `config_file` says of a host of deploy.yml (None: nothing), to be logged in to as `user`.

    A user or port in `label` wins over the file, and deploy.yml's user over the file's, as in fapistrano.
    Raises ConfigError for a file that can't be read.
    """
    return _server(label, user, config_file, ())


def _server(
    label: str, user: str, file: Path | None, on_the_way: tuple[str, ...], via: Server | None = None
) -> Server:
    named = address.parse(label)
    found = _read(named.host, file) if file else {}
    host = str(found.get("hostname") or named.host)
    try:
        port = named.port or int(found.get("port") or 22)
    except ValueError as error:
        raise _unreadable(file, named.host, error) from error
    via = via or _last_jump(str(found.get("proxyjump") or "none"), file, (*on_the_way, named.host))
    alias = str(found.get("hostkeyalias") or "none")
    server = Server(
        label=label,
        host=host,
        port=port,
        user=named.user or user or str(found.get("user") or getpass.getuser()),
        keys=_paths(found.get("identityfile") or _DEFAULT_KEYS),
        certificates=_paths(found.get("certificatefile") or ()),
        only_these_keys=found.get("identitiesonly") == "yes",
        known_hosts=_paths(
            [
                *str(found.get("userknownhostsfile") or _KNOWN_HOSTS).split(),
                *str(found.get("globalknownhostsfile") or _GLOBAL_KNOWN_HOSTS).split(),
            ]
        ),
        key_name=known_hosts.name_of(host, port) if alias == "none" else alias,
        via=via,
        needs_openssh=via.needs_openssh if via else "",
    )
    return replace(server, needs_openssh=server.needs_openssh or _only_openssh(server, found))


def _only_openssh(server: Server, found: Mapping[str, Any]) -> str:
    for key in _ONLY_OPENSSH:
        if str(found.get(key) or "none").lower() != "none":
            return key
    known = known_hosts.look_up(server.known_hosts, server.key_name)
    return "a host certificate" if known.authorities and not known.keys else ""


def _last_jump(jumps: str, file: Path | None, on_the_way: tuple[str, ...]) -> Server | None:
    """The jump host next to the server. The first of several is reached as its own configuration says,
    each other one from the one before it (ssh_config(5), ProxyJump)."""
    via: Server | None = None
    for jump in jumps.split(",") if jumps.lower() != "none" else ():
        label = jump.strip().removeprefix("ssh://")
        name = address.parse(label).host
        if name == on_the_way[-1]:
            # A ProxyJump for `Host *` is meant for all but the jump host.
            return None
        if name in on_the_way:
            raise ConfigError(
                f"{file}: ProxyJump is circular: {' → '.join((*on_the_way, name))}",
                hint=f"put `ProxyJump none` into a Host block for {name}",
            )
        via = _server(label, "", file, on_the_way, via)
    return via


def _read(host: str, file: Path) -> Mapping[str, Any]:
    try:
        status = file.stat()
    except FileNotFoundError:
        return {}
    try:
        blocks = _blocks(file, status.st_mtime_ns, status.st_size)
        if blocks is None:
            return openssh.configuration_of(host, file)
        # Of a file with a block for each host, paramiko would look at every block for every host.
        about = (text for names, text in blocks if names is None or host in names)
        return paramiko.SSHConfig.from_text("".join(about)).lookup(host)
    except (paramiko.SSHException, OSError, ValueError) as error:
        raise _unreadable(file, host, error) from error


@lru_cache(maxsize=4)
def _blocks(file: Path, _changed: int, _size: int) -> list[tuple[frozenset[str] | None, str]] | None:
    """The text of each block with its hosts (None: it may be about any); None if only the system's ssh can
    read the file. Once for all hosts of a run."""
    text = file.read_text()
    if _NOT_READ_HERE.search(text):
        return None
    found: list[tuple[frozenset[str] | None, str]] = []
    for block in _BLOCK.split(text):
        words = block.partition("\n")[0].split()
        plain = block[:5].lower() == "host " and set('*?!,="#').isdisjoint("".join(words))
        found.append((frozenset(words[1:]) if plain else None, block))
    return found


def _unreadable(file: Path | None, host: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"{file}: can't read the settings of {host}: {error}",
        hint=f"check them: ssh -G {shlex.quote(host)}; or ignore them: --use-ssh-config false",
    )


def _paths(names: Iterable[str] | str) -> tuple[Path, ...]:
    names = [names] if isinstance(names, str) else names
    return tuple(Path(name).expanduser() for name in names if name.lower() != "none")
