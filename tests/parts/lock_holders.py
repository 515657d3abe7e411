"""Those who hold the lock of an app: a controller in a process of its own, and a made-up session."""

import subprocess
import sys
from pathlib import Path

from faprelease.verbs.release import Request


def controller(request: Request, stderr: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", "from faprelease.cli import command; command()", "-f", str(request.file)]
    argv += ["--curl-url", str(request.flags["curl_url"]), "production", "web"]
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=stderr)


def hold_lock(path: Path, pid: int) -> None:
    """A lock as a session with this process as its shell takes it."""
    lock = path / ".fap/lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    start = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    lock.write_text(f"hers\n{pid} {start} {boot}\nada@ci\n")
