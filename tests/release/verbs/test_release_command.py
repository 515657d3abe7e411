"""release_command: once, on one host, when all are ready and before any is published."""

import json
import re
import signal
from pathlib import Path

import pytest

from faprelease.errors import FapError, ReleaseFailedError, RolledBackError
from tests.parts.fleet import wait_until
from tests.parts.fleet_site import FleetSite, builds, hosts, site
from tests.parts.site import Site, artifact

__all__ = ["builds", "hosts", "site"]
pytestmark = pytest.mark.fleet

VENV = b"""\
#!/bin/sh
set -eu
mkdir -p venv/bin
printf '#!/bin/sh\npwd -P\n' >venv/bin/where
chmod +x venv/bin/where
"""


def configure(site: FleetSite, command: str, more: str = "") -> None:
    site.configure(f"release_command: {json.dumps(command)}\n{more}")


def ran(site: FleetSite) -> list[str]:
    """What the command wrote on each host."""
    return [host.run(["sh", "-c", "cat www/migrated 2>/dev/null"]).stdout for host in site.hosts]


def releases(site: FleetSite) -> list[int]:
    return [len(host.run(["sh", "-c", "ls www/shop/releases"]).stdout.splitlines()) for host in site.hosts]


def test_it_runs_once_in_the_new_release_before_any_host_is_published(site: FleetSite) -> None:
    more = 'environment: {TOKEN: "s3cret \' word", SMALL: "1"}\nbatch: 1'
    configure(
        site,
        'readlink ../../current >>~/www/migrated; { where; echo "$TOKEN"; id -un; } >>~/www/migrated',
        more,
    )
    url = site.add("1", install_sh=VENV)
    plan = site.release(url, "--dry-run", "-v")
    assert plan.stdout.count("\n# release command\nfap_phase() {") == 1, plan.stdout
    done = site.release(url)
    assert done.returncode == 0, done.stderr
    first, *others = ran(site)
    assert re.fullmatch(r"/home/deploy/www/shop/releases/\d{6}-\d{6}\ns3cret ' word\ndeploy\n", first)
    assert others == ["", ""]
    done = site.release(site.add("2", install_sh=VENV))
    assert done.returncode == 0, done.stderr
    assert ran(site)[0].count("s3cret") == 2
    assert site.run("rollback", "production").stderr.count("only the code is rolled back") == 1
    assert ran(site)[0].count("s3cret") == 2


def test_its_failure_leaves_everything_as_it_was(site: FleetSite) -> None:
    assert site.release(site.add("1")).returncode == 0
    configure(site, 'echo "the column exists; token $TOKEN"; exit 7', "environment: {TOKEN: s3cret-word}")
    done = site.release(site.add("2"))
    assert done.returncode == 1, done.stderr
    assert "web1 (web), release command: run release_command" in done.stderr
    assert "exit 7" in done.stderr
    assert "the column exists; token ***" in done.stderr
    assert "s3cret-word" not in done.stderr
    assert site.versions() == ["1", "1", "1"]
    assert releases(site) == [1, 1, 1]
    assert not site.locked()
    configure(site, "true")
    done = site.release(site.add("2"))
    assert done.returncode == 0, done.stderr
    assert site.versions() == ["2", "2", "2"]


def test_after_a_kill_only_rerun_runs_it_again(site: FleetSite) -> None:
    assert site.release(site.add("1")).returncode == 0
    configure(site, "cd; touch held; sleep 3377", "batch: 1")
    held = site.hosts[0].path("/home/deploy/held")
    held.unlink(missing_ok=True)
    url = site.add("2")
    process = site.start("release", "--curl-url", url, "production")
    wait_until(held.exists, "the command runs", 20)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not site.locked(), "the locks go with their controller", 15)
    assert site.versions() == ["1", "1", "1"]
    configure(site, "true")
    refused = site.release(url)
    assert refused.returncode == 1, refused.stderr
    assert "it is unknown whether release_command of" in refused.stderr
    assert "faprelease --rerun production" in refused.stderr
    done = site.release(url, "--rerun")
    assert done.returncode == 0, done.stderr
    assert "warning: it is not known how the last release_command ended" in done.stderr
    assert site.versions() == ["2", "2", "2"]
    done = site.release(site.add("3"))
    assert done.returncode == 0, done.stderr
    assert "it is unknown" not in done.stderr


@pytest.fixture
def local(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_what_another_artifact_left_open_is_no_obstacle(local: Site) -> None:
    local.configure("release_command: sleep 60\nrelease_command_seconds: 1")
    url = artifact(local.folder / "1", "1")
    with pytest.raises(ReleaseFailedError, match="stopped after 1 s"):
        local.release(url)
    assert local.current() == ""
    with pytest.raises(FapError, match="it is unknown whether release_command"):
        local.release(url)
    local.configure("release_command: 'true'")
    digest = "0" * 64
    with pytest.raises(FapError, match="expected 0000"):
        local.release(artifact(local.folder / "2", "2"), curl_sha256=digest)


def test_a_release_that_goes_back_says_what_stays(local: Site) -> None:
    local.configure()
    first = local.release(artifact(local.folder / "1", "1"))
    local.configure(
        "release_command: 'true'\nplugins: [tests.parts.plugins]\nfail_at: checking\nfail_on: localhost"
    )
    with pytest.raises(RolledBackError, match="only the code is rolled back: what release_command did"):
        local.release(artifact(local.folder / "2", "2"))
    assert local.current() == first


def test_the_artifacts_own_runner_runs_it(local: Site) -> None:
    local.configure("release_command: echo $RUNNER >ran")
    runner = b'#!/bin/sh\n[ "$1" = -- ] && shift\nRUNNER=fap exec "$@"\n'
    files = {".fap/run": runner, "install.sh": b"#!/bin/sh\nchmod +x .fap/run\n"}
    local.release(artifact(local.folder / "1", "1", files))
    assert (local.path / "current/ran").read_text() == "fap\n"


def test_roles_that_name_different_ones_are_refused(site: FleetSite) -> None:
    site.configure(
        roles="    web: {hosts: [web1], release_command: a}\n"
        "    worker: {hosts: [web2], release_command: b}\n"
    )
    done = site.release(site.add("1"))
    assert done.returncode == 2, done.stderr
    assert "web and worker have different commands" in done.stderr
