"""The schedules of a role as lines of the user's crontab, with a real cron on the first of two hosts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parts.cron import cron_on, crontab_of
from tests.parts.fleet import Host, fleet, wait_until
from tests.parts.fleet_site import FleetSite, builds, site
from tests.parts.repository import ROOT

__all__ = ["builds", "site"]

pytestmark = pytest.mark.fleet

RUN = (ROOT / "fapbuild/installer/run").read_bytes()
BEGIN = "# From `schedules` of deploy.yml, for /home/deploy/www/shop"
END = BEGIN.replace("From", "End of")
NIGHTLY = {"command": 'echo "100 % $GREETING" && basename "$PWD"', "at": "0 3 * * mon-fri"}
LINE = "0 3 * * mon-fri cd /home/deploy/www/shop/current && exec /bin/sh .fap/schedules/run nightly log"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    with fleet(tmp_path_factory.mktemp("fleet"), 2) as started, cron_on(started[0]), cron_on(started[1]):
        yield started


@pytest.fixture(autouse=True)
def clean(hosts: list[Host]) -> Iterator[None]:
    yield
    for host in hosts:
        host.run(["crontab", "-r"])


def schedules(site: FleetSite, planned: dict[str, Any], **more: object) -> None:
    keys = {"schedules": planned, "environment": {"GREETING": "hello"}, **more}
    site.configure("\n".join(f"{key}: {json.dumps(value)}" for key, value in keys.items()))


def release(site: FleetSite, version: str, *words: str, code: int = 0) -> str:
    files = {".fap/run": RUN, "install.sh": b"chmod +x .fap/run\n"}
    done = site.release(site.add(version, **files), *words)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def rows(site: FleetSite) -> dict[str, dict[str, Any]]:
    """What status says of each schedule, by name."""
    done = site.run("status", "production", "--json")
    hosts = map(json.loads, done.stdout.splitlines())
    return {row["name"]: row for host in hosts for row in host["schedules"]}


def test_lines_come_change_go_back_and_go_and_others_stay(site: FleetSite) -> None:
    one, two = site.hosts
    schedules(site, {})
    release(site, "0")
    by_hand = site.run("once", "--schedule", "nightly", "production", "web")
    assert (by_hand.returncode, by_hand.stdout) == (66, "this release has no schedules\n")
    others = ["# mine", "MAILTO=ada", "*/5 * * * * date +\\%s >/dev/null"]
    one.run(["crontab", "-"], stdin="\n".join([*others, ""]), check=True)
    schedules(site, {"nightly": NIGHTLY})
    release(site, "1")
    assert crontab_of(one) == [*others, BEGIN, LINE, END]
    assert crontab_of(two) == []
    assert site.run("rollback", "production").returncode == 0
    assert crontab_of(one) == others
    release(site, "1")
    more = "0 4 * * * true"
    one.run(["crontab", "-"], stdin="\n".join([*crontab_of(one), more, ""]), check=True)

    schedules(
        site, {"nightly": {**NIGHTLY, "at": "@hourly"}, "b": {"command": "true", "at": "1 2 3 apr,jun-aug *"}}
    )
    changes = site.release(site.add("2"), "--dry-run").stdout
    assert changes.count("schedules, which only this host of the role runs") == 1
    assert f"    - {LINE}\n" in changes
    release(site, "2")
    assert crontab_of(one) == [
        *others,
        BEGIN,
        LINE.replace("0 3 * * mon-fri", "0 * * * *"),
        LINE.replace("0 3 * * mon-fri", "1 2 3 apr,jun-aug *").replace("nightly", "b"),
        END,
        more,
    ]
    assert site.run("rollback", "production").returncode == 0
    assert crontab_of(one) == [*others, BEGIN, LINE, END, more]

    # Another host runs them now.
    schedules(site, {"nightly": NIGHTLY}, schedules_host="web2")
    release(site, "3")
    assert crontab_of(one) == [*others, more]
    assert crontab_of(two) == [BEGIN, LINE, END]
    assert "for the logs of schedules: --on web2" in site.run("logs", "production", "web").stderr
    # A host that is released alone does not become the first.
    schedules(site, {"nightly": NIGHTLY})
    release(site, "4", "--hosts", "web2")
    assert (crontab_of(one), crontab_of(two)) == ([*others, more], [])
    release(site, "4")
    assert crontab_of(one) == [*others, more, BEGIN, LINE, END]

    schedules(site, {})
    release(site, "5")
    assert crontab_of(one) == [*others, more]


def test_cron_runs_them_and_they_are_seen(site: FleetSite) -> None:
    schedules(site, {"often": {**NIGHTLY, "at": "* * * * *"}})
    release(site, "1")
    wait_until(lambda: rows(site)["often"]["code"] == 0, "cron runs it", 135)
    current = Path(site.hosts[0].run(["readlink", "-f", "www/shop/current"]).stdout.strip()).name
    shown = site.run("logs", "production", "web").stdout
    assert f"often of release {current}\n100 % hello\n{current}\n== " in shown
    assert rows(site)["often"]["release"] == current
    following = site.start("logs", "--follow", "production", "web")
    try:
        assert following.stdout is not None
        site.hosts[0].run(["sh", "-c", "cd www/shop/current && sh .fap/schedules/run often log"], check=True)
        seen = [following.stdout.readline() for _ in range(8)]
        assert seen.count("100 % hello\n") == 2
    finally:
        following.terminate()
        following.communicate()
    assert site.run("once", "--schedule", "often", "production", "web").stdout == f"100 % hello\n{current}\n"


def test_two_apps_of_a_user_share_a_crontab(site: FleetSite) -> None:
    host, other = site.hosts[0], "/home/deploy/www/shop-2"
    # The time between reading and writing, in which another program could write.
    slow = '#!/bin/sh\n[ "$1" = -l ] || sleep 1\nexec /usr/bin/crontab "$@"\n'
    host.run(["sh", "-c", "mkdir -p bin && cat >bin/crontab && chmod +x bin/crontab"], stdin=slow, check=True)
    schedules(site, {"nightly": NIGHTLY})
    words = ("release", "--curl-url", site.add("1", **{".fap/run": RUN}), "production")
    try:
        runs = [site.start(*words), site.start(*words, "--path", other)]
        for run in runs:
            assert "is live on all hosts" in run.communicate(timeout=60)[1]
    finally:
        host.run(["rm", "-r", "bin"])
    lines = [LINE.replace("shop", "shop-2"), f"{END}-2"]
    assert sorted(crontab_of(host)) == sorted([BEGIN, LINE, END, f"{BEGIN}-2", *lines])
    schedules(site, {})
    release(site, "3")
    assert crontab_of(host) == [f"{BEGIN}-2", *lines]


def test_a_first_release_that_fails_leaves_no_line(site: FleetSite) -> None:
    (site.folder / "refuse.py").write_text(
        "from faprelease.plugin import hookimpl, command\n"
        "@hookimpl\ndef deploy_checking(context):\n    return [command('refuse', 'false')]\n"
    )
    schedules(site, {"nightly": NIGHTLY}, plugins=["refuse"])
    assert site.run("trust").returncode == 0
    release(site, "1", code=4)
    assert crontab_of(site.hosts[0]) == []


def test_what_a_host_can_not_do_is_refused_before_anything_changes(site: FleetSite) -> None:
    host = site.hosts[0]
    schedules(site, {"nightly": NIGHTLY}, timezone="Europe/Berlin")
    refused = release(site, "1", code=1)
    assert "cron knows only the time zone of its host, which is " in refused
    assert "in deploy.yml: timezone: " in refused
    schedules(site, {"nightly": NIGHTLY})
    begun = f"{BEGIN}\n0 3 * * * true\n"
    host.run(["crontab", "-"], stdin=begun, check=True)
    assert f"add it with crontab -e:\n  {END}\n" in release(site, "1", code=1)
    assert crontab_of(host) == begun.splitlines()
    host.run(["crontab", "-r"], check=True)
    host.run(
        ["sh", "-c", "mkdir -p bin && printf '#!/bin/sh\\nexit 1\\n' >bin/crontab && chmod +x bin/crontab"]
    )
    try:
        assert "crontab -l: " in release(site, "1", code=1)
    finally:
        host.run(["rm", "-r", "bin"])
    assert site.versions() == ["", ""]


@pytest.mark.parametrize("signal", ["published", "checking"])
def test_what_a_killed_controller_left_is_put_right_by_the_next_run(site: FleetSite, signal: str) -> None:
    """Before the lines were set, and after it."""
    host = site.hosts[0]
    schedules(site, {"nightly": NIGHTLY})
    release(site, "1")
    (site.folder / "wait.py").write_text(
        "import os\nfrom faprelease.plugin import hookimpl, command\n"
        f"@hookimpl\ndef deploy_{signal}(context):\n"
        "    return [command('wait', 'sh', '-c', 'if mkdir ~/waits; then sleep 60; fi')]\n"
    )
    schedules(site, {"hourly": {**NIGHTLY, "at": "@hourly"}}, plugins=["wait"])
    assert site.run("trust").returncode == 0
    files = {".fap/run": RUN, "install.sh": b"chmod +x .fap/run\n"}
    run = site.start("release", "--curl-url", site.add("2", **files), "production")
    try:
        wait_until(host.path("/home/deploy/waits").exists, "it waits", 20)
        run.kill()
        run.communicate()
        is_set = "hourly" in "".join(crontab_of(host))
        assert is_set == (signal == "checking")
        wait_until(lambda: not site.locked(), "the lock goes with its controller", 80)
        schedules(site, {})
        release(site, "3")
        assert crontab_of(host) == []
        assert site.versions() == ["3", "3"]
    finally:
        for each in site.hosts:
            each.run(["rm", "-rf", "waits"])
