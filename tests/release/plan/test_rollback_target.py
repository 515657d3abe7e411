"""Where a rollback goes: what the hosts hold goes in, a release for each comes out."""

import pytest

from faprelease.errors import FapError
from faprelease.hosts.state import Release
from faprelease.plan.rollback_target import goals
from faprelease.steps.place import Place
from tests.parts.host_states import A, B, C, D, host_state, hosts, release

ON_2 = host_state(release(A, "1"), release(B, "2", "live", A), current=B)


def ids(found: dict[str, Release]) -> list[str]:
    return [each.id for each in found.values()]


def test_hosts_agree_by_artifact_where_one_of_them_was_added_later() -> None:
    added = host_state(release(C, "1"), release(D, "2", "live", C), current=D)
    assert ids(goals(hosts(ON_2, added))) == [A, C]
    assert ids(goals(hosts(ON_2, added), "1")) == [A, C]


def test_a_version_names_its_newest_good_release() -> None:
    state = host_state(
        release(A, "1"), release(B, "1"), release(C, "1", "bad"), release(D, "2", "live", C), current=D
    )
    assert ids(goals(hosts(state), "1")) == [B]
    assert ids(goals(hosts(state), "1", force=True)) == [C]


def test_hosts_that_run_it_already_stay_as_they_are() -> None:
    """As after a release that was kept, or failed to go back: --to brings all to one."""
    left = host_state(release(A, "1", "live"), current=A)
    assert goals(hosts(ON_2, left), "1") == {Place("web1", "web"): ON_2.releases[0]}


def test_hosts_that_differ_are_told_the_version_that_all_have() -> None:
    other = host_state(release(A, "1"), release(B, "2"), release(C, "3", "live", B), current=C)
    with pytest.raises(
        FapError, match=rf"web1 \(web\): {A} \(version 1\)\n  web2 \(web\): {B} \(version 2\)"
    ) as no:
        goals(hosts(ON_2, other))
    assert no.value.hint.splitlines()[1:] == [
        "  faprelease rollback production web --to 2",
        "  faprelease rollback production web --to 1",
    ]


@pytest.mark.parametrize("state", ["ready", "failed", "preparing"])
def test_what_never_was_live_is_no_goal_even_by_force(state: str) -> None:
    found = host_state(release(A, "1", state), release(B, "2", "live", A), current=B)
    with pytest.raises(FapError, match=f"can't roll back to 1: its state is {state}"):
        goals(hosts(found), "1", force=True)


def test_every_host_that_lacks_it_is_named_at_once() -> None:
    lacking = host_state(release(B, "2", "live"), current=B)
    with pytest.raises(FapError) as refused:
        goals(hosts(ON_2, lacking, lacking), "1")
    assert [line.split(" ")[0] for line in refused.value.message.splitlines()] == ["web2", "web3"]
    assert "releases that were live on web3: none" in refused.value.hint
