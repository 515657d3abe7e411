"""Programs that stop slowly, or leave a process behind that has their port."""

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from faprelease.errors import FapError
from faprelease.report.report import Report
from tests.parts.fleet import wait_until
from tests.parts.site import Site, artifact
from tests.parts.supervisord import Supervisord, supervisord_in

pytestmark = [pytest.mark.supervisord, pytest.mark.slow]

CONF = """\
[program:shop]
command=/bin/sh run.sh
directory={path}/current
startsecs=1
startretries=0
"""


@pytest.fixture(scope="module")
def supervisord(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisord]:
    with supervisord_in(tmp_path_factory.mktemp("d")) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, supervisord: Supervisord, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("PATH", f"{supervisord.bin}:{os.environ['PATH']}")
    made = Site(tmp_path)
    made.configure(
        f"plugins: [supervisorctl]\nprocess_seconds: 1\nsupervisor_target: {supervisord.conf_d}/shop.conf"
    )
    yield made
    supervisord.ctl("stop", "all")
    (supervisord.conf_d / "shop.conf").unlink(missing_ok=True)
    supervisord.ctl("update")


def release(site: Site, version: str, run: bytes, conf: str = CONF) -> str:
    files = {"run.sh": run, "configs/supervisor_production_web.conf": conf.format(path=site.path).encode()}
    return site.release(artifact(site.folder / version, version, files))


def test_a_stop_takes_as_long_as_stopwaitsecs_says(
    site: Site, supervisord: Supervisord, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of its own configuration counts, of the release that stops as well; it is said beforehand,
    and who waits sees it again and again."""
    monkeypatch.setattr(Report, "WAIT_SECONDS", 2)
    with site.deploy_yml.open("a") as file:
        file.write("supervisor_output: true\n")
    slow = b"trap 'sleep 8; exit 0' TERM; sleep 1000 & wait\n"
    conf = f"{CONF}stopwaitsecs=600\n"
    release(site, "1", slow, conf)
    capfd.readouterr()
    second = release(site, "2", b"exec sleep 1000\n")
    shown = capfd.readouterr().err
    assert "stopping shop may take up to 600 s (stopwaitsecs)" in shown
    waited = re.findall(r"waiting: localhost \(web\): restart shop, (\d+) s of at most 600 s\n", shown)
    assert len(waited) >= 2
    assert waited == sorted(set(waited), key=int)
    pid = supervisord.ctl("pid", "shop").stdout.strip()
    assert Path(f"/proc/{pid}/cwd").readlink().name == second
    assert site.states()[second] == "live"


def test_the_holder_of_a_port_that_a_log_names_is_named(site: Site, supervisord: Supervisord) -> None:
    release(site, "1", b"exec sleep 1000\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = f"Connection in use: ('127.0.0.1', {port})"
        with pytest.raises(FapError, match=f"port {port} is held by process {os.getpid()}, which runs in "):
            release(site, "2", f'echo "{said}" >&2; exit 1\n'.encode())


def test_a_coloured_log_explains_a_failure_too(site: Site) -> None:
    """supervisorctl's XML can't carry the colours."""
    with pytest.raises(FapError, match="no such table: price"):
        release(site, "1", b"printf '\\033[31mno such table: price\\033[0m\\n' >&2; exit 1\n")


def test_a_process_that_was_left_behind_is_named(site: Site, supervisord: Supervisord) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    listen = f"exec python3 -m http.server --bind 127.0.0.1 {port}\n".encode()
    # Without killasgroup, the server outlives the shell that started it.
    release(site, "1", f"python3 -m http.server --bind 127.0.0.1 {port} & wait\n".encode())
    wait_until(lambda: can_connect(port), "it listens", 10)
    holder = subprocess.run(
        ["pgrep", "-f", f"http.server --bind 127.0.0.1 {port}"], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    try:
        with pytest.raises(FapError) as failed:
            release(site, "2", listen)
        said = failed.value.message
        assert f"process {holder} still runs in {site.path}/releases/" in said
        assert f"if it is left over: kill {holder}" in said
    finally:
        subprocess.run(["kill", holder], check=True)
    release(site, "3", listen)
    assert site.version() == "3"


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
