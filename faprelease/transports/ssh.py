"""SSH by paramiko: one connection and one exec session a host, host keys strictly checked."""

import logging
import os
import shlex
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import paramiko

from faprelease.errors import ConfigError, UnreachableError
from faprelease.transports.channel import FAREWELL, Channel, ChannelLostError

CONNECT_SECONDS = 15
KEEPALIVE_SECONDS = 15
LOST_SECONDS = 60
"""How long a keepalive may stay unacknowledged before the connection counts as lost."""
SEND_SECONDS = 60
"""How long a host may take to accept some bytes of a script."""

# What goes wrong is raised too; without a handler, Python would print paramiko's tracebacks.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class SshChannel:
    """One exec session on one connection."""

    def __init__(self, client: paramiko.SSHClient, channel: paramiko.Channel) -> None:
        self._client = client
        self._channel = channel

    def send(self, data: bytes) -> None:
        try:
            self._channel.settimeout(SEND_SECONDS)
            self._channel.sendall(data)
        except OSError as error:
            reason = str(error) or f"no script was taken for {SEND_SECONDS} s"
            raise ChannelLostError(f"the connection broke: {reason}") from error

    def receive(self, seconds: float) -> bytes:
        self._channel.settimeout(seconds)
        try:
            return self._channel.recv(65536)
        except TimeoutError as error:
            raise ChannelLostError(f"no answer for {seconds:.0f} s") from error
        except OSError as error:
            raise ChannelLostError(f"the connection broke: {error}") from error

    def close(self) -> None:
        try:
            self._channel.shutdown_write()
            # The shell lets its locks go when its input ends; wait for that, but not for long.
            self._channel.settimeout(5)
            said = b""
            while not said.endswith(FAREWELL) and (data := self._channel.recv(65536)):
                said = (said + data)[-len(FAREWELL) :]
        except (OSError, EOFError):
            pass
        self._client.close()


def connect(
    host: str,
    user: str,
    sudo_user: str,
    *,
    use_ssh_config: bool,
    config_file: Path,
    seconds: float = CONNECT_SECONDS,
) -> Channel:
    """Connect to a host as `user`, and start a shell there as `sudo_user` (by sudo if they differ).

    Addresses, ports, keys and known hosts come from the OpenSSH configuration if `use_ssh_config`.
    Each stage of connecting may take `seconds`. Raises UnreachableError, with the line that mends an unknown
    host key; ConfigError for an OpenSSH configuration that can't be read.
    """
    wanted = _lookup(host, config_file) if use_ssh_config else {}
    name = str(wanted.get("hostname", host))
    port = int(wanted.get("port", 22))
    keys = [Path(key).expanduser() for key in wanted.get("identityfile", [])]
    known_hosts = _known_hosts_files(wanted)
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    _load_known_hosts(client, name if port == 22 else f"[{name}]:{port}", known_hosts)
    try:
        client.connect(
            name,
            port=port,
            username=user,
            # Like ssh, which passes over a key that is not there: the agent may hold it.
            key_filename=cast(Any, [str(key) for key in keys if key.exists()]),
            look_for_keys=not keys,
            timeout=seconds,
            banner_timeout=seconds,
            auth_timeout=seconds,
        )
        transport = cast(paramiko.Transport, client.get_transport())
        transport.set_keepalive(KEEPALIVE_SECONDS)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; elsewhere the system's own patience counts
            cast(socket.socket, transport.sock).setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LOST_SECONDS * 1000
            )
        channel = transport.open_session(timeout=seconds)
        channel.set_combine_stderr(True)
        shell = "/bin/sh" if sudo_user == user else f"sudo -n -H -u {shlex.quote(sudo_user)} -- /bin/sh"
        channel.exec_command(f"exec {shell}")
    except (paramiko.SSHException, OSError, EOFError) as error:
        client.close()
        raise _unreachable(error, host, name, port, user, known_hosts) from error
    return SshChannel(client, channel)


