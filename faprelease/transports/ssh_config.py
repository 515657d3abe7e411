"""The settings of a host in OpenSSH's configuration: its address, jump hosts and keys."""

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
"""Settings that paramiko does not support. Ignoring one would reach another machine, or none."""
_NOT_READ_HERE = re.compile(
    r"^\s*(include|match\b.*\b(exec|localnetwork|tagged))\b", re.IGNORECASE | re.MULTILINE
)
"""Keywords that paramiko ignores or can't evaluate; `ssh -G` can."""
_BLOCK = re.compile(r"^[ \t]*(?=(?:host|match)\b)", re.IGNORECASE | re.MULTILINE)
_DEFAULT_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
_KNOWN_HOSTS = "~/.ssh/known_hosts ~/.ssh/known_hosts2"
_GLOBAL_KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A machine to log in to, and the jump host before it."""

    label: str
    """Its name in deploy.yml."""
    host: str
    port: int
    user: str
    keys: tuple[Path, ...]
    certificates: tuple[Path, ...]
    only_these_keys: bool
    """`IdentitiesOnly`: use no other keys of the agent."""
    known_hosts: tuple[Path, ...]
    key_name: str
    """Its name in known_hosts."""
    via: "Server | None"
    needs_openssh: str
    """The setting that only the system's ssh supports; empty if there is none."""


def look_up(label: str, user: str, config_file: Path | None) -> Server:
    """Return the server for a host of deploy.yml, from `config_file` (None: no file), for a login as `user`.

    A user or port in `label` wins over the file, and the user of deploy.yml over that of the file, as in
    fapistrano. Raises ConfigError for a file that can't be read.
    """
    return _server(label, user, config_file, ())


def user_of(label: str, config_file: Path) -> str:
    """Return the `User` that the file has for a host of deploy.yml; empty if it has none. Raises ConfigError
    as `look_up` does."""
    user = str(_read(address.parse(label).host, config_file).get("user") or "")
    # `ssh -G` prints the user of this machine if the file has none.
    is_of_ssh = _NOT_READ_HERE.search(config_file.read_text()) is not None
    return "" if is_of_ssh and user == getpass.getuser() else user


def _server(
    label: str, user: str, file: Path | None, on_the_way: tuple[str, ...], via: Server | None = None
) -> Server:
    parsed = address.parse(label)
    settings = _read(parsed.host, file) if file else {}
    host = str(settings.get("hostname") or parsed.host)
    try:
        port = parsed.port or int(settings.get("port") or 22)
    except ValueError as error:
        raise _unreadable(file, parsed.host, error) from error
    via = via or _last_jump(str(settings.get("proxyjump") or "none"), file, (*on_the_way, parsed.host))
    alias = str(settings.get("hostkeyalias") or "none")
    server = Server(
        label=label,
        host=host,
        port=port,
        user=parsed.user or user or str(settings.get("user") or getpass.getuser()),
        keys=_paths(settings.get("identityfile") or _DEFAULT_KEYS),
        certificates=_paths(settings.get("certificatefile") or ()),
        only_these_keys=settings.get("identitiesonly") == "yes",
        known_hosts=_paths(
            [
                *str(settings.get("userknownhostsfile") or _KNOWN_HOSTS).split(),
                *str(settings.get("globalknownhostsfile") or _GLOBAL_KNOWN_HOSTS).split(),
            ]
        ),
        key_name=known_hosts.name_of(host, port) if alias == "none" else alias,
        via=via,
        needs_openssh=via.needs_openssh if via else "",
    )
    return replace(server, needs_openssh=server.needs_openssh or _only_openssh(server, settings))


def _only_openssh(server: Server, settings: Mapping[str, Any]) -> str:
    for key in _ONLY_OPENSSH:
        if str(settings.get(key) or "none").lower() != "none":
            return key
    known = known_hosts.look_up(server.known_hosts, server.key_name)
    return "a host certificate" if known.authorities and not known.keys else ""


def _last_jump(jumps: str, file: Path | None, on_the_way: tuple[str, ...]) -> Server | None:
    """The last jump host before the server. The first one is reached with its own configuration, each other
    one through the one before it (ssh_config(5), ProxyJump)."""
    via: Server | None = None
    for jump in jumps.split(",") if jumps.lower() != "none" else ():
        label = jump.strip().removeprefix("ssh://")
        name = address.parse(label).host
        if name == on_the_way[-1]:
            # A ProxyJump for `Host *` also matches the jump host, but is not meant for it.
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
        # paramiko would check every block for every host; skip the blocks of other hosts.
        about = (text for names, text in blocks if names is None or host in names)
        return paramiko.SSHConfig.from_text("".join(about)).lookup(host)
    except (paramiko.SSHException, OSError, ValueError) as error:
        raise _unreadable(file, host, error) from error


@lru_cache(maxsize=4)
def _blocks(file: Path, _changed: int, _size: int) -> list[tuple[frozenset[str] | None, str]] | None:
    """The text of each block with its hosts (None: it may match any host); None if only the system's ssh can
    read the file. Cached for all hosts of a run."""
    text = file.read_text()
    if _NOT_READ_HERE.search(text):
        return None
    blocks: list[tuple[frozenset[str] | None, str]] = []
    for block in _BLOCK.split(text):
        words = block.partition("\n")[0].split()
        plain = block[:5].lower() == "host " and set('*?!,="#').isdisjoint("".join(words))
        blocks.append((frozenset(words[1:]) if plain else None, block))
    return blocks


def _unreadable(file: Path | None, host: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"{file}: can't read the settings of {host}: {error}",
        hint=f"check them: ssh -G {shlex.quote(host)}; or ignore them: --use-ssh-config false",
    )


def _paths(names: Iterable[str] | str) -> tuple[Path, ...]:
    names = [names] if isinstance(names, str) else names
    return tuple(Path(name).expanduser() for name in names if name.lower() != "none")
