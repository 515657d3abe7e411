"""A connection that only looks open, as the controller's machine fell silent, holds no lock for long."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.parts.fleet import wait_until
from tests.parts.fleet_site import FleetSite, builds, hosts, site
from tests.parts.repository import ROOT

__all__ = ["builds", "hosts", "site"]
pytestmark = pytest.mark.fleet

IMPATIENT = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from faprelease.run import connections
from faprelease.steps import wire
wire.IDLE_SECONDS, connections.BEAT_SECONDS = 3, 1
from faprelease.cli import main
main()
"""


def test_beats_hold_the_lock_and_silence_lets_it_go(site: FleetSite) -> None:
    assert site.release(site.add("1")).returncode == 0
    site.configure(
        "batch: 1\nbatch_wait: 600\nplugins: [tests.parts.plugins]\npublished_script: cd; touch held"
    )
    held = site.hosts[0].path("/home/deploy/held")
    held.unlink(missing_ok=True)
    url = site.add("2")
    said = site.folder / "said"
    with subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, str(ROOT), "--curl-url", url, "production"],
        cwd=site.folder,
        env={"HOME": str(site.home), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.DEVNULL,
        stderr=said.open("w"),
    ) as controller:
        try:
            wait_until(held.exists, "the first batch is published", 20)
            # Longer than an idle shell waits: what holds the lock are the beats.
            time.sleep(7)
            locks = [host.path("/home/deploy/www/shop/.fap/lock") for host in site.hosts]
            assert all(lock.exists() for lock in locks)
            controller.send_signal(signal.SIGSTOP)
            wait_until(lambda: not site.locked(), "the shells end by themselves", 20)
            site.configure()
            done = site.run("rollback", "production")
            assert done.returncode == 0, done.stderr
            assert "undo the unfinished release" in done.stderr
            assert site.release(site.add("3")).returncode == 0
            # It wakes up, believes that its turn goes on, and is fenced off.
            controller.send_signal(signal.SIGCONT)
            status = Path(f"/proc/{controller.pid}/status")
            wait_until(lambda: "State:\tS" in status.read_text(), "it sleeps again, and hears", 10)
            controller.send_signal(signal.SIGINT)
            assert controller.wait(30) == 3
        finally:
            controller.kill()
    assert "another run took the lock in the meantime" in said.read_text()
    assert site.versions() == ["3", "3", "3"]
    assert not site.locked()
