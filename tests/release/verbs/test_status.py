"""status, releases and history: what real hosts say, and what is made of it."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from faprelease.cli.status import duration, releases_table
from faprelease.hosts.state import CommandRun, Freeze, Record, Rollout
from faprelease.views import history
from faprelease.views.status import alike, kept_releases, parse_processes, parse_schedules, statuses
from tests.parts.fleet_site import FleetSite, builds, hosts, site
from tests.parts.host_states import A, B, C, D, host_state, release
from tests.parts.host_states import hosts as planned_hosts

__all__ = ["builds", "hosts", "site"]
pytestmark = pytest.mark.fleet


def drifts(*states: object) -> list[tuple[str, ...]]:
    found = [(host.target, host.state) for host in planned_hosts(*states)]  # type: ignore[arg-type]
    return [row.drift for row in statuses(found, {}, {}, [])]


def test_what_differs_is_told_where_it_differs() -> None:
    one = host_state(release(A, "1"), release(B, "2", "live", A), current=B)
    same = host_state(release(C, "1"), release(D, "2", "live", C), current=D)
    old = host_state(release(A, "1", "live"), current=A)
    unborn = host_state(release(A, "1"), release(B, "2", "ready", A), current=B)
    foreign = host_state(link="releases/20260101")
    assert drifts(one, same) == [(), ()]
    assert drifts(one, same, old) == [(), (), ("runs another artifact than the other hosts, which run 2",)]
    assert drifts(host_state(), host_state()) == [(), ()]
    assert drifts(one, host_state()) == [(), ("no release is live here",)]
    assert drifts(one, unborn) == [(), (f"{B} is current, but its state is ready, not live",)]
    assert drifts(foreign) == [("current points to releases/20260101, which faprelease did not make",)]
    cut = host_state(
        release(A, "1", "live"), current=A, rollout=Rollout(id=B, verb="release", release=B, previous=A)
    )
    assert drifts(cut) == [(f"the release of {B} did not finish",)]
    tie = ("the hosts run different artifacts: web1 2; web2 1",)
    assert drifts(one, old) == [tie, tie]
    killed = CommandRun(release=B, at="2026-11-30T15:00:00Z", by="ada@ci")
    said = f"release_command of {B} was interrupted: how it ended is unknown"
    assert drifts(replace(one, command=killed), same) == [(said,), ()]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (7260, "2 h 1 min"),
        (86399, "23 h 59 min"),
        (266400, "3 d 2 h"),
    ],
)
def test_a_duration_has_two_units(seconds: int, shown: str) -> None:
    assert duration(seconds) == shown


def test_answers_of_a_host_that_can_not_be_read_are_left_out() -> None:
    now = datetime(2026, 11, 30, 15, 0, tzinfo=UTC)
    text = """\
