"""A release that starts beside the one before, on a real `systemd --user` of a host."""

from collections.abc import Iterator

import pytest

from tests.parts.fleet import Host
from tests.parts.fleet_site import FleetSite, builds, site
from tests.parts.repository import ROOT
from tests.parts.systemd import Systemd
from tests.parts.systemd_site import HOME, configure, hosts, systemd

__all__ = ["builds", "hosts", "site", "systemd"]

pytestmark = [pytest.mark.systemd, pytest.mark.slow]

RUN = (ROOT / "fapbuild/installer/run").read_bytes()
SERVER = (ROOT / "tests/parts/unix_server.py").read_bytes()
UNITS = f"{HOME}/.config/systemd/user"
FRONT = f"{HOME}/www/shop/run/web.sock"
BESIDE = {
    "handover": "beside",
    "processes": {"web": 1},
    "plugins": ["systemd", "healthcheck"],
    "healthcheck_url": "http://localhost/",
    "healthcheck_seconds": 10,
}


@pytest.fixture(autouse=True)
def clean(systemd: Systemd, hosts: list[Host]) -> Iterator[None]:
    yield
    systemd.ctl("stop", "shop-*", "shop.target")
    hosts[0].run(["sh", "-c", f"rm -rf {UNITS}"], check=True)
    systemd.ctl("daemon-reload")
    systemd.ctl("reset-failed")


def build(site: FleetSite, version: str, server: str = "", procfile: str = "") -> str:
    procfile = procfile or f"web: exec python3 unix_server.py $PORT {version} {server}\n"
    return site.add(version, **{"Procfile": procfile.encode(), ".fap/run": RUN, "unix_server.py": SERVER})


def release(site: FleetSite, url: str, code: int = 0) -> str:
    """Release it; returns what was said."""
    done = site.release(url)
    assert done.returncode == code, done.stderr
    return done.stderr


def ask(site: FleetSite, front: str = FRONT) -> str:
    done = site.hosts[0].run(["curl", "-sS", "-m", "5", "--unix-socket", front, "http://localhost/"])
    return done.stdout or done.stderr


def running(systemd: Systemd) -> list[str]:
    listed = systemd.ctl("list-units", "--plain", "--no-legend", "--state=active", "shop*.service").stdout
    return sorted(line.split()[0].removesuffix(".service") for line in listed.splitlines())


def current(site: FleetSite) -> str:
    return site.hosts[0].run(["readlink", f"{HOME}/www/shop/current"]).stdout.strip().rpartition("/")[2]


def test_a_release_starts_beside_the_one_before_which_stays_warm(site: FleetSite, systemd: Systemd) -> None:
    configure(site, **BESIDE)
    release(site, build(site, "1.0"))
    first = current(site)
    assert ask(site) == "1.0"
    assert running(systemd) == [f"shop-web-1@{first}-1"]
    release(site, build(site, "2.0"))
    second = current(site)
    assert ask(site) == "2.0"
    assert running(systemd) == [f"shop-web-1@{first}-1", f"shop-web-1@{second}-1"]
    enabled = systemd.ctl("list-unit-files", "--plain", "--no-legend", "--state=enabled", "shop*").stdout
    assert systemd.ctl("is-enabled", f"shop-web-1@{second}-1").stdout.strip() == "enabled", enabled
    assert systemd.ctl("is-enabled", f"shop-web-1@{first}-1").stdout.strip() != "enabled", enabled
    done = site.run("rollback", "--yes", "production")
    assert done.returncode == 0, done.stderr
    assert ask(site) == "1.0"
    assert running(systemd) == [f"shop-web-1@{first}-1", f"shop-web-1@{second}-1"]
