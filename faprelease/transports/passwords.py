"""The password for sudo and the passphrases of keys. A person or a command is asked once per run."""

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
    """Keeps passwords until the run ends. Safe in several threads."""

    def __init__(self) -> None:
        # Hide it from the processes that this one starts.
        self._password = os.environ.pop(PASSWORD, None)
        self._known: dict[str, str | None] = {}
        self._guard = threading.Lock()

    def for_sudo(self, user: str) -> str | None:
        """Return the password of a login user, the same on all hosts. It comes from the environment, from a
        command in the environment, or from the terminal; None without any of these.

        Raises UnreachableError if the command fails.
        """
        return self._password or self._once(f"sudo {user}", partial(_sudo_password, user))

    def for_key(self, path: Path) -> str | None:
        """Return the passphrase of a key file, from the terminal; None without a terminal."""
        return self._once(f"key {path}", partial(_ask, f"Passphrase for {path}: "))

    def _once(self, name: str, find: Callable[[], str | None]) -> str | None:
        with self._guard:
            if name not in self._known:
                self._known[name] = find()
            return self._known[name]


def _sudo_password(user: str) -> str | None:
    if command := os.environ.get(COMMAND):
        try:
            return output_of(["/bin/sh", "-c", command], COMMAND_SECONDS).partition("\n")[0]
        except OSError as error:
            raise UnreachableError(f"{COMMAND} failed: {error}", hint=f"run it by hand: {command}") from error
    return _ask(f"Password of {user} for sudo: ")


def _ask(prompt: str) -> str | None:
    """Ask on the terminal, without echo; None if there is no terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return None
    try:
        return getpass.getpass(prompt)
    except EOFError:
        return None
