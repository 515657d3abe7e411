"""Releases that start beside each other on several hosts: batch by batch, and `sync` for one that missed."""

from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256

import pytest

from tests.parts.fleet import Host
from tests.parts.fleet_site import FleetSite, builds, hosts, site
from tests.parts.repository import ROOT
from tests.parts.supervisord import supervisord_on

__all__ = ["builds", "hosts", "site"]

pytestmark = [pytest.mark.fleet, pytest.mark.supervisord, pytest.mark.slow]

RUN = (ROOT / "fapbuild/installer/run").read_bytes()
SERVER = (ROOT / "tests/parts/unix_server.py").read_bytes()


@pytest.fixture(autouse=True)
def managers(hosts: list[Host]) -> Iterator[None]:
    with ExitStack() as stack:
        for host in hosts:
            stack.enter_context(supervisord_on(host))
        yield


def answers(site: FleetSite) -> list[str]:
    front = "/home/deploy/www/shop/run/web.sock"
    ask = ["curl", "-s", "-m", "5", "--unix-socket", front, "http://localhost/"]
    return [host.run(ask).stdout for host in site.hosts]


def test_batches_and_sync(site: FleetSite) -> None:
    more = (
        "plugins: [supervisorctl, healthcheck]\nprocesses: {web: 1}\nhandover: beside\nbatch: 1\n"
        "healthcheck_seconds: 8\nsupervisor_target: /home/deploy/supervisor/conf.d/shop.conf\n"
    )
    site.configure(more)

    def build(version: str, server: str = "") -> str:
        procfile = f"web: exec python3 unix_server.py $PORT {version} {server}\n".encode()
        return site.add(version, **{"Procfile": procfile, ".fap/run": RUN, "unix_server.py": SERVER})

    first = site.release(build("1.0"))
    assert first.returncode == 0, first.stderr
    assert answers(site) == ["1.0", "1.0", "1.0"]
    # The second batch fails on its host: the first one goes back.
    broken = "sh -c '[ -e /home/deploy/broken ] && exit 3; exec python3 unix_server.py $0 2.0' $PORT"
    site.hosts[1].run(["touch", "broken"], check=True)
    procfile = f"web: exec {broken}\n".encode()
    url = site.add("2.0", **{"Procfile": procfile, ".fap/run": RUN, "unix_server.py": SERVER})
    failed = site.release(url)
    assert failed.returncode == 4, failed.stderr
    assert "batch 1 of 3" in failed.stderr
    assert answers(site) == ["1.0", "1.0", "1.0"]
    names = [host.name for host in site.hosts]
    site.configure(more, roles=f"    web: {{hosts: [{names[0]}, {names[1]}]}}\n")
    url = build("3.0")
    assert site.release(url).returncode == 0
    site.configure(more)
    digest = sha256(site.builds.bodies["/3.0.tgz"][0]).hexdigest()
    done = site.run("sync", "--curl-url", url, "--curl-sha256", digest, "production", "web")
    assert done.returncode == 0, done.stderr
    assert answers(site) == ["3.0", "3.0", "3.0"]
