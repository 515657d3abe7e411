"""Batches on real hosts: failures in each, and the controller killed at every point between them."""

import json
import signal
import time
from datetime import datetime

import pytest

from artifact_store.blobs.open import make_store
from artifact_store.records.releases import ReleaseRecord
from artifact_store.store.store import open_store
from tests.parts.fleet import Host, wait_until
from tests.parts.fleet_site import FleetSite, builds, hosts, site
from tests.parts.held_release import HOLD, hold, kill_when

__all__ = ["builds", "hosts", "site"]
pytestmark = pytest.mark.fleet


def configure(site: FleetSite, more: str = "", **values: str) -> None:
    lines = [f"{key}: {json.dumps(value)}" for key, value in values.items()]
    site.configure("\n".join(["plugins: [tests.parts.plugins]", "batch: 1", *lines, more]))


def states(site: FleetSite, host: Host) -> dict[str, str]:
    """What the records of a host say, by version."""
    found = {}
    for record in host.path("/home/deploy/www/shop/.fap/releases").glob("*.jsonl"):
        facts = record.with_suffix(".artifact.json")
        version = json.loads(facts.read_text())["version"] if facts.exists() else "?"
        found[version] = json.loads(record.read_text().splitlines()[-1])["state"]
    return found


def recorded(site: FleetSite) -> list[tuple[str, str, dict[str, str]]]:
    """What the store says of the site's runs, in order: what was done, how it ended, and on each host."""
    records = sorted(
        open_store(f"file://{site.folder}/store").records.releases("shop", "production"), key=_at
    )
    return [(r.action, r.outcome, {host.host: host.outcome for host in r.hosts}) for r in records]


def _at(record: ReleaseRecord) -> tuple[datetime, str]:
    return record.at, record.release


@pytest.mark.parametrize("failing", ["web1", "web2", "web3"])
def test_a_batch_that_fails_takes_back_those_before_it(site: FleetSite, failing: str) -> None:
    assert site.release(site.add("1")).returncode == 0
    configure(site, fail_at="checking", fail_on=failing, published_script="cd; date +%N >>restarts")
    done = site.release(site.add("2"))
    assert done.returncode == 4, done.stderr
    assert site.versions() == ["1", "1", "1"]
    restarts = [host.run(["wc", "-l", "restarts"]).stdout.split()[:1] for host in site.hosts]
    touched = int(failing[-1])
    assert restarts == [["2"]] * touched + [[]] * (3 - touched)
    assert [states(site, host) for host in site.hosts] == [
        {"1": "live", "2": "bad" if number <= touched else "failed"} for number in (1, 2, 3)
    ]
    for host in site.hosts:
        host.run(["rm", "-f", "restarts"])
    assert not site.locked()


def test_a_failed_batch_can_be_kept(site: FleetSite) -> None:
    assert site.release(site.add("1")).returncode == 0
    make_store(f"file://{site.folder}/store")
    configure(site, fail_at="checking", fail_on="web2", store=f"file://{site.folder}/store")
    done = site.release(site.add("2"), "--on-failure", "keep")
    assert recorded(site) == [("release", "partly", {"web1": "healthy", "web2": "unknown", "web3": "failed"})]
    assert done.returncode == 3, done.stderr
    assert "new, healthy: web1 (web); new, failed: web2 (web); old: web3 (web)" in done.stderr
    assert site.versions() == ["2", "2", "1"]
    configure(site)
    done = site.release(site.add("3"))
    assert done.returncode == 0, done.stderr
    assert "cut off" not in done.stderr
    assert site.versions() == ["3", "3", "3"]
    assert states(site, site.hosts[1])["2"] == "ready"


def test_ctrl_c_between_batches_goes_back(site: FleetSite) -> None:
    assert site.release(site.add("1")).returncode == 0
    configure(site, "batch_wait: 60", published_script="cd; touch held")
    held = site.hosts[0].path("/home/deploy/held")
    held.unlink(missing_ok=True)
    process = site.start("release", "--curl-url", site.add("2"), "production")
    wait_until(held.exists, "the first batch is published", 20)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert site.versions() == ["1", "1", "1"]


