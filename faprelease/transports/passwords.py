"""Passwords that only a person or a command knows: sudo's, and the passphrases of keys. Asked once a run."""

import getpass
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from faprelease.errors import UnreachableError
from faprelease.transports.process import output_of

PASSWORD = "FAP_SUDO_PASSWORD"  # noqa: S105
COMMAND = "FAP_SUDO_PASSWORD_COMMAND"
COMMAND_SECONDS = 60


class Passwords:
    """Keeps what it was told until the run ends; several threads may ask."""

    def __init__(self) -> None:
        # Not left to the processes that are started from here.
        self._password = os.environ.pop(PASSWORD, None)
        self._told: dict[str, str | None] = {}
        self._guard = threading.Lock()

    def for_sudo(self, user: str) -> str | None:
        """The password of a login user, the same on all hosts: from the environment, from a command that it
        names, or from whoever sits at the terminal. None if there is none of these.

        Raises UnreachableError if the command fails.
        """
        return self._password or self._once(f"sudo {user}", partial(_sudo_password, user))

    def for_key(self, path: Path) -> str | None:
        """The passphrase of a key's file, from the terminal; None without one."""
        return self._once(f"key {path}", partial(_ask, f"Passphrase for {path}: "))

    def _once(self, name: str, find: Callable[[], str | None]) -> str | None:
        with self._guard:
            if name not in self._told:
                self._told[name] = find()
            return self._told[name]


def _sudo_password(user: str) -> str | None:
    if command := os.environ.get(COMMAND):
        try:
            return output_of(["/bin/sh", "-c", command], COMMAND_SECONDS).partition("\n")[0]
        except OSError as error:
            raise UnreachableError(f"{COMMAND} failed: {error}", hint=f"run it by hand: {command}") from error
    return _ask(f"Password of {user} for sudo: ")


def _ask(prompt: str) -> str | None:
    """What is typed, without an echo; None if there is no terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return None
    try:
        return getpass.getpass(prompt)
    except EOFError:
        return None
