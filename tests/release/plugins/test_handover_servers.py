"""Web servers that people use, started beside each other behind a real nginx that runs as www-data."""

import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from faprelease.report.report import Report
from faprelease.verbs import release
from tests.parts.fronts import free_port, front, nginx_conf
from tests.parts.repository import IN_FULL, ROOT
from tests.parts.site import Site, artifact
from tests.parts.supervisord import Supervisord, supervisord_in

pytestmark = [pytest.mark.supervisord, pytest.mark.index, pytest.mark.slow]

RUN = (ROOT / "fapbuild/installer/run").read_bytes()
APP = b"""
import os
VERSION = os.environ["SHOP_VERSION"]
def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [VERSION.encode()]
async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": VERSION.encode()})
"""
SERVERS = {
    "gunicorn": "gunicorn --bind $FAP_BIND app:wsgi",
    "uvicorn": "uvicorn --uds $PORT app:asgi",
    "hypercorn": "hypercorn --bind $FAP_BIND app:asgi",
    "daphne": "daphne -u $PORT app:asgi",
    "granian": "granian --interface asgi --uds $PORT app:asgi",
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the servers' programs."""
    venv = tmp_path_factory.mktemp("servers") / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([venv / "bin/pip", "install", "-q", *SERVERS], check=True)
    return venv / "bin"


@pytest.fixture
def home() -> Iterator[Path]:
    """A home folder that only its owner can enter."""
    with tempfile.TemporaryDirectory(prefix="fap-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def supervisord(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisord]:
    with supervisord_in(tmp_path_factory.mktemp("d")) as running:
        yield running


@pytest.mark.parametrize("server", SERVERS if IN_FULL else ["gunicorn", "granian"])
def test_a_web_server_hands_over(
    server: str,
    servers: Path,
    home: Path,
    supervisord: Supervisord,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", f"{supervisord.bin}:{os.environ['PATH']}")
    site, port = Site(home), free_port()

    def build(version: str) -> str:
        procfile = f"web: exec env SHOP_VERSION={version} {servers}/{SERVERS[server]}\n"
        files = {"Procfile": procfile.encode(), ".fap/run": RUN, "app.py": APP}
        return artifact(site.folder / "built", version, files)

    def configure(more: str = "") -> None:
        site.configure(
            "plugins: [supervisorctl, healthcheck]\nhandover: beside\nprocesses: {web: 1}\n"
            f"supervisor_target: {supervisord.conf_d}/shop.conf\nhealthcheck_url: http://localhost/\n{more}"
        )

    def asked() -> str:
        return str(urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read().decode())

    folder = supervisord.folder.parent / "nginx"
    location = f"location / {{ proxy_pass http://unix:{site.path}/run/web.sock; }}"
    http = f"server {{ listen 127.0.0.1:{port}; {location} }}"
    folder.mkdir()
    folder.chmod(0o755)
    configure()
    site.release(build("1.0"))
    assert f"chmod o+x {home}" in capsys.readouterr().err
    with front("nginx", folder, nginx_conf(folder, http, "www-data"), port):
        with pytest.raises(HTTPError, match="502"):
            asked()  # nginx can't pass the closed home
        home.chmod(0o711)
        assert asked() == "1.0"
        configure("run_group: www-data\n")
        release.restart(site.request(), Report())
        assert "chmod o+x" not in capsys.readouterr().err
        assert asked() == "1.0"
        run = site.path / "run"
        socket = (run / "web.sock").resolve()
        assert (socket.stat().st_mode & 0o777, socket.group()) == (0o660, "www-data")
        assert (run.stat().st_mode & 0o7777, run.group()) == (0o2750, "www-data")
        nobody = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
        curl = ["curl", "-s", "--unix-socket", str(run / "web.sock"), "http://localhost/"]
        assert subprocess.run([*nobody, *curl], check=False).returncode == 7
        site.release(build("2.0"))
        assert asked() == "2.0"
