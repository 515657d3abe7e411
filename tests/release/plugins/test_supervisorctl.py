"""The supervisorctl plugin against a real supervisord, on this machine."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from faprelease.errors import ConfigError, FapError, ReleaseFailedError, RolledBackError, UsageError
from faprelease.plugins.hooks import LogLines
from faprelease.report.report import Report
from faprelease.run.run import Run
from faprelease.verbs import once
from tests.parts.fleet import wait_until
from tests.parts.lock_holders import controller
from tests.parts.site import Site, artifact
from tests.parts.supervisord import Supervisord, supervisord_in

pytestmark = pytest.mark.supervisord

CONF = """\
[program:shop]
command=/bin/sh run.sh
directory={path}/current
startsecs=1
startretries=0
stopasgroup=true
killasgroup=true
"""
RUNS = b"exec sleep 1000\n"
DIES = b"sleep 0.2; echo no settings >&2; exit 3\n"


@pytest.fixture(scope="module")
def supervisord(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisord]:
    with supervisord_in(tmp_path_factory.mktemp("supervisord")) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, supervisord: Supervisord, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("PATH", f"{supervisord.bin}:{os.environ['PATH']}")
    made = Site(tmp_path)
    made.configure(
        "plugins: [fapistrano.supervisorctl]\nprocess_seconds: 1\n"
        f"supervisor_target: {supervisord.conf_d}/shop.conf"
    )
    yield made
    supervisord.ctl("stop", "all")
    (supervisord.conf_d / "shop.conf").unlink(missing_ok=True)
    supervisord.ctl("update")


def build(site: Site, version: str, run: bytes = RUNS, conf: str = CONF) -> str:
    files = {"run.sh": run, "configs/supervisor_production_web.conf": conf.format(path=site.path).encode()}
    return artifact(site.folder / version, version, files)


def runs_from(supervisord: Supervisord) -> str:
    """The folder of the running program, empty if it doesn't run."""
    pid = supervisord.ctl("pid", "shop").stdout.strip()
    return Path(f"/proc/{pid}/cwd").readlink().name if pid.isdigit() and pid != "0" else ""


def test_the_program_follows_releases_and_rollbacks(site: Site, supervisord: Supervisord) -> None:
    first = site.release(build(site, "1"))
    assert runs_from(supervisord) == first
    second = site.release(build(site, "2"))
    assert runs_from(supervisord) == second
    assert site.rollback() == first
    assert runs_from(supervisord) == first
    changed = CONF.replace("startretries=0", "startretries=1")
    conf = "%(current_path)s/configs/supervisor_%(stage)s_%(role)s.conf"  # as fapistrano's files have it
    with site.deploy_yml.open("a") as file:
        file.write(f"supervisor_conf: '{conf}'\n")
    third = site.release(build(site, "3", conf=changed))
    assert runs_from(supervisord) == third


def test_a_program_that_dies_goes_back_to_the_old_release(site: Site, supervisord: Supervisord) -> None:
    first = site.release(build(site, "1"))
    with pytest.raises(RolledBackError) as failed:
        site.release(build(site, "2", DIES))
    assert "shop" in failed.value.message
    assert site.current() == first
    assert runs_from(supervisord) == first
    assert list(site.states().values()) == ["live", "bad"]


SLOW_STOP = b"trap 'sleep 7; exit 0' TERM; sleep 1000 & wait\n"


def test_a_killed_controller_leaves_no_stopped_program(site: Site, supervisord: Supervisord) -> None:
    conf = CONF.replace("killasgroup", "stopwaitsecs=20\nkillasgroup").replace("stopasgroup=true\n", "")
    site.release(build(site, "1", SLOW_STOP, conf))
    with controller(site.request(curl_url=build(site, "2", conf=conf))) as process:
        wait_until(lambda: "STOPPING" in supervisord.ctl("status").stdout, "the old one stops", 20)
        process.kill()
    wait_until(lambda: not site.locked(), "the lock goes with its controller", 15)
    wait_until(lambda: "RUNNING" in supervisord.ctl("status").stdout, "the new one starts", 20)
    second = runs_from(supervisord)
    assert second == site.current()
    third = site.release(build(site, "3"))
    assert runs_from(supervisord) == third
    assert site.leftovers() <= {"restarted"}


def test_a_first_release_that_dies_leaves_nothing_running(site: Site, supervisord: Supervisord) -> None:
    with pytest.raises(RolledBackError):
        site.release(build(site, "1", DIES))
    assert site.current() == ""
    assert runs_from(supervisord) == ""
    assert supervisord.ctl("status").stdout == ""
    assert not (supervisord.conf_d / "shop.conf").is_symlink()
    second = site.release(build(site, "2"))
    assert runs_from(supervisord) == second


