"""SSH by paramiko: one connection and one exec session a host, host keys strictly checked."""

import contextlib
import logging
import os
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar, cast

from faprelease.errors import UnreachableError
from faprelease.transports import known_hosts
from faprelease.transports.address import for_ssh
from faprelease.transports.channel import FAREWELL, Channel, ChannelLostError
from faprelease.transports.lean import paramiko
from faprelease.transports.passwords import Passwords
from faprelease.transports.ssh_config import Server
from faprelease.transports.ssh_keys import Keys
from faprelease.transports.sudo import SHELL, open_shell

KEEPALIVE_SECONDS = 15
LOST_SECONDS = 60
"""How long what was sent may stay unacknowledged before the connection counts as lost."""
SEND_SECONDS = 60
"""How long a host may take to accept some bytes of a script."""
CLOSE_SECONDS = 5
"""How long its shell may take to let its locks go."""
TICK_SECONDS = 0.5
"""How exact these limits are."""

T = TypeVar("T")

# What goes wrong is raised too; without a handler, Python would print paramiko's tracebacks.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


def connect(server: Server, sudo_user: str, *, passwords: Passwords, seconds: float) -> Channel:
    """A shell of `sudo_user` on a server, by way of its jump hosts; each stage of it may take `seconds`.

    Raises UnreachableError, with the line that mends an unknown host key.
    """
    connection = _log_in(server, passwords, seconds)
    try:

        def open_session(command: str) -> "SshChannel":
            with _told(server):
                return SshChannel(_execute(connection.transport, command, seconds))

        if sudo_user == server.user:
            shell: Channel = open_session(SHELL)
        else:
            shell = open_shell(open_session, server.label, server.user, sudo_user, passwords, seconds)
    except BaseException:
        connection.close()
        raise
    return _Session(shell, connection)


