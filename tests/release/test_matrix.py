"""Each step of a release fails on one of three real hosts, or loses its connection: before it ran, and after.

Whatever it is, all hosts run the old version afterwards, or all the new one, unless the error says otherwise;
no lock stays, and the next release needs no help. In the suite each step meets one of the four faults;
`FAP_TEST_IN_FULL=1` asks for all.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from faprelease.errors import FapError, PartlyDoneError
from faprelease.plan import plan_release
from faprelease.report import Report
from faprelease.request import Request
from faprelease.steps import HostPlan, Phase, Plan, Step
from faprelease.walk import Scene, Walk
from tests.fleet import wait_until
from tests.release.fleet_site import FleetSite, builds, hosts, site

__all__ = ["builds", "hosts", "site"]
pytestmark = pytest.mark.xdist_group("fleet")

PARTS = ("prepare", "once", "publish", "finish")
STEPS = 11
"""How many steps the plan of one host has; the test of the list tells when that has changed."""
# The parent of the session's shell is the sshd that holds the connection.
CUT = 'set -- $(sed "s/.*) //" "/proc/$FAP_SESSION/stat") && kill -9 "$2" && sleep 5'
FAULTS = {
    "fails": "exit 9",
    "fails after it ran": "{script}\nexit 9",
    "is cut off": CUT,
    "is cut off after it ran": "{script}\n" + CUT,
}
IN_FULL = bool(os.environ.get("FAP_TEST_IN_FULL"))
CASES = [
    (step, how)
    for step in range(STEPS)
    for number, how in enumerate(FAULTS)
    if IN_FULL or number == step % len(FAULTS)
]
MORE = """\
linked_dirs: [log]
environment: {A: b}
keep_releases: 1
plugins: [tests.release.plugins]
published_script: "true"
"""


def broken(step: Step, how: str) -> Step:
    script, _, rest = FAULTS[how].partition("\n")
    if rest:
        return replace(step, script=f"(\n{step.script}\n)\n{rest}")
    return replace(step, script=script, stdin="")


def breaking(plan: Plan, host: str, number: int, how: str) -> Plan:
    def changed(each: HostPlan) -> HostPlan:
        if each.host != host:
            return each
        count, parts = -1, {}
        for part in PARTS:
            phases = []
            for phase in getattr(each, part):
                steps = []
                for step in phase.steps:
                    count += 1
                    steps.append(broken(step, how) if count == number else step)
                phases.append(Phase(phase.name, tuple(steps)))
            parts[part] = tuple(phases)
        return replace(each, **parts)

    return replace(plan, hosts=tuple(changed(each) for each in plan.hosts))


@contextmanager
def planned(site: FleetSite, url: str) -> Iterator[tuple[Walk, Scene, Plan]]:
    """The plan of a release, under its locks."""
    request = Request(
        file=site.folder / "deploy.yml", stage="production", role="web", flags={"curl_url": url}
    )
    walk = Walk.of(request, "release", Report()).with_environment()
    with walk.scene(lock=True) as scene:
        yield walk, scene, plan_release(scene.hosts, scene.order)


def run_broken(site: FleetSite, url: str, number: int, how: str) -> FapError | None:
    with planned(site, url) as (walk, scene, plan):
        try:
            walk.carry_out(breaking(plan, "web2", number, how), scene)
        except FapError as error:
            return error
    return None


@pytest.fixture
def ready(site: FleetSite, monkeypatch: pytest.MonkeyPatch) -> FleetSite:
    monkeypatch.setenv("HOME", str(site.home))
    site.configure(MORE)
    assert site.release(site.add("1")).returncode == 0
    return site


def test_the_number_of_steps_is_right(ready: FleetSite) -> None:
    with planned(ready, ready.add("2")) as (_, _, plan):
        host = plan.hosts[0]
        steps = [step.title for part in PARTS for phase in getattr(host, part) for step in phase.steps]
        assert len(steps) == STEPS, steps


@pytest.mark.parametrize(("number", "how"), CASES)
def test_all_hosts_are_old_or_all_are_new(ready: FleetSite, number: int, how: str) -> None:
    error = run_broken(ready, ready.add("2"), number, how)
    assert error, "the fault was not noticed"
    versions = set(ready.versions())
    assert versions == {"2" if isinstance(error, PartlyDoneError) else "1"}, error.message
    wait_until(lambda: not ready.locked(), "no lock stays", 15)
    done = ready.release(ready.add("3"))
    assert done.returncode == 0, done.stderr
    assert ready.versions() == ["3", "3", "3"]
