"""Small projects of every make: init, the lines that it prints, pack, install, and an answer to a request.

A sample of the frameworks, servers, layouts and lock tools; FAP_TEST_IN_FULL=1 runs them all.
"""

import http.client
import itertools
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.parts.installer import BARE, install
from tests.parts.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.index]

FLASK = "from flask import Flask\napp = Flask(__name__)\n\n\n@app.get('/')\ndef index():\n    return 'here'\n"
FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n\n\n@app.get('/')\ndef index():\n    return 'here'\n"
STARLETTE = """\
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("here"))])
"""
DJANGO = {
    "manage.py": "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n",
    "shop/__init__.py": "",
    "shop/settings.py": "ROOT_URLCONF = 'shop.urls'\nALLOWED_HOSTS = ['*']\nSECRET_KEY = 'x'\n",
    "shop/urls.py": "from django.http import HttpResponse\nfrom django.urls import path\n"
    "urlpatterns = [path('', lambda request: HttpResponse('here'))]\n",
    **{
        f"shop/{kind}.py": "import os\n"
        f"from django.core.{kind} import get_{kind}_application\n"
        f"os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n"
        f"application = get_{kind}_application()\n"
        for kind in ("wsgi", "asgi")
    },
}
WSGI, ASGI = ("gunicorn", "waitress", "granian", "pyuwsgi"), ("uvicorn", "hypercorn", "daphne", "granian")
FRAMEWORKS = {
    "flask": (FLASK, WSGI),
    "fastapi": (FASTAPI, ASGI),
    "starlette": (STARLETTE, ASGI),
}
AT_SOCKETS = ("gunicorn", "uvicorn", "hypercorn", "daphne", "granian")
"""Servers whose line listens at FAP_BIND, if it is given."""
LOCKS = {
    "uv": ("uv", "lock", "--quiet"),
    "poetry": ("poetry", "lock", "--quiet"),
    "pdm": ("pdm", "lock", "--quiet"),
    "pipenv": ("pipenv", "lock"),
}
SIMPLE = '[[tool.poetry.source]]\nname = "simple"\nurl = "https://pypi.org/simple/"\n'
"""A simple index, which mirrors have, rather than the JSON that Poetry asks PyPI for."""
LAYOUTS = ("module", "package", "src", "factory")
TOOLS = ("requirements", "pyproject", "uv", "poetry", "pdm", "pipenv")
BUILD = "const fs = require('fs')\nfs.mkdirSync('out')\nfs.writeFileSync('out/a.js', '1')\n"
FRONTS = {
    "none": {},
    "named": {"web/package.json": '{"scripts": {"build": "mkdir out && cp a.js out/ # -o out"}}'},
    "computed": {"web/package.json": '{"scripts": {"build": "node build.js"}}'},
}
"""Front ends: none, one whose output the build script names, and one that computes it."""
SAMPLE = {
    ("django", "gunicorn", "package", "requirements", "none"),
    ("django", "daphne", "package", "requirements", "none"),
    ("flask", "waitress", "factory", "uv", "named"),
    ("fastapi", "uvicorn", "package", "pyproject", "none"),
    ("starlette", "hypercorn", "src", "uv", "none"),
    ("fastapi", "granian", "module", "requirements", "computed"),
    ("flask", "pyuwsgi", "module", "poetry", "none"),
    ("flask", "gunicorn", "package", "pdm", "none"),
    ("flask", "gunicorn", "module", "pipenv", "none"),
}


def every() -> list[tuple[str, str, str, str, str]]:
    made = [
        (framework, server, layout, tool, "none")
        for framework, (_, servers) in FRAMEWORKS.items()
        for server, layout, tool in itertools.product(servers, LAYOUTS, TOOLS)
        if not (layout == "factory" and (server == "daphne" or framework == "starlette"))
    ]
    made += [("django", server, "package", tool, "none") for server in {*WSGI, *ASGI} for tool in TOOLS]
    made += [
        ("flask", "gunicorn", "module", tool, front) for tool in TOOLS for front in FRONTS if front != "none"
    ]
    return sorted(made) if os.environ.get("FAP_TEST_IN_FULL") else sorted(SAMPLE)


