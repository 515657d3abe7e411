"""Every step of a release fails in turn, before it ran and after it: `current` never dangles or lies.

The controller is killed too, in the middle of an installation.
"""

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from faprelease.errors import PartlyDoneError, ReleaseFailedError, RolledBackError
from faprelease.steps.model import HostPlan, Phase, Plan, Step
from tests.parts.fleet import wait_until
from tests.parts.lock_holders import controller
from tests.parts.site import Site, artifact

pytestmark = pytest.mark.slow  # releases twice for each step that can fail

PARTS = ("prepare", "publish", "finish")
STEPS = [
    ("prepare", "create the release folder"),
    ("prepare", "fetch …"),
    ("prepare", "link shared files"),
    ("prepare", "write the environment file"),
    ("prepare", "install, contained"),
    ("prepare", "make the release read-only"),
    ("prepare", "record … as ready"),
    ("publish", "publish: current → …"),
    ("publish", "published"),
    ("publish", "record that its checks passed"),
    ("finish", "record …"),
    ("finish", "remove old releases"),
    ("finish", "clean up the cache"),
]
FIRST = [
    *STEPS[:1],
    ("prepare", "record which deployment the folder belongs to"),
    ("prepare", "create the key for digests of configurations"),
    *STEPS[1:-2],
]
MORE = """\
linked_dirs: [log]
environment: {A: b}
keep_releases: 1
plugins: [tests.parts.plugins]
published_script: "true"
"""
ENDS = {"prepare": ReleaseFailedError, "publish": RolledBackError, "finish": PartlyDoneError}


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("artifacts")
    return [artifact(folder, str(number)) for number in range(1, 6)]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.configure(MORE)
    return made


def steps_of(host: HostPlan) -> list[tuple[str, str]]:
    return [(part, step.title) for part in PARTS for phase in getattr(host, part) for step in phase.steps]


def breaking(number: int, how: str) -> Callable[[Plan], Plan]:
    """A change of a plan: its step of that number fails before it runs, or after it."""

    def broken(step: Step) -> Step:
        if how == "before":
            return replace(step, script="echo told to fail; exit 9", stdin="")
        return replace(step, script=f"(\n{step.script}\n) && echo told to fail && exit 9")

    def change(plan: Plan) -> Plan:
        (host,) = plan.hosts
        count, parts = -1, {}
        for part in PARTS:
            phases = []
            for phase in getattr(host, part):
                steps = []
                for step in phase.steps:
                    count += 1
                    steps.append(broken(step) if count == number else step)
                phases.append(Phase(phase.name, tuple(steps)))
            parts[part] = tuple(phases)
        return replace(plan, hosts=(replace(host, **parts),))

    return change


def test_the_list_of_steps_is_whole(site: Site, urls: list[str]) -> None:
    """A new step belongs into STEPS, so that it fails in these tests too."""
    for url in urls[:3]:
        site.release(url)
    found: list[tuple[str, str]] = []

    def note(plan: Plan) -> Plan:
        found.extend(steps_of(plan.hosts[0]))
        return plan

    site.run_changed(note, urls[3])
    assert [part for part, _ in found] == [part for part, _ in STEPS]
    for (_, title), (_, expected) in zip(found, STEPS, strict=True):
        assert title.startswith(expected.split("…")[0]), title


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("number", range(len(STEPS)))
def test_a_step_fails_and_the_old_release_stays(number: int, how: str, site: Site, urls: list[str]) -> None:
    for url in urls[:2]:
        site.release(url)
    old = site.current()
    part, title = STEPS[number]
    with pytest.raises(ENDS[part], match="told to fail"):
        site.run_changed(breaking(number, how), urls[2])
    if part == "finish":
        assert site.current() > old
        assert site.version() == "3"
    else:
        assert site.current() == old
        assert site.version() == "2"
        assert set(site.states().values()) <= {"live", "retired", "failed", "bad"}
    assert not site.locked()
    assert not site.leftovers(), title
    newest = site.release(urls[3])
    assert site.version() == "4"
    assert site.states()[newest] == "live"
    back = site.rollback()
    assert back != newest
    assert site.version() == ("3" if part == "finish" else "2"), (
        "what was published but not finished was good"
    )


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("number", range(len(FIRST)))
def test_a_step_of_the_first_release_fails(number: int, how: str, site: Site, urls: list[str]) -> None:
    part, _ = FIRST[number]
    with pytest.raises(ENDS[part], match="told to fail"):
        site.run_changed(breaking(number, how), urls[0])
    assert bool(site.current()) == (part == "finish")
    assert not site.locked()
    assert not site.leftovers()
    site.release(urls[1])
    assert site.version() == "2"


