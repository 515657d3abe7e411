"""SSH by paramiko: one connection and one exec session a host, host keys strictly checked."""

import os
import shlex
import socket
from pathlib import Path
from typing import Any, cast

import paramiko

from faprelease.errors import UnreachableError
from faprelease.transports.channel import Channel, ChannelLostError

CONNECT_SECONDS = 15
KEEPALIVE_SECONDS = 15


class SshChannel:
    """One exec session on one connection."""

    def __init__(self, client: paramiko.SSHClient, channel: paramiko.Channel) -> None:
        self._client = client
        self._channel = channel

    def send(self, data: bytes) -> None:
        try:
            self._channel.settimeout(None)
            self._channel.sendall(data)
        except OSError as error:
            raise ChannelLostError(f"the connection broke: {error}") from error

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
            while self._channel.recv(65536):
                pass
        except (OSError, EOFError):
            pass
        self._client.close()


def connect(host: str, user: str, sudo_user: str, *, use_ssh_config: bool, config_file: Path) -> Channel:
    """Connect to a host as `user`, and start a shell there as `sudo_user` (by sudo if they differ).

    Addresses, ports, keys and known hosts come from the OpenSSH configuration if `use_ssh_config`.
    Raises UnreachableError, with the line that mends an unknown host key.
    """
    wanted: dict[str, Any] = dict(_lookup(host, config_file)) if use_ssh_config else {}
    name = str(wanted.get("hostname", host))
    port = int(wanted.get("port", 22))
    known_hosts = _known_hosts_files(wanted)
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    for file in known_hosts:
        _load_known_hosts(client, file)
    try:
        client.connect(
            name,
            port=port,
            username=user,
            key_filename=cast(Any, [str(Path(key).expanduser()) for key in wanted.get("identityfile", [])]),
            look_for_keys=not wanted.get("identityfile"),
            timeout=CONNECT_SECONDS,
            banner_timeout=CONNECT_SECONDS,
            auth_timeout=CONNECT_SECONDS,
        )
        transport = cast(paramiko.Transport, client.get_transport())
        transport.set_keepalive(KEEPALIVE_SECONDS)
        channel = transport.open_session(timeout=CONNECT_SECONDS)
        channel.set_combine_stderr(True)
        shell = "/bin/sh" if sudo_user == user else f"sudo -n -H -u {shlex.quote(sudo_user)} -- /bin/sh"
        channel.exec_command(f"exec {shell}")
    except (paramiko.SSHException, OSError, EOFError) as error:
        client.close()
        raise _unreachable(error, host, name, port, user, known_hosts) from error
    return SshChannel(client, channel)


def _lookup(host: str, file: Path) -> paramiko.SSHConfigDict:
    if not file.exists():
        return paramiko.SSHConfigDict()
    return paramiko.SSHConfig.from_path(str(file)).lookup(host)


def _known_hosts_files(wanted: dict[str, Any]) -> list[Path]:
    named = str(wanted.get("userknownhostsfile", "~/.ssh/known_hosts")).split()
    return [Path(name).expanduser() for name in (*named, "/etc/ssh/ssh_known_hosts")]


def _load_known_hosts(client: paramiko.SSHClient, file: Path) -> None:
    """Add a known_hosts file; lines for certificate authorities, which paramiko can't read, are skipped."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return
    keys = client.get_host_keys()
    for number, line in enumerate(lines, 1):
        if line.startswith(("#", "@")) or not line.strip():
            continue
        try:
            entry = paramiko.hostkeys.HostKeyEntry.from_line(line, number)
        except (paramiko.hostkeys.InvalidHostKey, paramiko.SSHException):
            continue
        if entry is not None and entry.key is not None:
            for name in entry.hostnames or ():
                keys.add(name, entry.key.get_name(), entry.key)


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
    reason = (
        "no answer"
        if isinstance(error, socket.timeout | TimeoutError)
        else str(error) or type(error).__name__
    )
    return UnreachableError(
        f"{host}: can't connect to {name}, port {port}: {reason}",
        hint=f"try: ssh -p {port} {user}@{name} true",
    )
