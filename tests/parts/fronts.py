"""Real fronts on this machine: nginx, Caddy and HAProxy, each from a configuration of its own."""

import getpass
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.parts.fleet import FleetError, wait_until
from tests.parts.repository import ROOT

PAGE = ROOT / "docs/how-to/fronts.md"
START_SECONDS = 20.0


def nginx_conf(folder: Path, http: str, user: str = "") -> str:
    """A whole nginx.conf with `http` inside its block, and all files in `folder`. Its workers run as `user`,
    which only root can choose; default: as ourselves."""
    user = user or getpass.getuser()
    temporary = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"user {user};\nworker_rlimit_nofile 20000;\ndaemon off;\n"
        f"pid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n"
        f"events {{ worker_connections 10000; }}\nhttp {{\n    access_log off;\n{temporary}{http}\n}}\n"
    )


def _nginx(file: Path) -> list[str]:
    return ["-e", f"{file.parent}/error.log", "-c", str(file)]


def _caddy(file: Path) -> list[str]:
    return ["run", "--adapter", "caddyfile", "--config", str(file)]


def _haproxy(file: Path) -> list[str]:
    return ["-db", "-f", str(file)]


ARGV: Mapping[str, Callable[[Path], list[str]]] = {"nginx": _nginx, "caddy": _caddy, "haproxy": _haproxy}
"""The arguments with which each of them runs in the foreground, with a configuration file."""


def snippets(kind: str) -> list[str]:
    """The configurations on the page of fronts: the addresses, and the rest of the site."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@contextmanager
def front(
    kind: str,
    folder: Path,
    configuration: str,
    port: int,
    command: Callable[[Sequence[str]], Sequence[str]] = lambda argv: argv,
) -> Iterator[None]:
    """Run one with this configuration until it listens on the port; stop it at the end. Raise FleetError if
    it does not start. `command` makes an argv run elsewhere, as `Host.command` does."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    program = shutil.which(kind, path=path)
    if program is None:
        raise FleetError(f"there is no {kind}; install it: apt-get install nginx-light caddy haproxy")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{kind}.conf"
    file.write_text(configuration)
    log = folder / "front.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command([program, *ARGV[kind](file)]),
            env={"PATH": path, "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )

    def listens() -> bool:
        if process.poll() is not None:
            raise FleetError(f"{kind} didn't start: {log.read_text().strip()}")
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, f"{kind} listens", START_SECONDS)
        yield
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