def _lookup(host: str, file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        wanted: dict[str, Any] = dict(paramiko.SSHConfig.from_path(str(file)).lookup(host))
        int(wanted.get("port", 22))
    # ImportError: `Match exec` needs a library that nobody asked for.
    except (paramiko.SSHException, OSError, ValueError, ImportError) as error:
        raise ConfigError(
            f"{file}: what it says of {host} can't be read: {error}",
            hint=f"look at it with: ssh -G {shlex.quote(host)}; or do without: --use-ssh-config false",
        ) from error
    for key in ("ProxyJump", "ProxyCommand", "HostKeyAlias"):
        # Going past one of these would reach another machine, or none.
        if wanted.get(key.lower(), "none") != "none":
            raise ConfigError(
                f"{file}: {key} of {host} is not supported yet",
                hint="name an address that can be reached directly, or run faprelease on the jump host",
            )
    return wanted


def _known_hosts_files(wanted: dict[str, Any]) -> list[Path]:
    named = str(wanted.get("userknownhostsfile", "~/.ssh/known_hosts")).split()
    return [Path(name).expanduser() for name in (*named, "/etc/ssh/ssh_known_hosts")]


def _load_known_hosts(client: paramiko.SSHClient, server: str, files: Iterable[Path]) -> None:
    """Add what known_hosts files say of a server, the most important file first and its last line first.

    Lines for certificate authorities, which paramiko can't read, are skipped, and so is a key that some line
    marks as revoked (sshd(8), the format of known_hosts).
    """
    lines = [line for file in files for line in reversed(_lines(file))]
    revoked = {key for line in lines if line.startswith("@revoked") for key in line.split()[3:4]}
    known = client.get_host_keys()
    for number, line in enumerate(lines):
        if line.startswith(("#", "@")) or not line.strip():
            continue
        try:
            entry = paramiko.hostkeys.HostKeyEntry.from_line(line, number)
        except (paramiko.hostkeys.InvalidHostKey, paramiko.SSHException):
            continue
        if entry is None or entry.key is None or entry.key.get_base64() in revoked:
            continue
        kind = entry.key.get_name()
        if kind not in (known.lookup(server) or ()) and _names(entry, server):
            # paramiko holds one key of a kind for a name
            known.add(server, kind, entry.key)


def _names(entry: paramiko.hostkeys.HostKeyEntry, server: str) -> bool:
    """Is one of the entry's names, which may be hashed, that of the server?"""
    named = paramiko.hostkeys.HostKeys()
    for name in entry.hostnames or ():
        named.add(name, entry.key.get_name(), entry.key)
    return named.lookup(server) is not None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _unreachable(
    error: Exception, host: str, name: str, port: int, user: str, known_hosts: list[Path]
) -> UnreachableError:
    scan = f"ssh-keyscan -p {port} {shlex.quote(name)}"
    if isinstance(error, paramiko.BadHostKeyException):
        return UnreachableError(
            f"{host}: the host key is not the one in {known_hosts[0]}: another machine may be answering",
            hint=f"find out why; only then: ssh-keygen -R '[{name}]:{port}' && {scan} >> {known_hosts[0]}",
        )
    if isinstance(error, paramiko.AuthenticationException):
        agent = "" if os.environ.get("SSH_AUTH_SOCK") else " (no ssh agent runs here)"
        return UnreachableError(
            f"{host}: {user}@{name} was not let in: {error}{agent}",
            hint=f"try: ssh -p {port} {user}@{name} true",
        )
    if isinstance(error, paramiko.SSHException) and "not found in known_hosts" in str(error):
        return UnreachableError(
            f"{host}: its host key is not known here",
            hint=f"compare its fingerprint, then: {scan} >> {known_hosts[0]}",
        )
    reason = str(error) or type(error).__name__
    if isinstance(error, socket.timeout | TimeoutError):
        reason = "no answer"
    elif isinstance(error, EOFError) or "No existing session" in reason or "protocol banner" in reason:
        reason = "something answers there, and does not speak SSH to the end"
    return UnreachableError(
        f"{host}: can't connect to {name}, port {port}: {reason}",
        hint=f"try: ssh -p {port} {user}@{name} true",
    )
