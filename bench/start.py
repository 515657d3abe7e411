"""From the prompt to the first byte on the wire: CPU, against that of `python -c 'import paramiko'`."""

import os
import socket
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BIN, used

DEPLOY = "app_name: trivial\nstage_role_configs: {production: {web: {hosts: ['127.0.0.1:%d']}}}\n"


@dataclass(frozen=True)
class Row:
    """Seconds of CPU, medians."""

    ours: float
    paramiko: float


def measure(folder: Path, runs: int) -> Row:
    """In turns, after one of each that warms up."""
    folder.mkdir()
    ours, theirs = [], []
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"]}
    for _turn in range(runs + 1):
        ours.append(_until_first_byte(folder, environment))
        theirs.append(used([sys.executable, "-c", "import paramiko"], folder, environment).cpu)
    return Row(statistics.median(ours[1:]), statistics.median(theirs[1:]))


def _until_first_byte(folder: Path, environment: dict[str, str]) -> float:
    with socket.create_server(("127.0.0.1", 0)) as server:
        (folder / "deploy.yml").write_text(DEPLOY % server.getsockname()[1])
        argv = [BIN / "faprelease", "--curl-url", "http://127.0.0.1/trivial.tgz", "production"]
        with (
            subprocess.Popen(argv, cwd=folder, env=environment, stderr=subprocess.DEVNULL) as process,
            server.accept()[0] as client,
        ):
            client.recv(1)
            spent = _cpu(process.pid)
            process.kill()
    return spent


def _cpu(pid: int) -> float:
    """What all threads of a process have run so far, in seconds (proc(5), schedstat)."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9