class SshChannel:
    """One exec session."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        # One limit for both directions, as two threads may use them; `_until` counts the others in it.
        channel.settimeout(TICK_SECONDS)

    def send(self, data: bytes) -> None:
        done = 0
        while done < len(data):
            piece = data[done : done + 65536]
            sent = _until(SEND_SECONDS, lambda: self._channel.send(piece), "accepted no input")  # noqa: B023
            if not sent:
                raise ChannelLostError("the connection was lost: the shell accepts no more input")
            done += sent

    def receive(self, seconds: float) -> bytes:
        return _until(seconds, lambda: self._channel.recv(65536), "sent nothing")

    def close(self) -> None:
        ends, said = time.monotonic() + CLOSE_SECONDS, b""
        with contextlib.suppress(OSError, EOFError, ChannelLostError):
            self._channel.shutdown_write()
            # The shell lets its locks go when its input ends; wait for that, but not for long.
            while not said.endswith(FAREWELL) and (data := self.receive(max(0, ends - time.monotonic()))):
                said = (said + data)[-len(FAREWELL) :]
        with contextlib.suppress(OSError, EOFError):
            self._channel.close()


def _until(seconds: float, act: Callable[[], T], what: str) -> T:
    ends = time.monotonic() + seconds
    while True:
        try:
            return act()
        except TimeoutError as error:
            if time.monotonic() >= ends:
                raise ChannelLostError(f"the host {what} for {seconds:.0f} s") from error
        except OSError as error:
            raise ChannelLostError(f"the connection was lost: {error}") from error


@dataclass(frozen=True)
class _Connection:
    """A server that was logged in to, and the jump host that lies before it."""

    transport: paramiko.Transport
    jump: "_Jump | None"

    def close(self) -> None:
        _hang_up(self.transport)
        if self.jump:
            self.jump.let_go()


@dataclass(frozen=True)
class _Session:
    """The one shell for which a connection was made."""

    shell: Channel
    connection: _Connection

    def send(self, data: bytes) -> None:
        self.shell.send(data)

    def receive(self, seconds: float) -> bytes:
        return self.shell.receive(seconds)

    def close(self) -> None:
        self.shell.close()
        self.connection.close()


@dataclass
class _Jump:
    """A connection to a jump host, for all servers behind it: an sshd lets only so many log in at once."""

    users: int = 0
    connection: _Connection | None = None
    guard: threading.Lock = field(default_factory=threading.Lock)

    def take(self, server: Server, passwords: Passwords, seconds: float) -> paramiko.Transport:
        with self.guard:
            if not self.connection or not self.connection.transport.is_active():
                self.connection = _log_in(server, passwords, seconds)
            self.users += 1
            return self.connection.transport

    def let_go(self) -> None:
        with self.guard:
            self.users -= 1
            if not self.users and self.connection:
                self.connection.close()
                self.connection = None


_jumps: dict[Server, _Jump] = {}
_jumps_guard = threading.Lock()


def _log_in(server: Server, passwords: Passwords, seconds: float) -> _Connection:
    jump = transport = None
    if server.via:
        with _jumps_guard:
            jump = _jumps.setdefault(server.via, _Jump())
        before = jump.take(server.via, passwords, seconds)
    keys = Keys(server, passwords)
    try:
        with _told(server):
            end = (
                before.open_channel(
                    "direct-tcpip", (server.host, server.port), ("127.0.0.1", 0), timeout=seconds
                )
                if jump
                else _dial(server, seconds)
            )
            transport = paramiko.Transport(cast(socket.socket, end))
            transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = seconds
            transport.set_keepalive(KEEPALIVE_SECONDS)
            # So often its thread looks around while nothing comes; by itself, ten times a second.
            transport.sock.settimeout(TICK_SECONDS)
            known = known_hosts.look_up(server.known_hosts, server.key_name)
            _prefer(transport, [line.kind for line in known.keys])
            transport.start_client(timeout=seconds)
            _check_host_key(transport, server, known)
            _authenticate(transport, server, keys)
    except BaseException:
        if transport:
            _hang_up(transport)
        if jump:
            jump.let_go()
        raise
    return _Connection(transport, jump)


def _hang_up(transport: paramiko.Transport) -> None:
    transport.close()
    # It leaves the socket open where it had not begun, or has ended by itself.
    transport.sock.close()


def _dial(server: Server, seconds: float) -> socket.socket:
    dialed = socket.create_connection((server.host, server.port), timeout=seconds)
    dialed.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; elsewhere the system's own patience counts
        dialed.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LOST_SECONDS * 1000)
    return dialed


def _prefer(transport: paramiko.Transport, kinds: list[str]) -> None:
    """Ask for a host key of a kind that is known, so that another one of the same server is no surprise; and
    for AES-GCM: where a packet has a code of its own (MAC), paramiko compares it byte by byte, in Python."""
    options = transport.get_security_options()
    options.ciphers = sorted(options.ciphers, key=lambda cipher: "-gcm@" not in cipher)
    wanted = ["rsa-sha2-512" if kind == "ssh-rsa" else kind for kind in kinds]
    first = [kind for kind in dict.fromkeys(wanted) if kind in options.key_types]
    options.key_types = [*first, *(kind for kind in options.key_types if kind not in first)]


def _check_host_key(transport: paramiko.Transport, server: Server, known: known_hosts.Known) -> None:
    key = transport.get_remote_server_key()
    verdict = known.judge(key.get_base64())
    if verdict == "known":
        return
    shown = f"{key.get_name()} {known_hosts.fingerprint(key.asbytes())}"
    file = shlex.quote(str(server.known_hosts[0] if verdict == "unknown" else known.file))
    scan = f"{_scan(server)} >> {file}"
    if verdict == "unknown":
        raise UnreachableError(
            f"{server.label}: unknown host key: {shown}",
            hint=f"compare this fingerprint with the host's (ssh-keygen -l), then: {scan}",
        )
    what = "was revoked" if verdict == "revoked" else "has changed"
    raise UnreachableError(
        f"{server.label}: its host key {what}, another machine may be answering: {shown}",
        hint=f"find out why; only then: ssh-keygen -R {shlex.quote(server.key_name)} -f {file} && {scan}",
    )


def _scan(server: Server) -> str:
    """The line that gets a host key from where it can be reached, under the name it is looked up by."""
    port = "" if server.port == 22 else f"-p {server.port} "
    scan = f"ssh-keyscan {port}{shlex.quote(server.host)}"
    if server.via:
        scan = f"ssh {for_ssh(server.via.label, server.via.user)} {scan}"
    if server.key_name != known_hosts.name_of(server.host, server.port):
        scan += f" | sed 's/^[^ ]*/{server.key_name}/'"
    return scan


def _authenticate(transport: paramiko.Transport, server: Server, keys: Keys) -> None:
    for key in keys:
        try:
            if not transport.auth_publickey(server.user, key):
                return
            raise paramiko.AuthenticationException("the server requires more than a key")
        except paramiko.AuthenticationException as error:
            if not transport.is_active() or isinstance(error, paramiko.BadAuthenticationType):
                raise
            keys.problems.append(f"{key.get_name()} {known_hosts.fingerprint(key.asbytes())}: {error}")
    raise paramiko.AuthenticationException("; ".join(keys.problems) or "no key to log in with")


def _execute(transport: paramiko.Transport, command: str, seconds: float) -> paramiko.Channel:
    channel = transport.open_session(timeout=seconds)
    channel.set_combine_stderr(True)
    began = time.monotonic()
    # paramiko waits for the answer without a limit.
    watchdog = threading.Timer(seconds, transport.close)
    watchdog.daemon = True
    watchdog.start()
    try:
        channel.exec_command(command)
    except (paramiko.SSHException, EOFError) as error:
        if time.monotonic() - began >= seconds:
            raise TimeoutError from error
        raise
    finally:
        watchdog.cancel()
    return channel


@contextlib.contextmanager
def _told(server: Server) -> Iterator[None]:
    """Whatever keeps us from a server becomes an UnreachableError."""
    try:
        yield
    except UnreachableError:
        raise
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise _unreachable(error, server) from error


def _unreachable(error: Exception, server: Server) -> UnreachableError:
    jump = f"-J {shlex.quote(server.via.label)} " if server.via else ""
    port = server.port if server.port != 22 else 0
    by_hand = f"try: ssh {jump}{for_ssh(server.host, server.user, port)} true"
    if isinstance(error, paramiko.AuthenticationException):
        agent = "" if os.environ.get("SSH_AUTH_SOCK") else " (no ssh agent is running)"
        return UnreachableError(
            f"{server.label}: login as {server.user}@{server.host} failed: {error}{agent}",
            hint=f"{by_hand}\nfor FIDO keys and Kerberos: connection: openssh",
        )
    reason = str(error) or type(error).__name__
    if isinstance(error, TimeoutError) or "timeout" in reason.lower():
        reason = "no answer"
    elif isinstance(error, EOFError) or "No existing session" in reason or "protocol banner" in reason:
        reason = "the server there does not speak SSH, or stopped in the middle"
    way = f" from {server.via.label}" if server.via else ""
    return UnreachableError(
        f"{server.label}: can't connect to {server.host}, port {server.port}{way}: {reason}", hint=by_hand
    )