@pytest.mark.parametrize(
    ("script", "number", "batch", "between"),
    [
        ("published_script", 0, "1", ["2", "1", "1"]),
        ("published_script", 1, "[1, 100%]", ["2", "2", "2"]),
        ("checking_script", 2, "100%", ["2", "2", "2"]),
    ],
)
def test_a_kill_while_publishing_is_taken_back(
    site: FleetSite, script: str, number: int, batch: str, between: list[str]
) -> None:
    assert site.release(site.add("1")).returncode == 0
    configure(site, **{script: HOLD})
    text = (site.folder / "deploy.yml").read_text().replace("batch: 1", f"batch: {batch}")
    (site.folder / "deploy.yml").write_text(text)
    kill_when(site, hold(site.hosts[number]), site.add("2"))
    assert site.versions() == between
    plan = site.run("rollback", "--dry-run", "production")
    assert plan.returncode == 0, plan.stderr
    assert "an earlier run did not finish" in plan.stderr
    assert site.versions() == between
    half = site.run("rollback", "--hosts", "web1", "production")
    assert half.returncode == 1, half.stderr
    assert "also on web2 (web), web3 (web)" in half.stderr
    done = site.run("rollback", "production")
    assert done.returncode == 0, done.stderr
    assert "undo the unfinished release" in done.stderr
    assert site.versions() == ["1", "1", "1"]
    assert all(states(site, host)["2"] in ("bad", "failed") for host in site.hosts)
    assert site.release(site.add("3")).returncode == 0
    assert site.versions() == ["3", "3", "3"]


def test_a_kill_between_batches_is_taken_back_by_the_next_release(site: FleetSite) -> None:
    assert site.release(site.add("1")).returncode == 0
    configure(site, "batch_wait: 60", published_script="cd; touch held")
    held = site.hosts[0].path("/home/deploy/held")
    held.unlink(missing_ok=True)
    kill_when(site, held, site.add("2"))
    assert site.versions() == ["2", "1", "1"]
    make_store(f"file://{site.folder}/store")
    configure(site, store=f"file://{site.folder}/store")
    done = site.release(site.add("3"))
    assert done.returncode == 0, done.stderr
    assert recorded(site) == [
        ("release", "undone", {"web1": "undone", "web2": "failed", "web3": "failed"}),
        ("release", "healthy", {"web1": "healthy", "web2": "healthy", "web3": "healthy"}),
    ]
    assert "undo the unfinished release" in done.stderr
    assert site.versions() == ["3", "3", "3"]
    assert site.run("rollback", "production").returncode == 0
    assert site.versions() == ["1", "1", "1"]


def test_a_kill_while_finishing_is_finished(site: FleetSite) -> None:
    assert site.release(site.add("1")).returncode == 0
    configure(site, finishing_script=HOLD)
    kill_when(site, hold(site.hosts[1]), site.add("2"))
    assert site.versions() == ["2", "2", "2"]
    done = site.release(site.add("3"))
    assert done.returncode == 0, done.stderr
    assert [states(site, host)["2"] for host in site.hosts] == ["retired"] * 3
    assert site.run("rollback", "production").returncode == 0
    assert site.versions() == ["2", "2", "2"]


def test_a_kill_while_going_back_is_gone_back(site: FleetSite) -> None:
    assert site.release(site.add("1")).returncode == 0
    # The first batch is the last one to go back: by then the failure is known.
    script = (
        'cd; case $(readlink www/shop/current) in *"$(ls www/shop/releases | head -1)") ' + HOLD + ";; esac"
    )
    configure(site, fail_at="checking", fail_on="web3", published_script=script)
    kill_when(site, hold(site.hosts[0]), site.add("2"))
    assert site.versions() == ["1", "1", "1"]
    done = site.run("rollback", "production")
    assert done.returncode == 0, done.stderr
    assert site.versions() == ["1", "1", "1"]
    assert [states(site, host)["2"] for host in site.hosts] == ["bad"] * 3


def test_a_kill_while_fetching_ends_the_downloads_too(site: FleetSite) -> None:
    assert site.release(site.add("1")).returncode == 0
    site.builds.bodies["/slow.tgz"], site.builds.pause = [bytes(1 << 20)], 2
    process = site.start("release", "--curl-url", f"{site.builds.url}/slow.tgz", "production")
    wait_until(lambda: all(map(downloads, site.hosts)), "all hosts fetch", 20)
    time.sleep(1.2)  # a download that takes a second says so, and finds that nobody listens
    process.kill()
    process.communicate()
    wait_until(lambda: not any(map(downloads, site.hosts)), "the downloads end", 15)
    wait_until(lambda: not site.locked(), "the locks go with their controller", 15)
    site.builds.pause = 0
    assert site.release(site.add("2")).returncode == 0
    assert site.versions() == ["2", "2", "2"]


def downloads(host: Host) -> list[str]:
    return host.run(["sh", "-c", "grep -lx curl /proc/[0-9]*/comm"]).stdout.split()
