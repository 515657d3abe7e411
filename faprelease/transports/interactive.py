"""Runs a command on a host with this process's own input, output and terminal.

It uses the system's ssh, which handles the modes and size of the terminal, keys, jump hosts and the exit
code. Without a terminal it uses plain pipes.
"""

import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from faprelease.errors import ConfigError
from faprelease.transports import openssh

SIGNAL_SECONDS = 30
_PASSED_ON = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


@dataclass(frozen=True)
class Login:
    """Where commands run: as `sudo_user`, on a host of deploy.yml after login as `user`, or on this
    machine."""

    host: str
    user: str
    sudo_user: str
    local: bool
    config_file: Path | None

    def argv(self, script: str, *, tty: bool) -> list[str]:
        """The arguments of the command that runs a POSIX sh script there; it replaces the shell that starts
        it."""
        if self.local:
            return ["/bin/sh", "-c", script]
        # With a terminal, sudo may ask for a password.
        sudo = f"exec sudo {'' if tty else '-n '}-H -u {shlex.quote(self.sudo_user)} -- /bin/sh -c "
        remote = script if self.sudo_user == self.user else sudo + shlex.quote(script)
        return [
            *openssh.command(self.host, self.user, self.config_file, tty=tty),
            f"exec /bin/sh -c {shlex.quote(remote)}",
        ]


def run(login: Login, script: str, *, on_interrupt: str) -> int:
    """Run a script there until it ends, and return its exit code; 255 if the host can't be reached.

    In a terminal, keys and Ctrl-C go to the script. Otherwise Ctrl-C, TERM and HUP run `on_interrupt` there,
    with $signal, to pass it on to the processes of the script; if that is empty, the connection is closed.
    Raises ConfigError if ssh can't be started.
    """
    tty = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        process = subprocess.Popen(login.argv(script, tty=tty), start_new_session=not tty)
    except OSError as error:
        raise _no_ssh(error) from error
    with _passed_on(process, login, on_interrupt, tty=tty):
        code = process.wait()
    return code if code >= 0 else 128 - code


def run_side_by_side(
    scripts: Sequence[tuple[str, Login, str]], show: Callable[[str, str, bool], None]
) -> int:
    """Run a script on each of several hosts, at the same time, until all end; return the first exit code that
    is not 0.

    Each script comes with its name and login. `show` gets the name, each line that is printed, and whether
    it is one of standard error; it is called by one thread at a time. Ctrl-C, TERM and HUP close the
    connections; the exit code is 130 then, and also if `show` raises OSError. Raises ConfigError if ssh can't
    be started.
    """
    guard, stopped = threading.Lock(), threading.Event()

    def pass_lines(name: str, stream: IO[bytes], *, err: bool) -> None:
        for line in stream:
            try:
                with guard:
                    show(name, line.decode(errors="replace").rstrip("\r\n"), err)
            except OSError:  # nobody reads them any more
                stopped.set()
                return

    running = [_piped(login, script) for _, login, script in scripts]
    threads = [
        threading.Thread(target=pass_lines, args=(name, stream), kwargs={"err": err}, daemon=True)
        for (name, _, _), process in zip(scripts, running, strict=True)
        for stream, err in ((process.stdout, False), (process.stderr, True))
    ]
    old = {number: signal.signal(number, lambda *_: stopped.set()) for number in _PASSED_ON}
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) and not stopped.wait(0.1):
            pass
    finally:
        for process in running if stopped.is_set() else []:
            process.terminate()
        codes = [process.wait() for process in running]
        for number, handler in old.items():
            signal.signal(number, handler)
    return 130 if stopped.is_set() else next((code for code in codes if code), 0)


def _piped(login: Login, script: str) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            login.argv(script, tty=False),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise _no_ssh(error) from error


def _no_ssh(error: OSError) -> ConfigError:
    return ConfigError(
        f"can't start the system's ssh: {error}",
        hint="install OpenSSH's client: sudo apt-get install openssh-client",
    )


@contextmanager
def _passed_on(
    process: "subprocess.Popen[bytes]", login: Login, on_interrupt: str, *, tty: bool
) -> Iterator[None]:
    """Pass signals on to the command while the body runs; they don't end this process before the command
    ends."""

    def pass_on(number: int, _: object) -> None:
        name = signal.Signals(number).name.removeprefix("SIG")
        if tty:
            # The terminal already passes Ctrl-C on.
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

    old = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