def files_of(framework: str, server: str, layout: str, tool: str, front: str) -> Mapping[str, str]:
    packages = [framework, server]
    text, _ = FRAMEWORKS.get(framework, ("", ()))
    if layout == "factory":
        first, _, rest = text.partition("\n")
        body = "".join(f"    {line}\n" if line else "\n" for line in rest.rstrip().splitlines())
        text = f"{first}\n\n\ndef create_app():\n{body}    return app\n"
    place = {
        "module": "app.py",
        "package": "shop/main.py",
        "src": "src/shop/main.py",
        "factory": "shop/__init__.py",
    }
    files = dict(DJANGO) if framework == "django" else {place[layout]: text}
    if layout == "src":
        files["src/shop/__init__.py"] = ""
    needed = ", ".join(f'"{one}"' for one in packages)
    if tool == "requirements":
        files["requirements.in"] = "\n".join(packages)
    elif tool == "pipenv":
        files["Pipfile"] = "[packages]\n" + "".join(f'{one} = "*"\n' for one in packages)
    else:
        head = '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.11"\n'
        files["pyproject.toml"] = f"{head}dependencies = [{needed}]\n"
    if tool == "poetry":
        files["pyproject.toml"] += SIMPLE
    if front != "none":
        files |= FRONTS[front]
        files["web/a.js"] = "1"
        files["web/build.js"] = BUILD
        files["web/package-lock.json"] = '{"lockfileVersion": 3, "packages": {"": {}}}'
    if layout == "src" and "pyproject.toml" in files:
        files["pyproject.toml"] += (
            '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        )
    return files


@pytest.mark.parametrize("make", every(), ids="-".join)
def test_init_and_its_lines_give_a_running_app(
    tmp_path: Path, local_env: Mapping[str, str], make: tuple[str, str, str, str, str]
) -> None:
    (tmp_path / "shop").mkdir()
    project = Project(tmp_path / "shop", local_env).commit(dict(files_of(*make)))
    if tool := LOCKS.get(make[3]):
        environment = {**os.environ, "PDM_USE_VENV": "0", "POETRY_VIRTUALENVS_CREATE": "false"}
        subprocess.run([sys.executable, "-m", *tool], cwd=project.folder, env=environment, check=True)
        (project.folder / ".pdm-python").unlink(missing_ok=True)
        project.commit()
    done = project.run("init")
    assert done.returncode == 0, done.stderr
    steps = [line.strip() for line in done.stderr.partition("then run:\n")[2].splitlines()]
    for step in steps[:-2]:
        if step.startswith("fapbuild "):
            locked = project.run(*shlex.split(step)[1:])
            assert locked.returncode == 0, locked.stderr
        else:
            subprocess.run(["sh", "-c", step], cwd=project.folder, check=True)
    facts = project.commit().pack("--allow-unpushed")
    host = tmp_path / "host"
    host.mkdir()
    subprocess.run(["tar", "xzf", facts["path"]], cwd=host, check=True)
    if make[4] != "none":
        assert (host / "web/out/a.js").read_text() == "1"
    assert install(host).returncode == 0
    assert answer(host) == 200
    if make[1] in AT_SOCKETS:
        assert answer(host, tmp_path / "web.sock") == 200


class AtSocket(http.client.HTTPConnection):
    """A connection to a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self.path))


def answer(host: Path, path: Path | None = None) -> int:
    """The status of `GET /` of the web process at a port, or at a unix socket; it is stopped by SIGTERM."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = host.parent / "log"
    given = {"PORT": str(path), "FAP_BIND": f"unix:{path}"} if path else {"PORT": str(port)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["./.fap/run", "web"], cwd=host, env={**BARE, **given}, stdout=out, stderr=out
        )
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            connection = AtSocket(path) if path else http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            try:
                connection.request("GET", "/")
                return connection.getresponse().status
            except OSError:
                time.sleep(0.2)
            finally:
                connection.close()
        raise AssertionError(log.read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
