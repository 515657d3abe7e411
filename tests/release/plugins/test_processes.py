"""The processes that a role runs, from its Procfile and deploy.yml, on a real supervisord."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from faprelease.errors import ConfigError, ReleaseFailedError, RolledBackError
from faprelease.verbs import status
from tests.parts.repository import ROOT
from tests.parts.site import Site, artifact
from tests.parts.supervisord import Supervisord, supervisord_in

pytestmark = pytest.mark.supervisord

RUN = ROOT / "fapbuild/installer/run"
SLOW = b"""\
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(2), sys.exit()))
time.sleep(1000)
"""
PROCFILE = "web: exec sleep 2$PORT\nworker: exec sleep 3$PORT\n"


@pytest.fixture(scope="module")
def supervisord(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisord]:
    with supervisord_in(tmp_path_factory.mktemp("supervisord")) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, supervisord: Supervisord, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("PATH", f"{supervisord.bin}:{os.environ['PATH']}")
    yield Site(tmp_path)
    (supervisord.conf_d / "shop.conf").unlink(missing_ok=True)
    supervisord.ctl("update")


def configure(site: Site, supervisord: Supervisord, processes: str) -> None:
    site.configure(
        f"plugins: [supervisorctl]\nprocess_seconds: 1\nprocesses: {processes}\n"
        f"supervisor_target: {supervisord.conf_d}/shop.conf"
    )


def build(site: Site, version: str, procfile: str = PROCFILE, **more: bytes) -> str:
    files = {"Procfile": procfile.encode(), ".fap/run": RUN.read_bytes(), **more}
    return artifact(
        site.folder / version, version, {**files, "install.sh": b"mkdir venv; chmod +x .fap/run\n"}
    )


def running(supervisord: Supervisord) -> dict[str, tuple[str, str]]:
    """What runs: by its name, its command and the release that it runs in."""
    found = {}
    for line in supervisord.ctl("status").stdout.splitlines():
        name, state, *rest = line.split()
        if state == "RUNNING":
            pid = rest[rest.index("pid") + 1].rstrip(",")
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            found[name] = (b" ".join(command).decode().strip(), Path(f"/proc/{pid}/cwd").readlink().name)
    return found


def test_processes_come_change_and_go_back_with_their_release(
    site: Site, supervisord: Supervisord, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(site, supervisord, "{web: 2, worker: 1}")
    first = site.release(build(site, "1"))
    three = {
        "shop:shop-web-8000": ("sleep 28000", first),
        "shop:shop-web-8001": ("sleep 28001", first),
        "shop:shop-worker-8100": ("sleep 38100", first),
    }
    assert running(supervisord) == three
    (row,) = status.status(site.request())
    assert {each.name: each.restarts for each in row.processes} == dict.fromkeys(three)
    assert all(each.up is not None and 0 <= each.up < 300 for each in row.processes)
    configure(site, supervisord, "{web: 1}")
    capsys.readouterr()
    site.release(build(site, "1"), dry_run=True)
    changes = capsys.readouterr().out.partition("  processes\n")[2].split("\n  s")[0]
    assert "    - numprocs=2\n    + numprocs=1\n" in changes
    assert "    - [program:shop-worker]\n" in changes
    assert "command" not in changes.split("- [program:shop-worker]")[0]
    second = site.release(build(site, "1"))
    assert second != first
    assert running(supervisord) == {"shop:shop-web-8000": ("sleep 28000", second)}
    assert site.rollback() == first
    assert running(supervisord) == three


def test_how_long_a_stop_takes_is_measured(site: Site, supervisord: Supervisord) -> None:
    configure(site, supervisord, "{web: 1}")
    restarted = site.path / ".fap/restarted"
    site.release(build(site, "1", "web: exec python3 run.py\n", **{"run.py": SLOW}))
    assert int(restarted.read_text().split()[0]) < 100
    for processes in ("{web: 1}", "{web: 2}"):  # by a restart, and by what else makes supervisord stop it
        configure(site, supervisord, processes)
        restarted.unlink()
        site.release(build(site, f"1{processes[6]}", "web: exec python3 run.py\n", **{"run.py": SLOW}))
        stop, start = map(int, restarted.read_text().split())
        assert 200 <= stop < 600
        assert start < 500


def test_a_conf_of_the_release_before_makes_room_and_comes_back(site: Site, supervisord: Supervisord) -> None:
    current = site.path / "current"
    program = f"[program:shop]\ncommand=sleep 1000\ndirectory={current}\n"
    conf = {"configs/supervisor_production_web.conf": program.encode()}
    configure(site, supervisord, "{}")
    first = site.release(build(site, "1", **conf))
    assert running(supervisord) == {"shop": ("sleep 1000", first)}
    configure(site, supervisord, "{web: 1}")
    with pytest.raises(RolledBackError):
        site.release(build(site, "2", "web: exit 3\n", **conf))
    assert running(supervisord) == {"shop": ("sleep 1000", first)}
    second = site.release(build(site, "3", **conf))
    assert running(supervisord) == {"shop:shop-web-8000": ("sleep 28000", second)}
    assert site.rollback() == first
    assert running(supervisord) == {"shop": ("sleep 1000", first)}


def test_a_process_that_the_procfile_lacks_ends_it_before_anything_changes(
    site: Site, supervisord: Supervisord
) -> None:
    configure(site, supervisord, "{web: 1, clock: 1}")
    with pytest.raises(ReleaseFailedError) as failed:
        site.release(build(site, "1"))
    assert "the artifact's Procfile has no process clock; it has: web worker" in failed.value.message
    configure(site, supervisord, "{web: -1}")
    with pytest.raises(ConfigError, match="processes"):
        site.release(build(site, "1"))
