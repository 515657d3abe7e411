"""Plans are pure: what the hosts are goes in, what will be done comes out."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faprelease.errors import FapError
from faprelease.hosts import state as facts
from faprelease.hosts.retention import KEEP_AS_EVIDENCE, outdated_releases
from faprelease.hosts.state import Record, Release, Unpacked
from faprelease.plan.fleet import plan_release, plan_rollback
from faprelease.plan.host import RunInfo, link_target
from faprelease.plan.preview import lines, preview
from faprelease.steps.layout import is_release_id, next_release_id
from tests.parts.host_states import SOURCE, host_state, hosts

NEW = "261122-120000"
STATES = ("preparing", "ready", "live", "retired", "failed", "bad")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def release(name: str, state: str = "retired", previous: str = "", present: bool = True) -> Release:
    return Release(name, Record(state=state, previous=previous), Unpacked(digest=name), present)


def info() -> RunInfo:
    return RunInfo(who="ada", at=NOON, token="token", release=NEW, key="5e" * 32)


IDS = st.integers(0, 40).map(lambda n: (NOON - timedelta(hours=n + 1)).strftime("%y%m%d-%H%M%S"))
RELEASES = st.lists(
    st.builds(release, IDS, st.sampled_from(STATES), st.one_of(st.just(""), IDS), st.booleans()),
    unique_by=lambda each: each.id,
    max_size=15,
)


@given(RELEASES, st.integers(1, 6), st.data())
def test_what_is_removed_is_ours_finished_and_spare(
    found: list[Release], keep: int, data: st.DataObject
) -> None:
    ids = [each.id for each in found]
    current = data.draw(st.sampled_from(["", *ids]))
    previous = data.draw(st.sampled_from(["", *ids]))
    state = host_state(*found, current=current, taken=tuple(sorted([*ids, "250101-000000"])))
    removed = outdated_releases(state, NEW, previous, keep)
    assert not set(removed) & {NEW, previous, current, "250101-000000", ""}
    assert set(removed) <= set(ids)
    assert removed == sorted(set(removed))
    good = {each.id for each in found if each.is_good}
    left = (good - set(removed)) | {NEW}
    assert len(left) >= min(keep, len(good | {NEW}))
    assert len(left - {previous, current, NEW}) <= max(0, keep - 1)
    kept, gone = sorted(left & good - {previous, current}), sorted(good & set(removed))
    assert not gone or not kept or gone[-1] < kept[0], "the oldest go first"
    evidence = [each for each in found if not each.is_good and each.id not in {previous, current}]
    bad = sorted(each.id for each in evidence if each.present and each.record.state == "bad")
    unborn = sorted({each.id for each in evidence} - set(bad))
    for ids in (bad, unborn):
        assert [each for each in ids if each not in removed] == ids[-KEEP_AS_EVIDENCE:]


A, B, C, D = (f"26112{day}-000000" for day in range(1, 5))


@pytest.mark.parametrize(
    ("releases", "current", "goal"),
    [
        ([release(A), release(B, "live", A)], B, A),
        ([release(A), release(B, "failed", A), release(C, "live", A)], C, A),
        ([release(A), release(B, "bad", A), release(C, "live", A)], C, A),
        ([release(A), release(B, "retired", A), release(C, "live", B)], C, B),
        ([release(A), release(B, "bad", A), release(C, "live", B)], C, A),
        ([release(A), release(B, "retired", A, present=False), release(C, "live", B)], C, A),
        ([release(A), release(B), release(C, "live", A)], C, A),
        ([release(A, "live", B), release(B, "retired")], A, B),
    ],
)
def test_a_rollback_goes_to_the_last_release_that_was_good(
    releases: list[Release], current: str, goal: str
) -> None:
    (planned,) = plan_rollback(hosts(host_state(*releases, current=current)), info()).hosts
    assert (planned.release, planned.previous) == (goal, current)
    assert not any("curl" in step.script for phase in planned.prepare for step in phase.steps)


@pytest.mark.parametrize(
    ("releases", "current", "said"),
    [
        ([], "", "no release is live there"),
        ([release(A, "live")], A, f"no release to roll back to; {A} stays live"),
        ([release(A, "failed"), release(B, "live", A)], B, "no release to roll back to"),
        ([release(A, "bad"), release(B, "live", A)], B, "no release to roll back to"),
        ([release(A, present=False), release(B, "live", A)], B, "no release to roll back to"),
        ([release(A, "bad", B), release(B, "live", A)], B, "no release to roll back to"),
    ],
)
def test_a_rollback_without_a_goal_changes_nothing(releases: list[Release], current: str, said: str) -> None:
    with pytest.raises(FapError, match=said) as refused:
        plan_rollback(hosts(host_state(*releases, current=current)), info())
    assert refused.value.hint


def test_hosts_that_would_go_to_different_releases_are_refused() -> None:
    one = host_state(release(A), release(B), release(C, "live", B), current=C)
    two = host_state(release(A), release(B), release(C, "live", A), current=C)
    with pytest.raises(
        FapError, match=rf"would roll back to different releases.*\n  web1 \(web\): {B}\n  web2 \(web\): {A}"
    ) as refused:
        plan_rollback(hosts(one, two), info())
    assert f"faprelease rollback production web --hosts web1 --to {B}" in refused.value.hint
    assert {host.release for host in plan_rollback(hosts(one, two), info(), B).hosts} == {B}


def test_a_role_is_never_rolled_back_to_the_release_of_another() -> None:
    web = host_state(release(A), release(B, "live", A), current=B)
    worker = host_state(release(B, "live"), current=B)
    with pytest.raises(FapError, match=r"web1 \(worker\): there is no release to roll back to"):
        plan_rollback(hosts(web, worker, roles=("web", "worker")), info())


@pytest.mark.parametrize(
    ("change", "said", "hint"),
    [
        ({"unwritable": "/srv"}, "can't write to /srv", "install -d -o deploy /srv/shop-web"),
        ({"blocked": "/srv/shop-web/current"}, "is not a link", "move it away"),
        (
            {"missing": ("a b",)},
            "linked files are missing",
            "scp 'a b' deploy@web1:'/srv/shop-web/shared/a b' && ssh deploy@web1 'chmod 600 ",
        ),
        ({"tools": frozenset({"curl"})}, "python3 not found", "apt-get install python3"),
        ({"free": 1024}, "only 0 MiB free", "free at least 100 MiB"),
    ],
)
def test_an_unfit_host_is_told_before_anything_is_planned(
    change: dict[str, Any], said: str, hint: str
) -> None:
    with pytest.raises(FapError, match=said) as refused:
        plan_release(hosts(host_state(**change)), info(), SOURCE)
    assert hint in refused.value.hint


def test_a_release_that_never_was_live_is_nothing_to_come_back_to() -> None:
    state = host_state(release(A, "live"), release(B, "ready", A), current=B)
    (planned,) = plan_release(hosts(state), info(), SOURCE).hosts
    assert planned.previous == A


def test_all_hosts_get_one_plan() -> None:
    planned = plan_release(hosts(host_state(), host_state(), host_state()), info(), SOURCE).hosts
    assert len({re.sub(r"web[123]", "HOST", repr(host)) for host in planned}) == 1
    assert [phase.name for phase in planned[0].publish] == ["publishing"]


@pytest.mark.parametrize(
    ("plugins", "batch", "expected"),
    [
        (["fapistrano.curl", "fapistrano.supervisorctl"], [], [0, 1, 2]),
        (["systemd"], [], [0, 1, 2]),
        (["systemd"], ["100%"], [0, 0, 0]),
        (["curl"], [], [0, 0, 0]),
    ],
)
def test_hosts_that_restart_take_turns(plugins: list[str], batch: list[str], expected: list[int]) -> None:
    """As in fapistrano, which releases to one host after the other."""
    three = hosts(host_state(), host_state(), host_state(), more={"plugins": plugins, "batch": batch})
    assert [host.batch for host in plan_release(three, info(), SOURCE).hosts] == expected


CHECKED = {"plugins": ["systemd", "healthcheck"], "healthcheck_port": 8000}
OUTAGES: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "no healthcheck": (
        {"plugins": ["supervisorctl"]},
        "web",
        ["web has no healthcheck: a version"],
    ),
    "its process is web": (
        {"plugins": ["systemd"], "processes": {"web": 1}},
        "shop",
        ["shop has no h"],
    ),
    "healthcheck": (CHECKED, "web", []),
    "no manager": ({"plugins": ["curl"]}, "web", ["no plugin starts or restarts anything for web"]),
    "a worker": ({"plugins": ["systemd"]}, "worker", []),
    "at once": ({**CHECKED, "batch": ["100%"]}, "web", ["all 2 hosts of web restart at once"]),
    "processes": ({**CHECKED, "processes": {"web": 2}}, "web", ["the 2 web processes of a host restart tog"]),
}


@pytest.mark.parametrize(("more", "role", "expected"), OUTAGES.values(), ids=OUTAGES.keys())
def test_a_plan_warns_of_outages(more: dict[str, Any], role: str, expected: list[str]) -> None:
    two = hosts(host_state(), host_state(), more=more, roles=(role,))
    shown = list(lines(preview(plan_release(two, info(), SOURCE), two)))
    said = [line.removeprefix("warning: ") for line in shown if line.startswith("warning: ")]
    assert len(said) == len(expected)
    assert all(line.startswith(start) for line, start in zip(said, expected, strict=True)), said


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        ([], NEW),
        (["261122-115959"], NEW),
        ([NEW], "261122-120001"),
        (["270101-000000"], "270101-000001"),
        (["261231-235959", A], "270101-000000"),
    ],
)
def test_an_id_is_later_than_all_others_whatever_the_clocks_say(taken: list[str], expected: str) -> None:
    assert next_release_id(NOON, taken) == expected


@given(st.datetimes(datetime(2020, 1, 1), datetime(2060, 1, 1)), st.lists(IDS))
def test_ids_are_names_of_releases_and_grow(now: datetime, taken: list[str]) -> None:
    new = next_release_id(now.replace(tzinfo=UTC), taken)
    assert is_release_id(new)
    assert all(new > name for name in taken)


@pytest.mark.parametrize(
    "name", ["999999-999999", "261301-000000", "current", "261122-1200000", "261122-120000\n", ""]
)
def test_other_names_are_no_releases(name: str) -> None:
    assert not is_release_id(name)


def test_current_is_relative_to_its_own_folder() -> None:
    assert link_target("/srv/a/current", "/srv/a/releases/1") == "releases/1"
    assert link_target("/srv/a/current", "/mnt/releases/1") == "/mnt/releases/1"


def test_a_damaged_record_is_told_with_its_file() -> None:
    said = f"folder {A}\nrecord {A} {{broken\nfree 1000\n"
    with pytest.raises(FapError, match=f"the record of release {A} is damaged") as refused:
        facts.parse(said)
    assert f".fap/releases/{A}" in refused.value.hint


def test_what_a_host_says_becomes_its_state() -> None:
    said = (
        f"tool curl\nfolder {A}\nfolder mine-too\nfolder 999999-999999\ncurrent {A}\n"
        "free 2048\nlocked ada@ci\n"
        f'record {A} {{"state":"live","previous":"","by":"ada"}}\n'
        f'artifact {A} {{"digest":"d","version":"1"}}\n'
        f'record {B} {{"state":"failed"}}\nmissing a b\n'
    )
    state = facts.parse(said)
    assert (state.current, state.free, state.locked, state.missing) == (A, 2048 * 1024, "ada@ci", ("a b",))
    assert state.taken == (A, B)
    assert [(each.id, each.record.state, each.present) for each in state.releases] == [
        (A, "live", True),
        (B, "failed", False),
    ]


@pytest.mark.parametrize(
    ("releases", "previous", "retired"),
    [
        ([], "", None),
        ([release(A, "live")], A, A),
        ([release(A, "live"), release(B, "ready", A)], A, A),
        ([release(A, "ready")], A, None),
        ([release(A, "bad"), release(B, "ready", A)], B, None),
    ],
)
def test_a_release_that_fails_goes_back_to_the_best_there_is(
    releases: list[Release], previous: str, retired: str | None
) -> None:
    current = releases[-1].id if releases else ""
    (planned,) = plan_release(hosts(host_state(*releases, current=current)), info(), SOURCE).hosts
    assert planned.previous == previous
    finishing = "\n".join(step.title for phase in planned.finish for step in phase.steps)
    assert f"record {NEW} as live" in finishing
    assert ("retired" in finishing) == (retired is not None)
    assert retired is None or f"{retired} as retired" in finishing


def test_what_another_tool_made_current_is_taken_over() -> None:
    output = f"folder {A}\ncurrent {A}\nfree 1000000\n"
    state = facts.parse(output)
    assert [(each.id, each.record.state) for each in state.releases] == [(A, "live")]
    (planned,) = plan_release(hosts(host_state(*state.releases, current=A)), info(), SOURCE).hosts
    assert planned.previous == A


def test_every_unfit_host_is_named_at_once() -> None:
    states = (host_state(missing=("settings.toml",)), host_state(), host_state(missing=("settings.toml",)))
    with pytest.raises(FapError) as refused:
        plan_release(hosts(*states), info(), SOURCE)
    assert "web1 (web): linked files are missing" in refused.value.message
    assert "web3 (web): linked files are missing" in refused.value.message
    assert "web2" not in refused.value.message
    assert refused.value.hint.count("scp settings.toml") == 2


def test_a_missing_file_is_put_there_as_its_owner_by_the_port_of_the_host() -> None:
    more = {"user": "ops", "port": 2222}
    with pytest.raises(FapError) as refused:
        plan_release(hosts(host_state(missing=("a b",)), more=more), info(), SOURCE)
    login, shared = "ssh -p 2222 ops@web1", "/srv/shop-web/shared"
    make = f"{login} 'sudo -u deploy mkdir -p {shared}'"
    file = f"'\"'\"'{shared}/a b'\"'\"'"
    close = f"{login} 'sudo -u deploy chmod 600 {file}'"
    assert refused.value.hint.splitlines() == [
        f"{make} && {login} 'sudo -u deploy tee {file} >/dev/null' < 'a b' && {close}",
        f"  or, empty: {make} && {login} 'sudo -u deploy touch {file}' && {close}",
    ]


@pytest.mark.parametrize("more", [{}, {"processes": {"web": 1}}, {"systemd_conf": ""}], ids=str)
def test_what_ran_beside_is_ended_and_restored_whatever_deploy_yml_says_now(more: dict[str, Any]) -> None:
    state = host_state(release(A, "live"), current=A, front=f"{A}-1", starts=(f"{A}-1",))
    made = hosts(state, more={"plugins": ["systemd"], "systemd_user": True, **more})
    (plan,) = plan_release(made, info(), SOURCE).hosts
    titles = [step.title for phase in plan.publish for step in phase.steps]
    assert "end what runs beside" in titles
    back = [step.title for phase in plan.if_published for step in phase.steps]
    assert "hand over /srv/shop-web/run/web.sock" in back
