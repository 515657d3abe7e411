"""A real cron on a host of a `fleet`, with crontabs of its own."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.parts.fleet import FleetError, Host, wait_until

CRON = Path("/usr/sbin/cron")
SPOOL = "/var/spool/cron/crontabs"


@contextmanager
def cron_on(host: Host) -> Iterator[None]:
    """Start it; stop it at the end. Raise FleetError if this machine has none."""
    if not CRON.exists():
        raise FleetError(f"there is no {CRON}; install it: apt-get install cron")
    script = f"""set -e
mount -t tmpfs -o mode=1730,gid=crontab tmpfs {SPOOL}
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd
exec {CRON} -f
"""
    enter = ("nsenter", "--target", str(host.pid), "--mount", "--pid", "--")
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *enter, "sh", "-c", script],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: host.run(["pgrep", "-x", "cron"]).returncode == 0, f"cron on {host.name} runs", 20)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def crontab_of(host: Host) -> list[str]:
    """The lines of the user's crontab."""
    return host.run(["crontab", "-l"]).stdout.splitlines()
