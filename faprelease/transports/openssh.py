"""The system's own ssh as a transport, for what paramiko can't: host certificates, FIDO keys, Kerberos,
ProxyCommand. One process and one connection a host."""

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
    # No connection of somebody else's, and none that stays behind.
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
    """A shell on a host of deploy.yml, logged in to as `user`. Raises UnreachableError, ConfigError."""
    user = address.parse(label).user or user
    argv = _argv(label, user, config_file, (*_OPTIONS, f"ConnectTimeout={max(1, round(seconds))}"))

    # To connect, to agree on keys, to log in, to start a shell: paramiko's stages, all in one here.
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
        said, found, behind = wait_for(channel, [greeting.word], patience)
        if not found:
            channel.stop()
            raise _unreachable(label, user, config_file, said)
        channel.unread(behind)
        return channel

    if sudo_user == user:
        return open_session(SHELL)
    return open_shell(open_session, label, user, sudo_user, passwords, patience)


def command(label: str, user: str, config_file: Path | None, *, tty: bool) -> list[str]:
    """The arguments before a command that gets this process's own input and output; with `tty` a terminal
    too, on which ssh may also ask for what it needs to know."""
    options = [option for option in _OPTIONS if not tty or option != "BatchMode=yes"]
    wanted = "RequestTTY=force" if tty else "RequestTTY=no"
    return _argv(label, user, config_file, [wanted if each == "RequestTTY=no" else each for each in options])


def _argv(label: str, user: str, config_file: Path | None, options: Iterable[str]) -> list[str]:
    named = address.parse(label)
    argv = ["ssh", *_file(config_file), "-l", named.user or user]
    for option in options:
        argv += ["-o", option]
    return [*argv, *(["-p", str(named.port)] if named.port else []), "--", named.host]


def _unreachable(label: str, user: str, config_file: Path | None, said: str) -> UnreachableError:
    said = said or "ssh printed nothing"
    file = "" if config_file is None else " ".join(["", *map(shlex.quote, _file(config_file))])
    by_hand = f"ssh{file} {shlex.quote(address.for_ssh(label, user))} true"
    if "IDENTIFICATION HAS CHANGED" in said:
        problem = "its host key has changed: another machine may be answering"
        hint = f"find out why; this shows the line of known_hosts: {by_hand}"
    elif "Host key verification failed" in said or "host key is known" in said:
        problem = "unknown host key"
        hint = f"compare its fingerprint with the host's and accept it: {by_hand}"
    elif "Permission denied" in said:
        problem, hint = f"login as {user} with the system's ssh failed: {said}", f"try: {by_hand}"
    else:
        problem, hint = f"can't connect with the system's ssh: {said}", f"try: {by_hand}"
    return UnreachableError(f"{label}: {problem}", hint=hint)


def configuration_of(host: str, file: Path) -> Mapping[str, str | list[str]]:
    """What ssh makes of its configuration for a host (`ssh -G`), by lower-case keyword.

    Raises OSError if it can't.
    """
    found: dict[str, str | list[str]] = {}
    for line in output_of(["ssh", "-G", *_file(file), "--", host], 10).splitlines():
        key, _, value = line.partition(" ")
        if key in ("identityfile", "certificatefile"):
            found[key] = [*found.get(key, []), value]
        else:
            found[key] = value
    return found


def _file(file: Path | None) -> list[str]:
    """The option that names the configuration; none for the user's own, as with that option ssh leaves out
    the system's."""
    if file is None:
        return ["-F", "none"]
    own = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".ssh/config"
    return [] if file == own else ["-F", str(file)]
