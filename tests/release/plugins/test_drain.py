"""The drain plugin: each host leaves its balancers while it is published on, batch by batch.

A balancer is stood in for by a file on each host that notes the order of what happened there.
"""

import json

import pytest

from tests.parts.fleet_site import FleetSite, builds, hosts, site
from tests.parts.held_release import HOLD, hold, kill_when

__all__ = ["builds", "hosts", "site"]
pytestmark = pytest.mark.fleet

NOTE = 'echo "$(date +%s%N) {} $(readlink ~/www/shop/current | tail -c 3)" >>~/order'


def configure(site: FleetSite, **more: str) -> None:
    keys = {
        "drain_command": NOTE.format("out"),
        "undrain_command": NOTE.format("in:$FAP_HOST"),
        "published_script": NOTE.format("restart"),
        "checking_script": NOTE.format("check"),
        **more,
    }
    lines = [f"{key}: {json.dumps(value)}" for key, value in keys.items()]
    site.configure("\n".join(["plugins: [drain, tests.parts.plugins]", "batch: 1", *lines]))
    for host in site.hosts:
        host.run(["rm", "-f", "order"])


def order(site: FleetSite) -> list[list[tuple[str, ...]]]:
    """What happened on each host: when, what, and the last digits of the release that was current."""
    texts = [host.run(["sh", "-c", "cat order || :"]).stdout for host in site.hosts]
    return [[tuple(line.split()) for line in text.splitlines()] for text in texts]


def words(site: FleetSite) -> list[str]:
    return [" ".join(line[1] for line in lines) for lines in order(site)]


def test_each_host_is_out_while_it_changes_and_in_before_the_next_is_out(site: FleetSite) -> None:
    configure(site)
    assert site.release(site.add("1")).returncode == 0
    configure(site)
    done = site.release(site.add("2"))
    assert done.returncode == 0, done.stderr
    assert words(site) == [f"out restart check in:web{number}" for number in (1, 2, 3)]
    times = [int(line[0]) for lines in order(site) for line in lines]
    assert times == sorted(times)
    assert all(lines[0][2] != lines[1][2] for lines in order(site)), "it is out before the swap"


def test_a_failing_gate_puts_hosts_back_in_on_the_old_release(site: FleetSite) -> None:
    configure(site)
    assert site.release(site.add("1")).returncode == 0
    configure(site, fail_at="checking", fail_on="web2")
    done = site.release(site.add("2"))
    assert done.returncode == 4, done.stderr
    assert site.versions() == ["1", "1", "1"]
    back = "out restart check in:web"
    assert words(site) == [f"{back}1 {back}1", f"out restart check {back}2", ""]


def test_a_host_that_was_out_when_the_controller_was_killed_comes_back_in(site: FleetSite) -> None:
    configure(site)
    assert site.release(site.add("1")).returncode == 0
    configure(site, drain_command=f"{NOTE.format('out')}; {HOLD}")
    kill_when(site, hold(site.hosts[1]), site.add("2"))
    assert words(site)[1] == "out"
    configure(site)
    done = site.run("rollback", "production")
    assert done.returncode == 0, done.stderr
    assert site.versions() == ["1", "1", "1"]
    assert words(site)[1] == "in:web2"
