"""A command on a host with this process's own input, output and terminal, for as long as it runs.

Who types into it is served by the system's ssh, which knows all that it takes: the terminal's modes and size,
keys, jump hosts, and the exit code. Without a terminal there are plain pipes.
"""

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from faprelease.errors import ConfigError
from faprelease.transports import openssh

SIGNAL_SECONDS = 30


@dataclass(frozen=True)
class Login:
    """Where commands run: as `sudo_user`, on a host of deploy.yml that is logged in to as `user`, or here."""

    host: str
    user: str
    sudo_user: str
    local: bool
    config_file: Path | None

    def argv(self, script: str, *, tty: bool) -> list[str]:
        """What runs a POSIX sh script there; it replaces the shell that it is read by."""
        if self.local:
            return ["/bin/sh", "-c", script]
        # With a terminal, sudo asks there if it must.
        sudo = f"exec sudo {'' if tty else '-n '}-H -u {shlex.quote(self.sudo_user)} -- /bin/sh -c "
        remote = script if self.sudo_user == self.user else sudo + shlex.quote(script)
        return [
            *openssh.command(self.host, self.user, self.config_file, tty=tty),
            f"exec /bin/sh -c {shlex.quote(remote)}",
        ]


def run(login: Login, script: str, *, on_interrupt: str) -> int:
    """Run a script there until it ends; its exit code, 255 if there is no way to the host.

    On a terminal, keys and Ctrl-C go to it. Otherwise Ctrl-C, TERM and HUP run `on_interrupt` there, with
    $signal, which passes it on to the script's own processes; if that is empty, nobody listens any longer.
    Raises ConfigError without an ssh.
    """
    tty = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        process = subprocess.Popen(login.argv(script, tty=tty), start_new_session=not tty)
    except OSError as error:
        raise ConfigError(
            f"can't start the system's ssh: {error}",
            hint="install OpenSSH's client: sudo apt-get install openssh-client",
        ) from error
    with _passed_on(process, login, on_interrupt, tty=tty):
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _passed_on(
    process: "subprocess.Popen[bytes]", login: Login, on_interrupt: str, *, tty: bool
) -> Iterator[None]:
    """While this holds, no signal ends this process before the command has ended."""

    def tell(number: int, _: object) -> None:
        name = signal.Signals(number).name.removeprefix("SIG")
        if tty:
            # Ctrl-C came to the terminal, and is on its way already.
            if number != signal.SIGINT:
                process.terminate()
        elif not on_interrupt:
            process.terminate()
        else:
            subprocess.run(
                login.argv(f"signal={name}\n{on_interrupt}", tty=False),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                timeout=SIGNAL_SECONDS,
                start_new_session=True,
                check=False,
            )

    old = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
