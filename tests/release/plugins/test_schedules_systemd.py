"""The schedules of a role as timers, on a real `systemd --user` of a host."""

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.parts.fleet import Host, wait_until
from tests.parts.fleet_site import FleetSite, builds, site
from tests.parts.repository import ROOT
from tests.parts.systemd import Systemd
from tests.parts.systemd_site import HOME, configure, hosts, systemd

__all__ = ["builds", "hosts", "site", "systemd"]

pytestmark = pytest.mark.systemd

RUN = (ROOT / "fapbuild/installer/run").read_bytes()
UNITS = f"{HOME}/.config/systemd/user"
STATE = f"{HOME}/www/shop/.fap"
NIGHTLY = {"command": 'echo "$GREETING from $PWD" && ls app.py', "at": "0 3 * * *"}
UNIT = "shop-production-web-nightly"


@pytest.fixture(autouse=True)
def clean(systemd: Systemd, hosts: list[Host]) -> Iterator[None]:
    yield
    systemd.ctl("stop", "shop-*", "other-*", "shop.target")
    hosts[0].run(["sh", "-c", f"rm -rf {UNITS}"], check=True)
    systemd.ctl("daemon-reload")
    systemd.ctl("reset-failed")


def schedules(site: FleetSite, planned: dict[str, Any], **more: object) -> None:
    configure(site, schedules=planned, environment={"GREETING": "hello"}, processes={"web": 1}, **more)


def release(site: FleetSite, version: str, procfile: str = "web: exec sleep 1000\n", code: int = 0) -> str:
    files = {".fap/run": RUN, "Procfile": procfile.encode()}
    done = site.release(site.add(version, **files))
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def units(host: Host) -> list[str]:
    return sorted(host.run(["sh", "-c", f"cd {UNITS} && ls -d *production*"]).stdout.split())


def next_run(systemd: Systemd, unit: str = UNIT) -> str:
    return systemd.ctl("show", "--value", "-p", "NextElapseUSecRealtime", f"{unit}.timer").stdout.strip()


def rows(site: FleetSite) -> dict[str, dict[str, Any]]:
    """What status says of each schedule, by name."""
    done = site.run("status", "production", "--json")
    (host,) = map(json.loads, done.stdout.splitlines())
    return {row["name"]: row for row in host["schedules"]}


def test_timers_come_change_go_back_and_go_with_their_release(site: FleetSite, systemd: Systemd) -> None:
    host = site.hosts[0]
    weekly = {"command": "exit 3", "at": "@weekly"}
    schedules(site, {"nightly": NIGHTLY, "weekly": weekly})
    assert "sudo loginctl enable-linger deploy" in release(site, "1")
    both = [
        f"shop-production-web-{name}.{kind}"
        for name in ("nightly", "weekly")
        for kind in ("service", "timer")
    ]
    assert units(host) == both
    assert next_run(systemd).endswith("03:00:00 UTC")

    schedules(site, {"nightly": {**NIGHTLY, "at": "30 4 1 * mon"}}, timezone="Asia/Tokyo")
    changes = site.release(site.add("2"), "--dry-run").stdout.partition("schedules, which")[2]
    assert "    - OnCalendar=*-*-* 03:00:00 UTC\n" in changes
    assert (
        "    + OnCalendar=Mon *-*-* 04:30:00 Asia/Tokyo\n    + OnCalendar=*-*-01 04:30:00 Asia/Tokyo\n"
        in changes
    )
    assert "    - weekly 0 0 * * 0 UTC exit 3\n" in changes
    assert "AccuracySec" not in changes.partition("weekly.timer")[0]
    release(site, "2")
    assert units(host) == both[:2]
    assert next_run(systemd).endswith("19:30:00 UTC")
    assert rows(site)["nightly"]["next"].endswith("T19:30:00Z")

    assert site.run("rollback", "production").returncode == 0
    assert units(host) == both
    assert next_run(systemd).endswith("03:00:00 UTC")

    # A release that fails leaves them as they were.
    schedules(site, {"hourly": {"command": "true", "at": "@hourly"}})
    release(site, "3", procfile="web: exit 1\n", code=4)
    assert units(host) == both
    assert "is healthy" in site.run("doctor", "production").stdout

    schedules(site, {})
    release(site, "4")
    assert units(host) == []
    assert systemd.ctl("list-timers", "--all", "--no-legend", "shop*").stdout == ""
    assert rows(site) == {}


