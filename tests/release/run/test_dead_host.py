"""A host that can't be reached: the others can go on without it, and it is brought back later."""

import hashlib
from collections.abc import Iterator

import pytest

from tests.parts.fleet import Host, wait_until
from tests.parts.fleet_site import FleetSite, builds, hosts, site

__all__ = ["builds", "hosts", "site"]

pytestmark = pytest.mark.fleet


@pytest.fixture
def dead(site: FleetSite) -> Iterator[Host]:
    """The second of three hosts is down, after versions 1 and 2."""
    host = site.hosts[1]
    for version in ("1", "2"):
        assert site.release(site.add(version)).returncode == 0
    host.machine.cut_power()
    yield host
    start(host)


def start(host: Host) -> None:
    if not host.pid:
        host.machine.start()
        host.machine.wait_until_ready()


def digest_of(site: FleetSite, version: str) -> str:
    (data,) = site.builds.bodies[f"/{version}.tgz"]
    return hashlib.sha256(data).hexdigest()


def test_a_release_goes_on_without_it(site: FleetSite, dead: Host) -> None:
    url = site.add("3")
    refused = site.release(url, "web")
    assert refused.returncode == 7
    assert "web2: " in refused.stderr
    line = "faprelease --curl-url URL production web --without web2"
    assert f"to go on without it: {line}" in refused.stderr
    again = "faprelease sync --curl-url URL --curl-sha256 HEX production web"
    assert f"when it can be reached again: {again}" in refused.stderr
    done = site.run(*line.replace("URL", url).split()[1:])
    assert done.returncode == 0, done.stderr
    assert "is live on web1, web3," in done.stderr
    assert [site.version(host) for host in site.hosts if host is not dead] == ["3", "3"]
    start(dead)
    assert site.version(dead) == "2"
    synced = site.run(*again.replace("URL", url).replace("HEX", digest_of(site, "3")).split()[1:])
    assert synced.returncode == 0, synced.stderr
    assert site.versions() == ["3", "3", "3"]


def test_a_rollback_goes_on_without_it(site: FleetSite, dead: Host) -> None:
    refused = site.run("rollback", "production")
    assert refused.returncode == 7
    line = "faprelease rollback production --without web2"
    assert f"to go on without it: {line}" in refused.stderr
    assert site.run(*line.split()[1:]).returncode == 0
    assert [site.version(host) for host in site.hosts if host is not dead] == ["1", "1"]


def test_every_host_that_can_not_be_reached_is_named(site: FleetSite, dead: Host) -> None:
    site.hosts[0].machine.cut_power()
    try:
        refused = site.release(site.add("3"))
    finally:
        start(site.hosts[0])
    assert refused.returncode == 7
    assert "web1: " in refused.stderr
    assert "web2: " in refused.stderr
    assert "--without web1,web2" in refused.stderr


def test_a_host_that_died_in_a_release_does_not_keep_the_others_from_ending_it(site: FleetSite) -> None:
    """The controller is killed while all hosts publish, and then one of them dies."""
    assert site.release(site.add("1")).returncode == 0
    site.configure('plugins: [tests.parts.plugins]\npublished_script: "sleep 30"\n')
    process = site.start("release", "--curl-url", site.add("2"), "production")
    wait_until(lambda: site.versions() == ["2", "2", "2"], "all hosts have published", 30)
    process.kill()
    process.communicate()
    wait_until(lambda: not site.locked(), "the locks go with their controller", 20)
    dead = site.hosts[1]
    dead.machine.cut_power()
    try:
        site.configure()
        url = site.add("3")
        assert site.release(url).returncode == 7
        part = site.release(url, "--hosts", "web1")
        assert part.returncode == 1
        assert "did not finish, also on web2 (web), web3 (web)" in part.stderr
        assert "--without HOST" in part.stderr
        done = site.release(url, "--without", "web2")
        assert done.returncode == 0, done.stderr
        assert "undo the unfinished release" in done.stderr
    finally:
        start(dead)
    assert site.versions() == ["3", "2", "3"]
    sha256 = digest_of(site, "3")
    synced = site.run("sync", "--curl-url", url, "--curl-sha256", sha256, "production")
    assert synced.returncode == 0, synced.stderr
    assert site.versions() == ["3", "3", "3"]
