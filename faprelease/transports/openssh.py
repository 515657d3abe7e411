"""The system's ssh as a transport, for what paramiko lacks: host certificates, FIDO keys, Kerberos,
ProxyCommand. One process and one connection per host."""

import os
import pwd
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from faprelease.errors import ConfigError, UnreachableError
from faprelease.transports import address
from faprelease.transports.channel import Channel
from faprelease.transports.greeting import Greeting, wait_for
from faprelease.transports.passwords import Passwords
from faprelease.transports.process import ProcessChannel, output_of
from faprelease.transports.sudo import SHELL, open_shell

_OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    # Don't share a connection, and don't leave one behind.
    "ControlMaster=no",
    "ControlPath=none",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "SessionType=default",
    "StdinNull=no",
    "ForkAfterAuthentication=no",
    "RequestTTY=no",
    "EscapeChar=none",
    "LogLevel=ERROR",
)


def connect(
    label: str,
    user: str,
    sudo_user: str,
    *,
    config_file: Path | None,
    passwords: Passwords,
    seconds: float,
) -> Channel:
    """Connect to a host of deploy.yml as `user` and return a shell of `sudo_user`. Raises UnreachableError,
    ConfigError."""
    user = address.parse(label).user or user
    argv = _argv(label, user, config_file, (*_OPTIONS, f"ConnectTimeout={max(1, round(seconds))}"))

    # Connecting, key exchange, login and starting a shell are four stages with paramiko, but one here.
    patience = 4 * seconds

    def open_session(command: str) -> Channel:
        greeting = Greeting()
        try:
            channel = ProcessChannel([*argv, greeting.before(command)], "ssh")
        except OSError as error:
            raise ConfigError(
                f"{label}: can't start the system's ssh: {error}",
                hint="install OpenSSH's client: sudo apt-get install openssh-client",
            ) from error
        output, word, after = wait_for(channel, [greeting.word], patience)
        if not word:
            channel.stop()
            raise _unreachable(label, user, config_file, output)
        channel.unread(after)
        return channel

    if sudo_user == user:
        return open_session(SHELL)
    return open_shell(open_session, label, user, sudo_user, passwords, patience)


def command(label: str, user: str, config_file: Path | None, *, tty: bool) -> list[str]:
    """The arguments of ssh before a command that gets this process's own input and output; with `tty` also a
    terminal, on which ssh may ask questions."""
    options = [option for option in _OPTIONS if not tty or option != "BatchMode=yes"]
    wanted = "RequestTTY=force" if tty else "RequestTTY=no"
    return _argv(label, user, config_file, [wanted if each == "RequestTTY=no" else each for each in options])


def _argv(label: str, user: str, config_file: Path | None, options: Iterable[str]) -> list[str]:
    parsed = address.parse(label)
    argv = ["ssh", *_file(config_file), "-l", parsed.user or user]
    for option in options:
        argv += ["-o", option]
    return [*argv, *(["-p", str(parsed.port)] if parsed.port else []), "--", parsed.host]


def _unreachable(label: str, user: str, config_file: Path | None, output: str) -> UnreachableError:
    output = output or "ssh printed nothing"
    file = "" if config_file is None else " ".join(["", *map(shlex.quote, _file(config_file))])
    by_hand = f"ssh{file} {shlex.quote(address.for_ssh(label, user))} true"
    if "IDENTIFICATION HAS CHANGED" in output:
        problem = "its host key has changed: another machine may be answering"
        hint = f"find out why; this shows the line of known_hosts: {by_hand}"
    elif "Host key verification failed" in output or "host key is known" in output:
        problem = "unknown host key"
        hint = f"compare its fingerprint with the host's and accept it: {by_hand}"
    elif "Permission denied" in output:
        problem, hint = f"login as {user} with the system's ssh failed: {output}", f"try: {by_hand}"
    else:
        problem, hint = f"can't connect with the system's ssh: {output}", f"try: {by_hand}"
    return UnreachableError(f"{label}: {problem}", hint=hint)


def configuration_of(host: str, file: Path) -> Mapping[str, str | list[str]]:
    """The configuration of ssh for a host (from `ssh -G`), by lower-case keyword.

    Raises OSError if ssh fails.
    """
    values: dict[str, str | list[str]] = {}
    for line in output_of(["ssh", "-G", *_file(file), "--", host], 10).splitlines():
        key, _, value = line.partition(" ")
        if key in ("identityfile", "certificatefile"):
            values[key] = [*values.get(key, []), value]
        else:
            values[key] = value
    return values


def _file(file: Path | None) -> list[str]:
    """The option for the configuration file; empty for the user's own, because with that option ssh ignores
    the system's file."""
    if file is None:
        return ["-F", "none"]
    own = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".ssh/config"
    return [] if file == own else ["-F", str(file)]