def test_a_group_of_processes_is_one_program(site: Site, supervisord: Supervisord) -> None:
    conf = CONF + "numprocs=2\nprocess_name=%(program_name)s_%(process_num)s\n"
    for version in ("1", "2"):
        conf_text = conf.replace("{path}", str(site.path))
        files = {"run.sh": RUNS, "configs/supervisor_production_web.conf": conf_text.encode()}
        current = site.release(artifact(site.folder / version, version, files))
        pids = [int(word) for word in supervisord.ctl("pid", "shop:shop_0").stdout.split()]
        assert [Path(f"/proc/{pid}/cwd").readlink().name for pid in pids] == [current]
    assert supervisord.ctl("status").stdout.count("RUNNING") == 2


def test_what_is_missing_is_said_before_anything_is_published(site: Site, supervisord: Supervisord) -> None:
    with pytest.raises(ReleaseFailedError, match="conf is not in the release"):
        site.release(artifact(site.folder / "bare", "1"))
    site.configure("plugins: [supervisorctl]\nsupervisor_target: /nowhere/conf.d/shop.conf")
    with pytest.raises(FapError, match="this user can't write to it"):
        site.release(build(site, "1"))
    assert site.current() == ""


def test_a_supervisord_that_does_not_answer_is_said_first(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with supervisord_in(tmp_path / "gone") as gone:
        monkeypatch.setenv("PATH", f"{gone.bin}:{os.environ['PATH']}")
    with pytest.raises(FapError, match="supervisord does not answer"):
        site.release(build(site, "1"))
    assert site.current() == ""


TALKS = b"""\
echo "said by $PWD"; echo "warned by ${PWD##*/}" >&2; exec sleep 1000
"""


def test_the_logs_of_each_process_are_shown(
    site: Site, supervisord: Supervisord, capfd: pytest.CaptureFixture[str]
) -> None:
    both = "".join(CONF.replace("program:shop", f"program:{name}") for name in ("web", "worker"))
    release = site.release(build(site, "1", TALKS, conf=both + "[group:shop]\nprograms=web,worker\n"))
    folder = site.path / "releases" / release
    capfd.readouterr()
    run = Run.of(site.request(), "logs", Report())
    assert once.logs(run, once.Where(), LogLines(), print) == 0
    shown = [line for line in capfd.readouterr().out.splitlines() if line]
    assert shown == [
        line
        for name in ("web", "worker")
        for line in (
            f"==> shop:{name}, stdout",
            f"said by {folder}",
            f"==> shop:{name}, stderr",
            f"warned by {release}",
        )
    ]
    with pytest.raises(UsageError, match="web9 is not a host of this role"):
        once.logs(run, once.Where(host="web9"), LogLines(), print)
    site.configure()
    with pytest.raises(ConfigError, match="no plugin can show logs"):
        once.logs(Run.of(site.request(), "logs", Report()), once.Where(), LogLines(), print)


GRACEFUL = b"""\
trap 'kill $child' HUP
while :; do (cd -P ../../current && exec sleep 1000) & child=$!; wait; done
"""


def test_a_signal_can_take_the_place_of_a_restart(
    site: Site, supervisord: Supervisord, capfd: pytest.CaptureFixture[str]
) -> None:
    site.release(build(site, "1", GRACEFUL), supervisor_signal="HUP")
    pid = supervisord.ctl("pid", "shop").stdout
    second = site.release(build(site, "2", GRACEFUL), supervisor_signal="HUP", supervisor_output="true")
    assert "shop: signalled" in capfd.readouterr().err
    assert supervisord.ctl("pid", "shop").stdout == pid
    with pytest.raises(RolledBackError, match=rf"runs in .*/{second}, not in"):
        site.release(build(site, "3", GRACEFUL), supervisor_signal=["USR1", "shop", "CONT"][2])
    assert site.current() == second
    supervisord.ctl("stop", "shop")
    third = site.release(build(site, "4", GRACEFUL), supervisor_signal="HUP")
    assert runs_from(supervisord) == third


def test_the_programs_of_a_group_follow_together(site: Site, supervisord: Supervisord) -> None:
    both = "".join(CONF.replace("program:shop", f"program:{name}") for name in ("web", "worker"))
    for version in ("1", "2"):
        current = site.release(build(site, version, conf=both + "[group:shop]\nprograms=web,worker\n"))
        for name in ("web", "worker"):
            pid = supervisord.ctl("pid", f"shop:{name}").stdout.strip()
            assert Path(f"/proc/{pid}/cwd").readlink().name == current
    place = both.rindex("run.sh")
    dies = f"{both[:place]}die.sh{both[place + 6 :]}[group:shop]\nprograms=web,worker\n"
    with pytest.raises(RolledBackError, match=r"worker\s+(is )?(FATAL|EXITED|BACKOFF)"):
        site.release(build(site, "3", conf=dies))
    assert site.version() == "2"
