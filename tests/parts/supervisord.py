"""A real supervisord without root, on a host of a `fleet` or on this machine, with a socket of its own.

It reads programs from `~/supervisor/conf.d/*.conf` (or any other include), and `~/bin/supervisorctl` speaks
to it: on a host that folder is on the PATH of every login, so plain `supervisorctl` finds it.
"""

import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.parts.fleet import FleetError, Host, child_of, home_of, wait_until

START_SECONDS = 20.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Supervisord:
    """A running supervisord; its paths are those that the tests see."""

    folder: Path
    """Its configuration, socket and logs (`supervisord.log`, and what programs print in `logs/`)."""
    conf_d: Path
    """Put a program's .conf here, or a link to it, and `supervisorctl update`."""
    bin: Path
    """The folder of the `supervisorctl` that speaks to it."""
    pid: int
    _ctl: Callable[[Sequence[str]], subprocess.CompletedProcess[str]]

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `supervisorctl ARGUMENTS` as its user, and return how it ended."""
        return self._ctl(arguments)


@contextmanager
def supervisord_on(host: Host, include: str = "", user: str | None = None) -> Iterator[Supervisord]:
    """Run a supervisord on `host` as `user` (default: the host's own); stop it and its programs at the end.

    `include` is the glob of program files as the host sees it.
    """
    user = user or host.user
    outside = host.homes[user]
    inside = home_of(user)
    _install(outside, inside, include, "/usr/bin/python3", owner=user)

    def ctl(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return host.run(["supervisorctl", *arguments], user)

    process = _popen(host.command([inside / "bin" / "supervisord"], user), outside, cwd=Path("/"))
    yield from _running(process, lambda: child_of(process.pid), outside, ctl)


@contextmanager
def supervisord_in(
    home: Path, include: str = "", environment: Mapping[str, str] = os.environ
) -> Iterator[Supervisord]:
    """Run a supervisord on this machine as the user we are, with its files in `home`; stop it at the end."""
    home.mkdir(parents=True, exist_ok=True)
    _install(home, home, include, sys.executable, owner=None)

    def ctl(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        argv = [str(home / "bin" / "supervisorctl"), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    process = _popen([str(home / "bin" / "supervisord")], home, cwd=home, environment=environment)
    yield from _running(process, lambda: process.pid, home, ctl)


def _install(outside: Path, inside: Path, include: str, python: str, owner: str | None) -> None:
    """Put supervisor (a copy of this interpreter's pure Python package), its start scripts and its
    configuration into the home that lies `outside` and is called `inside` by those who use it."""
    found = importlib.util.find_spec("supervisor")
    if found is None or found.origin is None:
        raise FleetError("supervisor isn't installed in this interpreter: pip install supervisor==4.3.0")
    folder = outside / "supervisor"
    for path in (outside / "bin", folder / "conf.d", folder / "logs"):
        path.mkdir(parents=True, exist_ok=True)
    (folder / "socket").unlink(missing_ok=True)  # of one whose power was cut
    skip = shutil.ignore_patterns("__pycache__", "tests", "supervisor")
    package = folder / "lib" / "supervisor"
    shutil.copytree(Path(found.origin).parent, package, ignore=skip, dirs_exist_ok=True)
    (folder / "supervisord.conf").write_text(_configuration(inside / "supervisor", include))
    for name in ("supervisord", "supervisorctl"):
        script = outside / "bin" / name
        script.write_text(_script(name, inside / "supervisor", python))
        script.chmod(0o755)
    if owner:
        for path in (outside / "bin", folder, *folder.rglob("*")):
            shutil.chown(path, owner, owner)


def _configuration(folder: Path, include: str) -> str:
    return f"""\
[unix_http_server]
file={folder}/socket

[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
childlogdir={folder}/logs

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{folder}/socket

[include]
files={include or f"{folder}/conf.d/*.conf"}
"""


def _script(name: str, folder: Path, python: str) -> str:
    lib, configuration = shlex.quote(f"{folder}/lib"), shlex.quote(f"{folder}/supervisord.conf")
    # Programs must not inherit PYTHONPATH, so the path is set inside the interpreter.
    code = f"import sys; sys.path.insert(0, sys.argv.pop(1)); from supervisor.{name} import main; main()"
    return f'#!/bin/sh\nexec {shlex.quote(python)} -c "{code}" {lib} -c {configuration} "$@"\n'


def _popen(
    argv: Sequence[str], outside: Path, cwd: Path, environment: Mapping[str, str] = os.environ
) -> subprocess.Popen[bytes]:
    with (outside / "supervisor" / "start.log").open("wb") as output:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            umask=0o022,
            start_new_session=True,
        )


def _running(
    process: subprocess.Popen[bytes],
    find_pid: Callable[[], int],
    home: Path,
    ctl: Callable[[Sequence[str]], subprocess.CompletedProcess[str]],
) -> Iterator[Supervisord]:
    folder = home / "supervisor"

    def answers() -> bool:
        if process.poll() is not None:
            raise FleetError(f"supervisord didn't start: {(folder / 'start.log').read_text().strip()}")
        return (folder / "socket").is_socket()

    try:
        wait_until(answers, f"supervisord in {folder} answers", START_SECONDS)
        pid = find_pid()
        try:
            yield Supervisord(folder, folder / "conf.d", home / "bin", pid, ctl)
        finally:
            # Its programs end with it only if it ends in order.
            if process.poll() is None:
                os.kill(pid, signal.SIGTERM)
            process.wait(STOP_SECONDS)
    finally:
        process.kill()
        process.wait()