def test_runs_are_seen_and_can_be_started_by_hand(site: FleetSite, systemd: Systemd) -> None:
    host = site.hosts[0]
    schedules(site, {"nightly": NIGHTLY, "weekly": {"command": "exit 3", "at": "@weekly"}})
    release(site, "1")
    assert rows(site)["nightly"]["started"] == ""
    systemd.ctl("start", f"{UNIT}.service")
    systemd.ctl("start", "shop-production-web-weekly.service")
    seen = rows(site)
    assert (seen["nightly"]["code"], seen["weekly"]["code"]) == (0, 3)
    assert seen["nightly"]["ended"] >= seen["nightly"]["started"] > "2026"
    current = host.run(["readlink", "-f", "www/shop/current"]).stdout.strip()
    assert f"\nhello from {current}\napp.py\n" in site.run("logs", "production", "web").stdout
    by_hand = site.run("once", "--schedule", "nightly", "production", "web")
    assert (by_hand.returncode, by_hand.stdout) == (0, f"hello from {current}\napp.py\n")
    assert site.run("once", "--schedule", "weekly", "production", "web").returncode == 3
    unknown = site.run("once", "--schedule", "daily", "production", "web")
    assert unknown.returncode == 66
    assert "has no schedule daily; it has: nightly weekly" in unknown.stdout
    table = site.run("status", "production").stdout
    assert re.search(r"\nweb +web1 +weekly +0 0 \* \* 0 UTC +2\S+Z +3 +\S+ +2\S+T00:00:00Z\n", table)


def test_a_run_finishes_in_its_own_release_and_nothing_runs_beside_it(
    site: FleetSite, systemd: Systemd
) -> None:
    host = site.hosts[0]
    slow = {"command": "while [ ! -e ~/go ]; do sleep 0.1; done; cat app.py", "at": "@daily"}
    host.run(["rm", "-f", "go"])
    schedules(site, {"nightly": slow}, keep_releases=1)
    release(site, "1")
    systemd.ctl("start", "--no-block", f"{UNIT}.service")
    wait_until(lambda: rows(site)["nightly"]["running"] is True, "it runs", 10)
    assert "runs" in site.run("status", "production").stdout
    beside = site.run("once", "--schedule", "nightly", "production", "web")
    assert (beside.returncode, "its last run still goes on" in beside.stdout) == (75, True)
    for version in ("2", "3"):
        release(site, version)
    assert rows(site)["nightly"]["running"] is True
    host.run(["touch", "go"])
    wait_until(lambda: rows(site)["nightly"]["code"] == 0, "it ends", 10)
    assert "VERSION = '1'" in site.run("logs", "production", "web").stdout
    assert rows(site)["nightly"]["running"] is False
    # Also when the schedule leaves deploy.yml meanwhile.
    host.run(["rm", "-f", "go"])
    systemd.ctl("start", "--no-block", f"{UNIT}.service")
    wait_until(lambda: rows(site)["nightly"]["running"] is True, "it runs", 10)
    schedules(site, {}, keep_releases=1)
    release(site, "4")
    host.run(["touch", "go"])
    log = ["tail", "-n", "3", f"{STATE}/schedules/nightly.log"]
    ended = re.compile(r"VERSION = '3'\n== \S+ exit code 0\n\Z")
    wait_until(lambda: ended.search(host.run(log).stdout) is not None, "it ends", 10)
    # One that was killed has no exit code.
    schedules(site, {"nightly": slow})
    release(site, "5")
    host.run(["rm", "-f", "go"])
    systemd.ctl("start", "--no-block", f"{UNIT}.service")
    wait_until(lambda: rows(site)["nightly"]["running"] is True, "it runs", 10)
    systemd.ctl("kill", "--signal", "KILL", f"{UNIT}.service")
    wait_until(lambda: rows(site)["nightly"]["running"] is False, "it was killed", 10)
    assert rows(site)["nightly"]["code"] is None
    assert "unknown" in site.run("status", "production").stdout


def test_units_of_others_are_left_alone(site: FleetSite, systemd: Systemd) -> None:
    host = site.hosts[0]
    schedules(site, {"nightly": NIGHTLY})
    release(site, "1")
    mine = host.run(["cat", f"{UNITS}/{UNIT}.timer"]).stdout
    # The same names from another folder: another app, or a stage and a role with other dashes.
    schedules(site, {"nightly": NIGHTLY}, path=f"{HOME}/www/second", systemd_unit="second.service")
    refused = release(site, "2", code=1)
    assert f"{UNITS}/{UNIT}.service is not from `schedules` of this app and role" in refused
    assert host.run(["cat", f"{UNITS}/{UNIT}.timer"]).stdout == mine
    schedules(site, {"other": NIGHTLY}, path=f"{HOME}/www/second", systemd_unit="second.service")
    release(site, "2")
    schedules(site, {}, path=f"{HOME}/www/second", systemd_unit="second.service")
    release(site, "3")
    assert units(host) == [f"{UNIT}.service", f"{UNIT}.timer"]
    assert systemd.ctl("is-active", f"{UNIT}.timer").stdout == "active\n"


