"""New and lagging hosts are brought to what the others run, and only they are touched."""

from hashlib import sha256

import pytest

from artifact_store.core.actor import Actor
from artifact_store.store.store import open_store
from artifact_store.trust.rules import NO_RULES
from faprelease.hosts.state import Unpacked
from faprelease.verbs.sync import what_the_hosts_run
from tests.parts.fleet_site import FleetSite, builds, hosts, site
from tests.parts.host_states import A, B, host_state, release
from tests.parts.host_states import hosts as planned_hosts
from tests.parts.site import INSTALL
from tests.parts.tgz import tgz

__all__ = ["builds", "hosts", "site"]
pytestmark = pytest.mark.fleet


def test_what_is_live_wherever_anything_is_is_what_the_stage_runs() -> None:
    on_1, on_2 = (host_state(release(name, v, "live"), current=name) for name, v in ((A, "1"), (B, "2")))
    kept = host_state(release(A, "1"), release(B, "2", "ready"), current=B)
    assert what_the_hosts_run(planned_hosts(on_1, on_1, host_state(), kept)) == Unpacked(
        digest="d1", version="1"
    )
    assert what_the_hosts_run(planned_hosts(on_1, on_2)) is None
    assert what_the_hosts_run(planned_hosts(host_state(), kept)) is None


def test_lagging_and_new_hosts_follow_and_the_others_stay(site: FleetSite) -> None:
    site.configure("plugins: [tests.parts.plugins]\npublished_script: cd; date >>restarts")
    url = site.add("1")
    assert site.release(url, "--hosts", "web1,web2").returncode == 0
    assert site.run("status", "production").returncode == 3
    refused = site.run("sync", "production")
    assert refused.returncode == 2, refused.stderr
    digest = sha256(site.builds.bodies["/1.tgz"][0]).hexdigest()
    assert f"version 1, sha256 {digest}" in refused.stderr
    site.add("2")
    wrong = site.run("sync", "--curl-url", f"{site.builds.url}/2.tgz", "production")
    assert wrong.returncode == 6, wrong.stderr
    assert site.versions() == ["1", "1", ""]
    done = site.run("sync", "--curl-url", url, "production")
    assert done.returncode == 0, done.stderr
    assert site.versions() == ["1", "1", "1"]
    assert site.run("status", "production").returncode == 0
    again = site.run("sync", "--curl-url", url, "production")
    assert "nothing to do: all hosts run 1" in again.stderr
    assert "nothing to do: all hosts run 1" in site.run("sync", "production").stderr
    counts = [host.run(["wc", "-l", "restarts"]).stdout.split()[0] for host in site.hosts]
    assert counts == ["1", "1", "1"]
    for host in site.hosts:
        host.run(["rm", "-f", "restarts"])


def test_what_was_promoted_but_is_only_on_some_hosts_gets_to_the_rest(site: FleetSite) -> None:
    folder = site.folder / "store"
    store = open_store(f"file://{folder}", NO_RULES)
    site.configure(f"store: {site.builds.url}/store")

    def push(version: str) -> None:
        files = {"app.py": f"VERSION = {version!r}\n".encode(), "install.sh": INSTALL}
        store.artifacts.publish(tgz(site.folder, version=version, files=files, wheels={}), by=Actor("ci"))
        store.stages.promote("shop", version, "production", by=Actor("ann"))
        for path in folder.rglob("*"):
            if path.is_file():
                site.builds.bodies[f"/store/{path.relative_to(folder)}"] = [path.read_bytes()]

    def run(*words: str) -> None:
        done = site.run(*words, "production")
        assert done.returncode == 0, done.stderr

    push("1")
    run("release", "--hosts", "web1,web2")
    push("2")
    run("sync")
    assert site.versions() == ["1", "1", "1"], "a new host gets what the others run, not what comes next"
    run("release", "--hosts", "web2")
    assert site.versions() == ["1", "2", "1"]
    released_to = site.hosts[1].path("/home/deploy/www/shop/current").readlink()
    run("sync")
    assert site.versions() == ["2", "2", "2"], "they differ, so the stage's log says what they should run"
    assert site.hosts[1].path("/home/deploy/www/shop/current").readlink() == released_to