def test_a_phase_that_hurts_the_shell_itself_is_undone(site: Site, urls: list[str]) -> None:
    """The session dies in the middle of publishing: one new session takes the lock again and goes back."""
    old = site.release(urls[0])
    site.configure(MORE.replace('"true"', '"kill -9 $FAP_SESSION"'))
    with pytest.raises((RolledBackError, PartlyDoneError)):
        site.release(urls[1])
    assert site.current() == old
    site.configure(MORE)
    site.release(urls[2])
    assert site.version() == "3"


def test_a_killed_controller_leaves_no_lock_behind(site: Site, urls: list[str], tmp_path: Path) -> None:
    old = site.release(urls[0])
    install = b"echo begun >begun; exec sleep 600\n"
    with controller(
        site.request(curl_url=artifact(tmp_path / "slow", "9", {"install.sh": install}))
    ) as process:
        wait_until(lambda: any(site.path.glob("releases/*/begun")), "the installer runs", 20)
        assert site.locked()
        process.kill()
    wait_until(lambda: not site.locked(), "the lock goes with its controller", 15)
    assert site.current() == old
    site.release(urls[1])
    assert site.version() == "2"
    assert site.rollback() == old
    site.release(urls[2])
    assert not site.leftovers()


def test_the_download_of_a_killed_run_goes_with_its_record(site: Site, urls: list[str]) -> None:
    site.release(urls[0])
    state = site.path / ".fap"
    for name in ("260101-000000", "260102-000000", "260103-000000"):
        (state / f"releases/{name}.jsonl").write_text('{"state":"preparing"}\n')
        (site.path / "releases" / name).mkdir()
        (state / f"{name}.download").write_text("half")
    site.release(urls[1])
    assert site.leftovers() == {"260102-000000.download", "260103-000000.download"}
    assert "260101-000000" not in site.folders()


def test_ctrl_c_ends_at_a_safe_point(site: Site, urls: list[str], tmp_path: Path) -> None:
    old = site.release(urls[0])
    slow = artifact(tmp_path / "slow", "9", {"install.sh": b"echo begun >begun; sleep 1\n"})
    with controller(site.request(curl_url=slow)) as process:
        wait_until(lambda: any(site.path.glob("releases/*/begun")), "the installer runs", 20)
        process.terminate()
        assert process.wait(20) == 130
    assert site.current() == old
    assert not site.locked()
    assert not site.leftovers()
    assert site.folders() == [old]


def test_a_terminal_that_is_closed_ends_a_release_at_a_safe_point(
    site: Site, urls: list[str], tmp_path: Path
) -> None:
    """The shell and the kernel both say HUP, and what is printed goes nowhere."""
    old = site.release(urls[0])
    slow = artifact(tmp_path / "slow", "9", {"install.sh": b"echo begun >begun; sleep 1\n"})
    with controller(site.request(curl_url=slow), subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.close()
        wait_until(lambda: any(site.path.glob("releases/*/begun")), "the installer runs", 20)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        process.send_signal(signal.SIGHUP)
        process.wait(20)
    assert site.current() == old
    assert not site.locked()
    assert site.folders() == [old]
    assert site.states()[max(site.states())] == "failed"


def test_nobody_has_to_read_what_a_release_says(site: Site, urls: list[str]) -> None:
    with controller(site.request(curl_url=urls[0]), subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(20) == 0
    assert set(site.states().values()) == {"live"}
