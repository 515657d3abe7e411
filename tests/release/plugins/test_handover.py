"""A release that starts beside the one before, on a real supervisord of this machine."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    supervisord.ctl("update")


def configure(
    site: Site, supervisord: Supervisord, more: str = "", plugins: str = "supervisorctl, healthcheck"
) -> None:
    site.configure(
        f"plugins: [{plugins}]\nsupervisor_target: {supervisord.conf_d}/shop.conf\nhandover: beside\n"
        f"healthcheck_url: http://localhost/\nhealthcheck_seconds: 10\nprocess_seconds: 1\n"
        f"{more or 'processes: {web: 1}'}\n"
    )


def build(site: Site, version: str, server: str = "", procfile: str = "") -> str:
    procfile = procfile or f"web: exec {sys.executable} unix_server.py $PORT {version} {server}\n"
    files = {"Procfile": procfile.encode(), ".fap/run": RUN, "unix_server.py": SERVER}
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
    assert site.rollback() == first
    assert ask(site) == "1.0"
    assert running(supervisord) == [f"shop-web-1-{first}-1"]
