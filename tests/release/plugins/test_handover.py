"""A release that starts beside the one before, on a real supervisord of this machine."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from faprelease.errors import RolledBackError
from faprelease.report.report import Report
from faprelease.verbs import release, status
from faprelease.verbs.status import status as status_of
from tests.parts.fleet import wait_until
from tests.parts.fronts import free_port
from tests.parts.lock_holders import controller
from tests.parts.repository import ROOT
from tests.parts.site import Site, artifact
from tests.parts.supervisord import Supervisord, supervisord_in

pytestmark = [pytest.mark.supervisord, pytest.mark.slow]

RUN = (ROOT / "fapbuild/installer/run").read_bytes()
SERVER = Path(ROOT / "tests/parts/unix_server.py").read_bytes()


@pytest.fixture(scope="module")
def supervisord(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisord]:
    with supervisord_in(tmp_path_factory.mktemp("supervisord")) as running:
        yield running


@pytest.fixture
def site(
    tmp_path_factory: pytest.TempPathFactory, supervisord: Supervisord, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    monkeypatch.setenv("PATH", f"{supervisord.bin}:{os.environ['PATH']}")
    made = Site(tmp_path_factory.mktemp("s"))
    configure(made, supervisord)
    yield made
    for conf in supervisord.conf_d.glob("shop*"):
        conf.unlink()

    def has_ended() -> bool:
        supervisord.ctl("update")
        return not supervisord.ctl("status").stdout.strip()

    wait_until(has_ended, "all have ended", 45)


def configure(
    site: Site, supervisord: Supervisord, more: str = "", plugins: str = "supervisorctl, healthcheck"
) -> None:
    site.configure(
        f"plugins: [{plugins}]\nsupervisor_target: {supervisord.conf_d}/shop.conf\n"
        f"{'' if 'handover: ' in more else 'handover: beside'}\n"
        f"healthcheck_url: http://localhost/\nhealthcheck_seconds: 10\nprocess_seconds: 1\n"
        f"{more or 'processes: {web: 1}'}\n"
    )


def build(site: Site, version: str, server: str = "", procfile: str = "") -> str:
    procfile = procfile or f"web: exec {sys.executable} unix_server.py $PORT {version} {server}\n"
    files = {
        "Procfile": procfile.encode(),
        ".fap/run": RUN,
        "unix_server.py": SERVER,
        "install.sh": b"#!/bin/sh\nset -eu\nmkdir venv\nchmod +x .fap/run\n",
    }
    return artifact(site.folder / "built", version, files)


def ask(site: Site, name: str = "web.sock") -> str:
    done = subprocess.run(
        ["curl", "-sS", "-m", "5", "--unix-socket", site.path / "run" / name, "http://localhost/"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout or done.stderr


def running(supervisord: Supervisord) -> list[str]:
    return sorted(
        line.split()[0] for line in supervisord.ctl("status").stdout.splitlines() if "RUNNING" in line
    )


def test_a_release_starts_beside_the_one_before(site: Site, supervisord: Supervisord) -> None:
    first = site.release(build(site, "1.0"))
    assert ask(site) == "1.0"
    assert running(supervisord) == [f"shop-web-1-{first}-1"]
    second = site.release(build(site, "2.0"))
    assert ask(site) == "2.0"
    assert running(supervisord) == [f"shop-web-1-{second}-1"]
    (row,) = status.status(site.request())
    assert [(each.name, each.restarts) for each in row.processes] == [(f"shop-web-1-{second}-1", None)]
    assert site.rollback() == first
    assert ask(site) == "1.0"
    assert running(supervisord) == [f"shop-web-1-{first}-1"]


def test_versions_that_fail_never_answer(site: Site, supervisord: Supervisord) -> None:
    first = site.release(build(site, "1.0"))
    for server in ("500", "die 2", "hang"):
        began = time.monotonic()
        with pytest.raises(RolledBackError) as failed:
            site.release(build(site, f"2.{server[:3]}", server), healthcheck_seconds=4, healthcheck_timeout=2)
        took = time.monotonic() - began
        assert took < 20
        if server == "die 2":
            assert "RuntimeError: version 2.die does not start" in str(failed.value)
        assert (ask(site), site.current()) == ("1.0", first)
        wait_until(lambda: running(supervisord) == [f"shop-web-1-{first}-1"], "the failed one has ended", 10)
    second = site.release(build(site, "3.0"))
    assert {path.name for path in (site.path / "run").iterdir() if path.is_dir()} <= {
        f"{first}-1",
        f"{second}-1",
    }


def test_a_restart_is_a_handover_too(site: Site, supervisord: Supervisord) -> None:
    first = site.release(build(site, "1.0"))
    release.restart(site.request(), Report())
    assert ask(site) == "1.0"
    assert running(supervisord) == [f"shop-web-1-{first}-2"]


def test_more_and_fewer_web_processes(site: Site, supervisord: Supervisord) -> None:
    configure(site, supervisord, "processes: {web: 2}")
    first = site.release(build(site, "1.0"))
    assert (ask(site), ask(site, "web-2.sock")) == ("1.0", "1.0")
    configure(site, supervisord, "processes: {web: 1}")
    second = site.release(build(site, "2.0"))
    assert ask(site) == "2.0"
    assert not (site.path / "run/web-2.sock").is_symlink()
    assert running(supervisord) == [f"shop-web-1-{second}-1"]
    assert first != second


WORKER = (
    "import pathlib, signal, sys, time\n"
    "log = pathlib.Path(sys.argv[1])\n"
    "say = lambda word: log.open('a').write(f'{word} {sys.argv[2]}\\n')\n"
    "quiet, end = [], []\n"
    "signal.signal(signal.SIGUSR1, lambda *_: (quiet.append(1), say('quiet')))\n"
    "signal.signal(signal.SIGTERM, lambda *_: end.append(1))\n"
    "say('begin')\n"
    "while not end:\n"
    "    time.sleep(0.1)\n"
    "time.sleep(1)\n"
    "say('end')\n"
)


def test_workers_take_no_more_jobs_and_end_before_new_ones_start(
    site: Site, supervisord: Supervisord
) -> None:
    log = site.folder / "log"
    configure(
        site,
        supervisord,
        "processes: {web: 1, worker: 1}\nprocesses_stop: {worker: {quiet: USR1, seconds: 20}}",
    )

    def build_with(version: str, server: str = "") -> str:
        files = {
            "Procfile": f"web: exec {sys.executable} unix_server.py $PORT {version} {server}\n"
            f"worker: exec {sys.executable} worker.py {log} {version}\n".encode(),
            "worker.py": WORKER.encode(),
            ".fap/run": RUN,
            "unix_server.py": SERVER,
        }
        return artifact(site.folder / "built", version, files)

    site.release(build_with("1"))
    site.release(build_with("2"))
    assert log.read_text().splitlines() == ["begin 1", "quiet 1", "end 1", "begin 2"]
    with pytest.raises(RolledBackError):
        site.release(build_with("3", "die 1"))
    # It took no more jobs, so it is started again.
    assert log.read_text().splitlines()[4:] == ["quiet 2", "end 2", "begin 2"]
    second = site.current()
    assert running(supervisord) == [f"shop-web-1-{second}-1", f"shop-worker-1-{second}-1"]


def test_a_worker_that_dies_brings_the_old_release_back(site: Site, supervisord: Supervisord) -> None:
    configure(site, supervisord, "processes: {web: 1, worker: 1}")
    web = f"web: exec {sys.executable} unix_server.py $PORT"

    def build_with(version: str, worker: str) -> str:
        return build(site, version, procfile=f"{web} {version}\nworker: exec {worker}\n")

    first = site.release(build_with("1.0", "sleep 1000"))
    with pytest.raises(RolledBackError, match="shop-worker-1"):
        site.release(build_with("2.0", "false"))
    assert (ask(site), site.current()) == ("1.0", first)
    assert running(supervisord) == [f"shop-web-1-{first}-1", f"shop-worker-1-{first}-1"]


def test_the_first_handover_of_a_live_site_keeps_its_port(site: Site, supervisord: Supervisord) -> None:
    port = free_port()
    procfile = f"web: exec {sys.executable} unix_server.py $PORT VERSION\nworker: exec sleep 1000\n"
    processes = f"processes: {{web: 1, worker: 1}}\nprocess_port: {port}\n"
    configure(site, supervisord, f"{processes}handover: restart\n", plugins="supervisorctl")
    zero = site.release(build(site, "0.0", procfile=procfile.replace("VERSION", "0.0")))
    before = running(supervisord)
    assert before == [f"shop:shop-web-{port}", f"shop:shop-worker-{port + 100}"]
    configure(site, supervisord, processes)
    with pytest.raises(RolledBackError):
        site.release(build(site, "1.0", procfile=procfile.replace("VERSION", "1.0 500")))
    assert (site.current(), running(supervisord)) == (zero, before)
    assert not (site.path / "run/web.sock").is_symlink()
    first = site.release(build(site, "1.1", procfile=procfile.replace("VERSION", "1.1")))
    assert ask(site) == "1.1"
    assert running(supervisord) == [
        f"shop-web-1-{first}-1",
        f"shop-worker-1-{first}-1",
        f"shop:shop-web-{port}",
    ]
    conf = supervisord.conf_d / "shop.conf"
    assert (conf.is_symlink(), conf.is_file()) == (False, True)  # a reboot finds it
    release.restart(site.request(), Report())
    assert running(supervisord) == [f"shop-web-1-{first}-2", f"shop-worker-1-{first}-2"]
    assert not conf.exists()
    # And back.
    configure(site, supervisord, f"{processes}handover: restart\n", plugins="supervisorctl")
    site.release(build(site, "2.0", procfile=procfile.replace("VERSION", "2.0")))
    wait_until(lambda: running(supervisord) == before, "what ran beside has ended", 10)
    assert not (site.path / "run/web.sock").is_symlink()


def test_a_first_handover_that_took_the_port_gives_it_back(site: Site, supervisord: Supervisord) -> None:
    port = free_port()
    web = f"web: exec {sys.executable} unix_server.py $PORT"
    processes = f"processes: {{web: 1, worker: 1}}\nprocess_port: {port}\n"
    configure(site, supervisord, f"{processes}handover: restart\n", plugins="supervisorctl")
    site.release(build(site, "0.0", procfile=f"{web} 0.0\nworker: exec sleep 1000\n"))
    before = running(supervisord)
    configure(site, supervisord, f"{processes}handover_listen: 127.0.0.1:{port}\n")
    with pytest.raises(RolledBackError, match="shop-worker-1"):
        site.release(build(site, "1.0", procfile=f"{web} 1.0\nworker: exec false\n"))
    wait_until(lambda: running(supervisord) == before, "what ran before runs again", 10)
    wait_until(lambda: not refused(port), "it listens at its port", 10)
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}/").read().decode() == "0.0"


def refused(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_leads_to_the_socket(site: Site, supervisord: Supervisord) -> None:
    port = free_port()
    configure(site, supervisord, f"processes: {{web: 1}}\nhandover_listen: 127.0.0.1:{port}")
    for version in ("1.0", "2.0"):
        site.release(build(site, version))
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/").read().decode() == version
    configure(site, supervisord)
    site.release(build(site, "3.0"))
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("moment", ["start", "switch"])
def test_a_killed_controller_leaves_the_old_or_the_new_one(
    site: Site, supervisord: Supervisord, moment: str
) -> None:
    configure(site, supervisord, "processes: {web: 1, worker: 1}\nprocesses_stop: {worker: {seconds: 8}}")
    slow = "sh -c \"trap 'sleep 3; exit' TERM; while :; do sleep 0.1; done\""

    def build_with(version: str, server: str = "") -> str:
        web = f"web: exec {sys.executable} unix_server.py $PORT {version} {server}\n"
        return build(site, version, procfile=f"{web}worker: exec {slow}\n")

    first = site.release(build_with("1.0"))
    run = controller(site.request(curl_url=build_with("2.0", "hang" if moment == "start" else "")))
    if moment == "start":
        wait_until(lambda: len(running(supervisord)) == 3, "the new one runs", 20)
    else:
        wait_until(lambda: ask(site) == "2.0", "the new one answers", 20)
    run.kill()
    run.wait()
    wait_until(lambda: not site.locked(), "the lock goes with its controller", 15)
    assert ask(site) == ("1.0" if moment == "start" else "2.0")
    if moment == "start":
        (status,) = status_of(site.request())
        assert "left by an interrupted run" in status.health
    if moment == "switch":
        # What began between two workers goes on by itself.
        second = site.current()
        wait_until(lambda: f"shop-worker-1-{second}-1" in running(supervisord), "the new worker runs", 15)
        assert f"shop-worker-1-{first}-1" not in running(supervisord)
    third = site.release(build_with("3.0"))
    assert ask(site) == "3.0"
    here = [f"shop-web-1-{third}-1", f"shop-worker-1-{third}-1"]
    wait_until(lambda: running(supervisord) == here, "the others have ended", 45)


def test_a_slow_request_holds_nobody_up(site: Site, supervisord: Supervisord) -> None:
    site.release(build(site, "1.0"))
    url = "http://localhost/slow12"
    curl = ["curl", "-sS", "-m", "30", "--unix-socket", site.path / "run/web.sock", url]
    with subprocess.Popen(curl, stdout=subprocess.PIPE, text=True) as slow:
        began = time.monotonic()
        second = site.release(build(site, "2.0"))
        assert slow.poll() is None, time.monotonic() - began
        assert ask(site) == "2.0"
        assert slow.communicate()[0] == "1.0"
    wait_until(lambda: running(supervisord) == [f"shop-web-1-{second}-1"], "the old one has ended", 10)


def test_after_a_reboot_the_same_release_answers(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path = tmp_path_factory.mktemp("r")
    home = tmp_path / "s"
    monkeypatch.setenv("PATH", f"{home}/bin:{os.environ['PATH']}")
    site = Site(tmp_path)
    with supervisord_in(home) as before:
        configure(site, before)
        site.release(build(site, "1.0"))
        site.release(build(site, "2.0"))
    assert "refused" in ask(site) or "No such file" in ask(site) or "connect" in ask(site)
    (site.path / "run/web.sock").resolve().touch()  # a crash may leave what is there
    with supervisord_in(home) as after:
        wait_until(lambda: ask(site) == "2.0", "it answers again", 10)
        site.release(build(site, "3.0"))
        assert ask(site) == "3.0"
        assert running(after) == [f"shop-web-1-{site.current()}-1"]


def test_a_rollback_to_a_release_from_before_starts_it_beside(site: Site, supervisord: Supervisord) -> None:
    procfile = f"web: exec {sys.executable} unix_server.py $PORT VERSION\n"
    processes = f"processes: {{web: 1}}\nprocess_port: {free_port()}\n"
    configure(site, supervisord, f"{processes}handover: restart\n", plugins="supervisorctl")
    zero = site.release(build(site, "0.0", procfile=procfile.replace("VERSION", "0.0")))
    configure(site, supervisord, processes)
    site.release(build(site, "1.0", procfile=procfile.replace("VERSION", "1.0")))
    assert site.rollback() == zero
    assert ask(site) == "0.0"
    wait_until(lambda: running(supervisord) == [f"shop-web-1-{zero}-1"], "the others have ended", 10)