Traceback (most recent call last):
{"name": 1}
{"name": "nightly", "at": "0 3 * * *", "timezone": "Europe/Berlin", "code": 0}
{"name": "odd", "at": "0 3 * * *", "timezone": "../../etc/passwd"}
{"name": "odder", "at": "@reboot", "timezone": "UTC"}
"""
    found = {each.name: each.next for each in parse_schedules(text, now)}
    assert found == {"nightly": "2026-12-01T02:00:00Z", "odd": "", "odder": ""}
    assert [each.name for each in parse_processes('x\n{"name": "a", "up": 1}\n{"up": 2}')] == ["a"]


def test_every_release_says_why_it_is_there() -> None:
    state = host_state(
        release(A, "1"), release(B, "2"), release(C, "3", "bad", B), release(D, "4", "live", B), current=D
    )
    (host,) = planned_hosts(state)
    assert [(row.release, row.kept) for row in kept_releases(host.target, host.state, {})] == [
        (D, "live"),
        (C, "kept for inspection, as the newest 2 bad ones"),
        (B, "a rollback goes back to it"),
        (A, "one of the last 5 (keep_releases)"),
    ]


def test_releases_of_equal_hosts_are_shown_once_and_fit_a_terminal() -> None:
    record = Record(state="live", by="deploy@controller.example.com")
    odd = replace(release(B, "2026.11.30-ab12cd34ef", "live"), record=record)
    same = host_state(release(A, "1"), release(B, "2", "bad", A), release(C, "3", "live", A), current=C)
    states = planned_hosts(same, same, host_state(odd, current=B), same)
    groups = alike([row for host in states for row in kept_releases(host.target, host.state, {})])
    assert [names for names, _ in groups] == [["web1", "web2", "web4"], ["web3"]]
    for _, rows in groups:
        lines = list(releases_table(rows))
        assert max(map(len, lines)) <= 100
        assert [line.split()[0] for line in lines if line[0] != " "] == [
            "release",
            *(row.release for row in rows),
        ]
    assert "kept for inspection, as the newest 2 bad ones" in " ".join(
        " ".join(releases_table(groups[0][1])).split()
    )


def test_ledgers_of_hosts_become_one_list_and_damaged_lines_are_passed_over() -> None:
    line = (
        '{"at":"2026-01-02T00:00:00Z","event":"released","release":"r","from":"","who":"ada","artifact":null}'
    )
    earlier = '{"at":"2026-01-01T00:00:00Z","event":"locked","who":"bob","why":"x"}'
    one, two = (host.target for host in planned_hosts(host_state(), host_state()))
    ledgers = [
        (one, history.parse(f'{line}\n{line[:40]}\n[]\n{{"at":1}}\n')),
        (two, history.parse(f"{earlier}\n{line}\n")),
    ]
    assert [(event.event, event.hosts, event.more) for event in history.merge(ledgers)] == [
        ("locked", ("web2",), "x"),
        ("released", ("web1", "web2"), ""),
    ]
    assert str(Freeze(who="bob", at="now", why="x")) == "frozen by bob at now: x"


def test_what_a_fleet_is_told(site: FleetSite) -> None:
    more = "plugins: [tests.parts.plugins]\nchecking_script: test ! -e /home/deploy/ill"
    site.configure(more)
    for version in ("1", "2"):
        assert site.release(site.add(version)).returncode == 0
    done = site.run("status", "production")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" live ") == 3
    rows = [json.loads(line) for line in site.run("status", "--json", "production").stdout.splitlines()]
    assert [(row["version"], row["health"], row["by"], row["drift"]) for row in rows] == [
        ("2", "healthy", "ada@ci", [])
    ] * 3
    assert all(row["since"].startswith("20") for row in rows)
    held_now = [json.loads(line) for line in site.run("releases", "--json", "production").stdout.splitlines()]
    assert [row["kept"] for row in held_now] == ["live", "a rollback goes back to it"] * 3
    listed = site.run("releases", "production").stdout.splitlines()
    assert listed[0] == "web on web1, web2, web3"
    assert sum(" kB " in line for line in listed) == 2
    assert all(4096 <= row["size"] < 1 << 20 for row in held_now)
    site.hosts[1].run(["touch", "/home/deploy/ill"], check=True)
    done = site.run("status", "production")
    site.hosts[1].run(["rm", "/home/deploy/ill"], check=True)
    assert done.returncode == 3
    assert "web2 (web): unhealthy" in done.stderr
    assert site.run("rollback", "--hosts", "web3", "production").returncode == 0
    assert site.run("freeze", "--hosts", "web1", "--why", "noon", "production").returncode == 0
    with (site.home / ".ssh/config").open("a") as config:
        config.write("\nHost dead\n    HostName 127.9.9.9\n    Port 9\n")
    site.configure(more, roles="    web: {hosts: [web1, web2, web3, dead]}\n")
    done = site.run("status", "production")
    site.configure(more)
    assert done.returncode == 7
    assert "dead: can't connect to 127.9.9.9, port 9" in done.stderr
    assert "web1 (web): frozen by ada@ci" in done.stderr
    assert "web3 (web): runs another artifact than the other hosts, which run 2" in done.stderr
    events = [json.loads(line) for line in site.run("history", "--json", "production").stdout.splitlines()]
    told = [(event["event"], event["version"], event["hosts"]) for event in events]
    assert told[:2] == [
        ("released", "1", ["web1", "web2", "web3"]),
        ("released", "2", ["web1", "web2", "web3"]),
    ]
    # These may fall into one second, and come from two ledgers.
    assert sorted(told[2:]) == [("frozen", "", ["web1"]), ("rolled back", "1", ["web3"])]
    assert "rolled back" in site.run("history", "production").stdout
