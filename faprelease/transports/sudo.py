"""A shell as another user, by sudo: without a password if it may, else with one on sudo's own input."""

import os
import shlex
from collections.abc import Callable

from faprelease.errors import UnreachableError
from faprelease.transports.channel import Channel, ChannelLostError
from faprelease.transports.greeting import Greeting, wait_for
from faprelease.transports.passwords import Passwords

SHELL = "exec /bin/sh"
OpenSession = Callable[[str], Channel]
"""Run a command of the login user on the host: what a transport gives."""


def open_shell(
    open_session: OpenSession, label: str, user: str, sudo_user: str, passwords: Passwords, seconds: float
) -> Channel:
    """A shell of `sudo_user` for whoever logged in as `user`; each answer of sudo may take `seconds`.

    `sudo -n` is tried first. Otherwise sudo gets the password on its input, once, and only when the shell
    behind it has greeted is the channel handed over: no script is read as a password.

    Raises UnreachableError.
    """
    greeting = Greeting()
    sudo = f"-H -u {shlex.quote(sudo_user)} -- /bin/sh -c {shlex.quote(greeting.before(SHELL))}"
    # sudo's complaints are read below, so they are to be in English.
    channel = open_session(f"exec env LC_ALL=C sudo -n {sudo}")
    said, found, _ = wait_for(channel, [greeting.word], seconds)
    if found:
        return channel
    channel.close()
    if "password is required" not in said:
        raise _refused(label, user, sudo_user, said)
    password = passwords.for_sudo(user)
    if password is None:
        raise UnreachableError(
            f"{label}: sudo asks for the password of {user}",
            hint="run this in a terminal, set FAP_SUDO_PASSWORD_COMMAND to a command that prints it, or allow"
            f" {user} sudo without a password; on {label}:\n{_sudoers(user, sudo_user)}",
        )
    prompt = f"{os.urandom(8).hex()}:"
    channel = open_session(f"exec env LC_ALL=C sudo -S -p {prompt} {sudo}")
    said, found, _ = wait_for(channel, [prompt], seconds)
    if found:
        try:
            channel.send(f"{password}\n".encode())
            said, found, _ = wait_for(channel, [greeting.word, prompt], seconds)
        except ChannelLostError as lost:
            said, found = str(lost), ""
    if found == greeting.word:
        return channel
    channel.close()
    if found == prompt or "incorrect password" in said:
        raise UnreachableError(
            f"{label}: sudo rejected the password of {user}",
            hint="it was tried once; check FAP_SUDO_PASSWORD, or the output of FAP_SUDO_PASSWORD_COMMAND",
        )
    raise _refused(label, user, sudo_user, said.replace(password, "***"))


def _refused(label: str, user: str, sudo_user: str, said: str) -> UnreachableError:
    if "you must have a tty" in said:
        hint = f"turn off requiretty; on {label}, in /etc/sudoers: Defaults:{user} !requiretty"
    else:
        hint = f"allow {user} to become {sudo_user}; on {label}:\n{_sudoers(user, sudo_user)}"
    reason = said or "it printed nothing"
    return UnreachableError(f"{label}: sudo does not allow {user} to become {sudo_user}: {reason}", hint=hint)


def _sudoers(user: str, sudo_user: str) -> str:
    line = f"{user} ALL=({sudo_user}) NOPASSWD: /bin/sh"
    return f"echo '{line}' | sudo EDITOR='tee -a' visudo -f /etc/sudoers.d/fapkit"
