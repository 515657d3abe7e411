"""A release that stops on a host, where its controller can be killed."""

import signal
from pathlib import Path

from tests.parts.fleet import Host, wait_until
from tests.parts.fleet_site import FleetSite

HOLD = "cd; [ ! -e hold ] || { rm hold; touch held; sleep 3388; }"


def hold(host: Host) -> Path:
    """The next run stops on this host where HOLD stands; the file is there when it has."""
    host.path("/home/deploy/held").unlink(missing_ok=True)
    host.run(["touch", "hold"], check=True)
    return host.path("/home/deploy/held")


def kill_when(site: FleetSite, held: Path, url: str) -> None:
    """Release, and kill the controller once a host is held."""
    process = site.start("release", "--curl-url", url, "production")
    wait_until(held.exists, "the host is held", 20)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not site.locked(), "the locks go with their controller", 15)
