"""The health gate, against real processes that listen on a port of this machine."""

import json
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from faprelease.errors import ConfigError, PartlyDoneError, RolledBackError
from faprelease.run import run
from tests.parts.fleet import wait_until
from tests.parts.site import Site, artifact
from tests.parts.supervisord import Supervisord, supervisord_in

pytestmark = pytest.mark.slow  # waits for processes that come up late, or never

SERVE = b"""\
import http.server, pathlib, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = pathlib.Path(self.path.lstrip("/"))
        self.send_response(200 if self.headers["Host"] == "shop.example" else 421)
        self.end_headers()
        self.wfile.write(pathlib.Path("app.py").read_bytes())
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    kill(tmp_path / "pid")


def kill(file: Path) -> None:
    with suppress(OSError, ValueError):
        os.kill(int(file.read_text()), signal.SIGKILL)


def start(site: Site, port: int, *, stop_old: bool = True) -> str:
    """A restart as a script: the server runs from `current` and outlives its step."""
    pid = site.folder / "pid"
    stop = f"kill $(cat {pid}) 2>/dev/null; while kill -0 $(cat {pid}) 2>/dev/null; do sleep 0.1; done"
    serve = f"cd -P {site.path}/current && exec setsid {sys.executable} serve.py {port} >/dev/null 2>&1"
    return f"{stop if stop_old else ':'}\n({serve}) &\n{f'echo $! >{pid}' if stop_old else ''}"


def configure(site: Site, port: int, script: str, more: str = "", seconds: int = 20) -> None:
    site.configure(
        f"plugins: [tests.parts.plugins, healthcheck]\npublished_script: {json.dumps(script)}\n"
        f"healthcheck_port: {port}\nhealthcheck_host: shop.example\nhealthcheck_seconds: {seconds}\n{more}"
    )


def build(site: Site, version: str, serve: bytes = SERVE) -> str:
    return artifact(site.folder / version, version, {"serve.py": serve})


def test_the_new_release_answers_and_an_old_process_does_not_pass(site: Site, port: int) -> None:
    configure(site, port, start(site, port))
    first = site.release(build(site, "1"))
    second = site.release(build(site, "2"))
    assert second > first
    old = int((site.folder / "pid").read_text())
    configure(site, port, start(site, port, stop_old=False), seconds=2)
    with pytest.raises(RolledBackError) as failed:
        site.release(build(site, "3"))
    assert "the old release still answers" in failed.value.message
    assert f"port {port} is held by process {old}, which runs in {site.path}/releases/{second}" in (
        failed.value.message
    )
    assert site.current() == second
    assert list(site.states().values()) == ["retired", "live", "bad"]


def test_the_answer_itself_can_show_the_version(site: Site, port: int) -> None:
    configure(site, port, start(site, port), "healthcheck_shows: version")
    first = site.release(build(site, "1-a"))
    configure(site, port, start(site, port, stop_old=False), "healthcheck_shows: version", 2)
    with pytest.raises(RolledBackError, match=r"does not show version 2-b: VERSION = '1-a'"):
        site.release(build(site, "2-b"))
    assert site.current() == first


def test_what_does_not_answer_as_expected_goes_back_and_is_seen_to_answer(site: Site, port: int) -> None:
    configure(site, port, start(site, port), seconds=3)
    first = site.release(build(site, "1"))
    with pytest.raises(RolledBackError, match="status 500, not 200"):
        site.release(build(site, "2", SERVE.replace(b"421", b"500").replace(b"shop.example", b"other")))
    assert site.current() == first
    assert (
        Path(f"/proc/{(site.folder / 'pid').read_text().strip()}/cwd").readlink()
        == site.path / "releases" / first
    )
    with pytest.raises(RolledBackError, match="no answer: curl: "):
        site.release(build(site, "3", b"raise SystemExit(3)"))
    assert site.current() == first


def test_nothing_listens_is_told_from_nobody_can_see(site: Site, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        configure(site, port, "true", "healthcheck_timeout: 1", 1)
        with pytest.raises(RolledBackError, match=r"no answer: curl: .*timed out"):
            site.release(build(site, "1"))


@pytest.mark.parametrize("url", ["", "ftp://x", "http://x:port/", "http://x/\u00e9"])
def test_a_url_that_is_none_is_said_before_anything_changes(site: Site, url: str) -> None:
    site.configure(f"plugins: [healthcheck]\nhealthcheck_url: '{url}'")
    with pytest.raises(ConfigError, match="healthcheck"):
        site.release(build(site, "1"))
    assert not (site.path / "releases").exists()


@pytest.mark.supervisord
def test_a_failing_gate_shows_what_the_program_said_last(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with supervisord_in(tmp_path / "sv") as supervisord:
        monkeypatch.setenv("PATH", f"{supervisord.bin}:{os.environ['PATH']}")
        site = Site(tmp_path)
        site.configure(
            "plugins: [supervisorctl, healthcheck]\nhealthcheck_host: shop.example\nhealthcheck_seconds: 2\n"
            f"supervisor_target: {supervisord.conf_d}/shop.conf\n"
            f"healthcheck_url: http://127.0.0.1:{port}/health?key=s3cret-key"
        )
        first = site.release(supervised(site, "1", port, SERVE))
        serve = b"import time\nprint('no database', flush=True)\ntime.sleep(1000)\n"
        with pytest.raises(RolledBackError) as failed:
            site.release(supervised(site, "2", port, serve))
        assert re.search(r"\| shop, stdout:\n    \| no database", failed.value.message)
        assert "s3cret-key" not in failed.value.message
        assert site.current() == first
        wait_until(lambda: runs_from(supervisord) == first, "the old release runs again", 10)


def supervised(site: Site, version: str, port: int, serve: bytes) -> str:
    conf = (
        f"[program:shop]\ncommand={sys.executable} serve.py {port}\ndirectory={site.path}/current\n"
        "startsecs=1\nstartretries=0\n"
    )
    files = {"serve.py": serve, "configs/supervisor_production_web.conf": conf.encode()}
    return artifact(site.folder / version, version, files)


def runs_from(supervisord: Supervisord) -> str:
    pid = supervisord.ctl("pid", "shop").stdout.strip()
    return Path(f"/proc/{pid}/cwd").readlink().name


class Forger(BaseHTTPRequestHandler):
    """Another user's server on the app's port, which knows the mark of the session."""

    mark = f"fap-{os.urandom(16).hex()}"

    def do_GET(self) -> None:
        self.send_response(500)
        self.end_headers()
        frames = [f"{self.mark} end {number} 0" for number in range(4)]
        self.wfile.write("\n".join(["", *frames, "\rdigest 0"]).encode())


def test_an_answer_can_not_forge_the_gate(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even with the mark, which is written nowhere."""
    monkeypatch.setattr(run, "_new_word", lambda: Forger.mark)
    site.configure()
    first = site.release(build(site, "1"))
    with HTTPServer(("127.0.0.1", 0), Forger) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        site.configure(
            f"plugins: [healthcheck]\nhealthcheck_port: {server.server_port}\n"
            "healthcheck_seconds: 2\nhealthcheck_shows: version\n"
        )
        with pytest.raises(PartlyDoneError, match="status 500, not 200"):
            site.release(build(site, "2"))
        server.shutdown()
    assert site.current() == first
