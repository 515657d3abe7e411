"""The scripts that run on hosts, one at a time, where a host is unwell."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from faprelease.steps.model import Phase, Result, Step, host_script
from faprelease.steps.wire import Session
from faprelease.transports import local
from faprelease.transports.channel import ChannelLostError
from faprelease.transports.session import HostSession, StepFailedError
from tests.parts.fleet import wait_until

MARK = "fap-0123456789abcdef"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The folder of an app with two releases, the first of which is current."""
    for name in ("260101-000000", "260102-000000"):
        (tmp_path / "releases" / name).mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/260101-000000")
    return tmp_path


@pytest.fixture(params=[signal.SIG_DFL])
def sessions(app: Path, request: pytest.FixtureRequest) -> Iterator[tuple[HostSession, HostSession]]:
    """Two sessions of one run, with one token. What HUP does to their shells is the parameter."""
    before = signal.signal(signal.SIGHUP, request.param)
    opened = [HostSession(local.connect(), Session(MARK, "token", (f"{app}/.fap",))) for _ in range(2)]
    signal.signal(signal.SIGHUP, before)
    yield opened[0], opened[1]
    for session in opened:
        session.close()


def run(session: HostSession, *steps: Step) -> list[Result]:
    return session.run(Phase("test", steps), lambda _: None)


def lock(app: Path) -> Step:
    return host_script("lock", "lock/lock", state=f"{app}/.fap", token="token", owner="ada@ci", again="")


def swap(app: Path, name: str) -> Step:
    return host_script(
        "swap",
        "release/swap",
        state=f"{app}/.fap",
        token="token",
        current=f"{app}/current",
        target=f"releases/{name}",
        release=f"{app}/releases/{name}",
        rollout="",
    )


def test_a_session_that_was_given_up_ends_with_the_step_it_is_at(
    app: Path, sessions: tuple[HostSession, HostSession]
) -> None:
    silent, second = sessions
    run(silent, lock(app))
    first, then = f"touch {app}/begun; sleep 1", f"touch {app}/on"
    steps = [Step(title=script, script=script, trusted=True) for script in (first, then)]
    with ThreadPoolExecutor() as threads:
        under_way = threads.submit(run, silent, *steps)
        wait_until((app / "begun").exists, "the first step has begun", 10)
        run(second, lock(app))
        with pytest.raises(ChannelLostError):
            under_way.result()
    assert not (app / "on").exists()
    run(second, swap(app, "260102-000000"))


@pytest.mark.parametrize("sessions", [signal.SIG_IGN], indirect=True)  # as nohup has it: it can't be told
def test_a_session_that_was_given_up_swaps_nothing_any_more(
    app: Path, sessions: tuple[HostSession, HostSession]
) -> None:
    """It fell silent, and another one of the same run went back; then it goes on where it was."""
    silent, second = sessions
    run(silent, lock(app))
    run(second, lock(app), swap(app, "260101-000000"))
    with pytest.raises(StepFailedError, match="no longer ours"):
        run(silent, swap(app, "260102-000000"))
    silent.close()
    assert (app / "current").readlink() == Path("releases/260101-000000")
    assert (app / ".fap/lock").is_file()
    run(second, swap(app, "260102-000000"))
    assert (app / "current").readlink() == Path("releases/260102-000000")
    second.close()
    assert not (app / ".fap/lock").exists()


def test_a_login_banner_without_a_newline_hides_no_answer() -> None:
    channel = local.connect()
    channel.send(b"printf '\\033]0;title\\007'\n")
    session = HostSession(channel, Session(MARK, "token", ()))
    (result,) = run(session, Step(title="say", script="echo here", trusted=True))
    session.close()
    assert result.output == "here"


SHELLS = [["dash"], ["busybox", "sh"]]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_release_in_which_a_process_runs_is_not_removed(app: Path, shell: list[str]) -> None:
    old, new = "260101-000000", "260102-000000"
    for name in (old, new):
        (app / "releases" / name / "folder").mkdir()
        (app / "releases" / name / "folder").chmod(0o555)
        (app / "releases" / name).chmod(0o555)
    (app / "current").unlink()
    step = host_script(
        "remove",
        "release/remove",
        stdin=f"{old}\n{new}\n",
        releases=f"{app}/releases",
        records=f"{app}/.fap/releases",
        state=f"{app}/.fap",
        current=f"{app}/current",
        run=f"{app}/run",
        forget="",
    )
    with subprocess.Popen(["sleep", "100"], cwd=app / "releases" / old / "folder") as process:
        done = subprocess.run([*shell, "-c", step.script], input=step.stdin, capture_output=True, text=True)
        process.kill()
    assert (done.stdout, done.stderr) == (f"kept {old}: a process still runs in it\n", "")
    assert [path.name for path in (app / "releases").iterdir()] == [old]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_packages_that_a_process_runs_with_are_not_removed(app: Path, shell: list[str]) -> None:
    """As of a server that got HUP: its folder is the new release, its interpreter and packages are not."""
    old, other, new = "260101-000000", "260102-000000", "260103-000000"
    (app / "releases" / new).mkdir()
    (app / "current").unlink()
    (app / "current").symlink_to(f"releases/{new}")
    for name in (old, other):
        packages = app / ".fap/envs" / name
        packages.mkdir(parents=True)
        packages.with_name(f"{name}.seen").touch()
        (app / "releases" / name / "venv/bin").mkdir(parents=True)
        (app / "releases" / name / "venv/bin/python").symlink_to(sys.executable)
        (app / "releases" / name / "venv/packages").symlink_to(packages)
    step = host_script(
        "remove",
        "release/remove",
        stdin=f"{old}\n{other}\n",
        releases=f"{app}/releases",
        records=f"{app}/.fap/releases",
        state=f"{app}/.fap",
        current=f"{app}/current",
        run=f"{app}/run",
        forget="",
    )
    python = app / "releases" / old / "venv/bin/python"
    argv = [python, "-c", "import time; time.sleep(100)"]
    with subprocess.Popen(argv, cwd=app / "releases" / new) as process:
        done = subprocess.run([*shell, "-c", step.script], input=step.stdin, capture_output=True, text=True)
        process.kill()
    assert (done.stdout, done.stderr) == (f"kept {old}: a process still runs with its packages\n", "")
    assert sorted(path.name for path in (app / "releases").iterdir()) == [old, new]
    assert sorted(path.name for path in (app / ".fap/envs").iterdir()) == [old, f"{old}.seen"]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_trial_goes_with_its_session_and_its_last_process(tmp_path: Path, shell: list[str]) -> None:
    for name in ("used", "left"):
        (tmp_path / name / "releases").mkdir(parents=True)
        (tmp_path / name / "releases").chmod(0o555)
        (tmp_path / f"{name}.holder").write_text("999999999 1 boot\n")
    step = host_script("remove", "once/sweep", trials=str(tmp_path), ours="")
    with subprocess.Popen(["sleep", "100"], cwd=tmp_path / "used/releases") as process:
        done = subprocess.run([*shell, "-c", step.script], capture_output=True, text=True)
        process.kill()
    assert done.stderr == ""
    assert done.stdout.startswith(f"warning: {tmp_path}/used is kept: a process still runs in it")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["used", "used.holder"]
