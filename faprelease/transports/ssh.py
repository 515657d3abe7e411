"""SSH with paramiko: one connection and one exec session per host, with strict checks of host keys."""

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
from faprelease.transports.channel import Channel, ChannelLostError, says_farewell
from faprelease.transports.lean import paramiko
from faprelease.transports.passwords import Passwords
from faprelease.transports.ssh_config import Server
from faprelease.transports.ssh_keys import Keys
from faprelease.transports.sudo import SHELL, open_shell

KEEPALIVE_SECONDS = 15
LOST_SECONDS = 60
"""After how many seconds without acknowledgement of sent data the connection counts as lost."""
SEND_SECONDS = 60
"""The time limit for a host to accept some bytes of a script, in seconds."""
CLOSE_SECONDS = 5
"""The time limit for its shell to release its locks, in seconds."""
TICK_SECONDS = 0.5
"""The precision of these limits, in seconds."""

T = TypeVar("T")

# Errors are raised too; without a handler, Python would print paramiko's tracebacks.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


def connect(server: Server, sudo_user: str, *, passwords: Passwords, seconds: float) -> Channel:
    """Connect to a server, through its jump hosts, and return a shell of `sudo_user`. `seconds` limits each
    stage.

    Raises UnreachableError; for an unknown host key with the command that adds it.
    """
    connection = _log_in(server, passwords, seconds)
    try:

        def open_session(command: str) -> "SshChannel":
            with _as_unreachable(server):
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
        # One limit for both directions, since two threads may use them; `_until` builds longer ones from it.
        channel.settimeout(TICK_SECONDS)

    def send(self, data: bytes) -> None:
        sent_bytes = 0
        while sent_bytes < len(data):
            piece = data[sent_bytes : sent_bytes + 65536]
            sent = _until(SEND_SECONDS, lambda: self._channel.send(piece), "accepted no input")  # noqa: B023
            if not sent:
                raise ChannelLostError("the connection was lost: the shell accepts no more input")
            sent_bytes += sent

    def receive(self, seconds: float) -> bytes:
        return _until(seconds, lambda: self._channel.recv(65536), "sent nothing")

    def close(self) -> None:
        deadline = time.monotonic() + CLOSE_SECONDS
        with contextlib.suppress(OSError, EOFError, ChannelLostError):
            self._channel.shutdown_write()
            # The shell releases its locks when its input ends; wait for that, but not long.
            says_farewell(self.receive, deadline)
        with contextlib.suppress(OSError, EOFError):
            self._channel.close()


def _until(seconds: float, act: Callable[[], T], what: str) -> T:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return act()
        except TimeoutError as error:
            if time.monotonic() >= deadline:
                raise ChannelLostError(f"the host {what} for {seconds:.0f} s") from error
        except OSError as error:
            raise ChannelLostError(f"the connection was lost: {error}") from error


@dataclass(frozen=True)
class _Connection:
    """A connection to a server, and the jump host before it."""

    transport: paramiko.Transport
    jump: "_Jump | None"

    def close(self) -> None:
        _hang_up(self.transport)
        if self.jump:
            self.jump.release()


@dataclass(frozen=True)
class _Session:
    """A shell, with the connection that was made for it."""

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
    """A connection to a jump host, shared by all servers behind it: an sshd limits simultaneous logins."""

    users: int = 0
    connection: _Connection | None = None
    guard: threading.Lock = field(default_factory=threading.Lock)

    def take(self, server: Server, passwords: Passwords, seconds: float) -> paramiko.Transport:
        with self.guard:
            if not self.connection or not self.connection.transport.is_active():
                self.connection = _log_in(server, passwords, seconds)
            self.users += 1
            return self.connection.transport

    def release(self) -> None:
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
        through = jump.take(server.via, passwords, seconds)
    keys = Keys(server, passwords)
    try:
        with _as_unreachable(server):
            sock = (
                through.open_channel(
                    "direct-tcpip", (server.host, server.port), ("127.0.0.1", 0), timeout=seconds
                )
                if jump
                else _dial(server, seconds)
            )
            transport = paramiko.Transport(cast(socket.socket, sock))
            transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = seconds
            transport.set_keepalive(KEEPALIVE_SECONDS)
            # How often its idle thread wakes up; the default is ten times a second.
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
            jump.release()
        raise
    return _Connection(transport, jump)


def _hang_up(transport: paramiko.Transport) -> None:
    transport.close()
    # `close` leaves the socket open if the thread had not started, or has ended by itself.
    transport.sock.close()


def _dial(server: Server, seconds: float) -> socket.socket:
    dialed = socket.create_connection((server.host, server.port), timeout=seconds)
    dialed.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux only; elsewhere the timeout of the system applies
        dialed.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LOST_SECONDS * 1000)
    return dialed


def _prefer(transport: paramiko.Transport, kinds: list[str]) -> None:
    """Prefer kinds of host keys that are known, so that the server does not send another key; and AES-GCM,
    since paramiko compares a separate MAC byte by byte, in Python."""
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
    """The command that reads a host key, from where the host can be reached, under its name in
    known_hosts."""
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
            if not transport.is_active():
                raise paramiko.AuthenticationException(
                    f"the server hung up after {len(keys.problems) + 1} keys (MaxAuthTries there); name the"
                    " right one in ~/.ssh/config: IdentityFile FILE, IdentitiesOnly yes"
                ) from error
            if isinstance(error, paramiko.BadAuthenticationType):
                raise
            keys.problems.append(f"{key.get_name()} {known_hosts.fingerprint(key.asbytes())}: {error}")
    raise paramiko.AuthenticationException("; ".join(keys.problems) or "no key to log in with")


def _execute(transport: paramiko.Transport, command: str, seconds: float) -> paramiko.Channel:
    channel = transport.open_session(timeout=seconds)
    channel.set_combine_stderr(True)
    began = time.monotonic()
    # paramiko itself waits for the answer without a limit.
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
def _as_unreachable(server: Server) -> Iterator[None]:
    """Turn every error of connecting to a server into an UnreachableError."""
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
    if isinstance(error, paramiko.ChannelException):
        reason = (
            "the server logs in, and opens no session: MaxSessions in its sshd_config, or a limited account"
        )
    if isinstance(error, TimeoutError) or "timeout" in reason.lower():
        reason = "no answer"
    elif isinstance(error, EOFError) or "No existing session" in reason or "protocol banner" in reason:
        reason = "the server there does not speak SSH, or stopped in the middle"
    way = f" from {server.via.label}" if server.via else ""
    return UnreachableError(
        f"{server.label}: can't connect to {server.host}, port {server.port}{way}: {reason}", hint=by_hand
    )