def test_timers_that_were_damaged_are_seen_and_set_again(site: FleetSite, systemd: Systemd) -> None:
    """As by a run that was killed between writing and enabling, or by hand."""
    host = site.hosts[0]
    schedules(site, {"nightly": NIGHTLY})
    url = site.add("1", **{".fap/run": RUN, "Procfile": b"web: exec sleep 1000\n"})
    digest = hashlib.sha256(site.builds.bodies["/1.tgz"][0]).hexdigest()
    assert "is live on all hosts" in site.release(url, "--curl-sha256", digest).stderr
    assert "nothing to do" in site.release(url, "--curl-sha256", digest).stderr
    ctl = f"XDG_RUNTIME_DIR={systemd.runtime} systemctl --user"
    timer, service = f"{UNIT}.timer", f"{UNIT}.service"
    for damage, said in {
        f"{ctl} disable --now {timer}": f"{timer} does not wait for its time (inactive, disabled)",
        f"{ctl} disable {timer}": f"{timer} does not wait for its time (active, disabled)",
        f"rm {UNITS}/{service}": f"{service} is not as the release has it",
        f"echo x >>{UNITS}/{timer}": f"{timer} is not as the release has it",
        f"cp {UNITS}/{timer} {UNITS}/shop-old-production.timer": "shop-old-production.timer is still there",
    }.items():
        host.run(["sh", "-c", damage], check=True)
        status = site.run("status", "production")
        assert status.returncode == 3
        assert said in status.stderr
        assert "is live on all hosts" in site.release(url, "--curl-sha256", digest).stderr
        assert site.run("status", "production").returncode == 0
        assert systemd.ctl("is-enabled", timer).stdout == "enabled\n"
    assert units(host) == [service, timer]


def test_a_role_may_have_schedules_alone(site: FleetSite, systemd: Systemd) -> None:
    configure(site, schedules={"nightly": NIGHTLY}, processes={"web": 0})
    release(site, "1")
    assert rows(site)["nightly"]["started"] == ""
    systemd.ctl("start", f"{UNIT}.service")
    assert rows(site)["nightly"]["code"] == 0
    assert site.run("restart", "production").returncode == 0


def test_the_line_for_sudoers_allows_all_that_the_systems_timers_need(
    site: FleetSite, systemd: Systemd
) -> None:
    host, enter = site.hosts[0], ("nsenter", "--target", str(site.hosts[0].pid), "--mount", "--")
    host.run(["mkdir", "-p", "etc", "bin"], check=True)
    # There is no system manager here: the user's takes its place, which reads a folder in /etc, too.
    for folder in ("system", "user"):
        mount = ["mount", "--bind", f"{HOME}/etc", f"/etc/systemd/{folder}"]
        subprocess.run([*enter, *mount], check=True)
    sudo = """\
echo "$*" >>~/sudo.log
shift
case $* in
  "-l "*nightly*) exit "$(cat ~/refused)" ;;
  "-l "*) exit 0 ;;
esac
exec "$@"
"""
    systemctl = f'XDG_RUNTIME_DIR={systemd.runtime} exec /usr/bin/systemctl --user "$@"\n'
    for name, script in {"systemctl": systemctl, "sudo": sudo}.items():
        host.run(["sh", "-c", f"cat >bin/{name}; chmod +x bin/{name}"], stdin=f"#!/bin/sh\n{script}")
    keys: dict[str, Any] = {"systemd_user": False, "processes": {"web": 0}, "systemd_check_status": False}
    try:
        host.run(["sh", "-c", "echo 1 >refused"], check=True)
        configure(site, schedules={"nightly": NIGHTLY}, **keys)
        (line,) = (each for each in release(site, "1", code=1).splitlines() if "NOPASSWD" in each)
        allowed = {each.rpartition("bin/")[2] for each in line.partition("NOPASSWD: ")[2].split(", ")}
        host.run(["sh", "-c", "echo 0 >refused; rm sudo.log"], check=True)
        release(site, "2")
        assert "\nUser=deploy\n" in host.run(["cat", f"etc/{UNIT}.service"]).stdout
        assert systemd.ctl("is-active", f"{UNIT}.timer").stdout == "active\n"
        configure(site, schedules={}, **keys)
        release(site, "3")
        assert host.run(["ls", "etc"]).stdout == "shop.target\n"
        asked = host.run(["grep", "-v", "^-n -l", "sudo.log"]).stdout.splitlines()
        needed = {each.removeprefix("-n ") for each in asked if "shop.target" not in each}
        assert needed == allowed
    finally:
        subprocess.run([*enter, "umount", "/etc/systemd/system", "/etc/systemd/user"], check=True)
        host.run(["sh", "-c", "rm -rf bin etc sudo.log refused"], check=True)
