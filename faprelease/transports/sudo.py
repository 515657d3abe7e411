"""A shell of another user, with sudo: without a password if that is allowed, otherwise with one on its
input."""

import os
import shlex
from collections.abc import Callable

from faprelease.errors import UnreachableError
from faprelease.transports.channel import Channel, ChannelLostError
from faprelease.transports.greeting import Greeting, wait_for
from faprelease.transports.passwords import Passwords

SHELL = "exec /bin/sh"
OpenSession = Callable[[str], Channel]
"""Runs a command as the login user on the host."""


def open_shell(
    open_session: OpenSession, label: str, user: str, sudo_user: str, passwords: Passwords, seconds: float
) -> Channel:
    """Return a shell of `sudo_user`, after a login as `user`. `seconds` limits each answer of sudo.

    It tries `sudo -n` first. Otherwise sudo gets the password on its input, once. The channel is returned
    only after the shell has printed its greeting, so a script is never read as a password.

    Raises UnreachableError.
    """
    greeting = Greeting()
    sudo = f"-H -u {shlex.quote(sudo_user)} -- /bin/sh -c {shlex.quote(greeting.before(SHELL))}"
    # The errors of sudo are parsed below, so they must be in English.
    channel = open_session(f"exec env LC_ALL=C sudo -n {sudo}")
    output, word, _ = wait_for(channel, [greeting.word], seconds)
    if word:
        return channel
    channel.close()
    if "password is required" not in output:
        raise _refused(label, user, sudo_user, output)
    password = passwords.for_sudo(user)
    if password is None:
        raise UnreachableError(
            f"{label}: sudo asks for the password of {user}",
            hint="run this in a terminal, set FAP_SUDO_PASSWORD_COMMAND to a command that prints it, or allow"
            f" {user} sudo without a password; on {label}:\n{_sudoers(user, sudo_user)}",
        )
    prompt = f"{os.urandom(8).hex()}:"
    channel = open_session(f"exec env LC_ALL=C sudo -S -p {prompt} {sudo}")
    output, word, _ = wait_for(channel, [prompt], seconds)
    if word:
        try:
            channel.send(f"{password}\n".encode())
            output, word, _ = wait_for(channel, [greeting.word, prompt], seconds)
        except ChannelLostError as lost:
            output, word = str(lost), ""
    if word == greeting.word:
        return channel
    channel.close()
    if word == prompt or "incorrect password" in output:
        raise UnreachableError(
            f"{label}: sudo rejected the password of {user}",
            hint="it was tried once; check FAP_SUDO_PASSWORD, or the output of FAP_SUDO_PASSWORD_COMMAND",
        )
    raise _refused(label, user, sudo_user, output.replace(password, "***"))


def _refused(label: str, user: str, sudo_user: str, output: str) -> UnreachableError:
    if "you must have a tty" in output:
        hint = f"turn off requiretty; on {label}, in /etc/sudoers: Defaults:{user} !requiretty"
    else:
        hint = f"allow {user} to become {sudo_user}; on {label}:\n{_sudoers(user, sudo_user)}"
    reason = output or "it printed nothing"
    return UnreachableError(f"{label}: sudo does not allow {user} to become {sudo_user}: {reason}", hint=hint)


def _sudoers(user: str, sudo_user: str) -> str:
    line = f"{user} ALL=({sudo_user}) NOPASSWD: /bin/sh"
    allow = f"echo '{line}' | sudo EDITOR='tee -a' visudo -f /etc/sudoers.d/fapkit"
    return f"{allow}\nor, if {user} is to own the releases, in deploy.yml: sudo_user: {user}"
