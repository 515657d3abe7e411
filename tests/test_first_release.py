"""From a repository without a line for fapkit to a running app: `fapbuild init`, `faprelease init`, and the
commands that they print, as they print them, on a real host with sshd and `systemd --user`."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parts.fleet import Host
from tests.parts.seaweed import seaweed
from tests.parts.systemd import Systemd
from tests.parts.systemd_site import hosts, systemd

__all__ = ["hosts", "systemd"]

pytestmark = [pytest.mark.systemd, pytest.mark.index, pytest.mark.slow]
BIN = Path(sys.executable).parent
FASTAPI = {
    "requirements.in": "fastapi\nuvicorn\n",
    "main.py": "from fastapi import FastAPI\n\napp = FastAPI()\n\n\n"
    "@app.get('/')\ndef index() -> dict[str, str]:\n    return {'says': 'hello'}\n",
    "worker.py": "import time\n\nwhile True:\n    time.sleep(1)\n",
    "nightly.py": "from pathlib import Path\n\nPath.home().joinpath('nightly').write_text('done')\n",
}
DJANGO = {
    "requirements.in": "django\ngunicorn\n",
    "manage.py": "import os\nimport sys\n\nfrom django.core.management import execute_from_command_line\n\n"
    "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'books.settings')\n"
    "if __name__ == '__main__':\n    execute_from_command_line(sys.argv)\n",
    "books/__init__.py": "",
    "books/settings.py": "SECRET_KEY = 'of-a-test'\nALLOWED_HOSTS = ['*']\nROOT_URLCONF = 'books.urls'\n",
    "books/urls.py": "from django.http import HttpResponse\nfrom django.urls import path\n\n"
    "urlpatterns = [path('', lambda request: HttpResponse('hello'))]\n",
    "books/wsgi.py": "import os\n\nfrom django.core.wsgi import get_wsgi_application\n\n"
    "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'books.settings')\n"
    "application = get_wsgi_application()\n",
}


@dataclass
class Newcomer:
    """A person with an app in a git repository, a store, and a host."""

    folder: Path
    env: Mapping[str, str]

    def type(self, line: str) -> str:
        """Run a line as it stands, without a terminal; return what it printed to stderr."""
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"
        return done.stderr


def printed_commands(text: str) -> list[str]:
    """The lines below `…, then run:`."""
    return [line.strip() for line in text.rpartition("then run:\n")[2].splitlines() if line.startswith("  ")]


@pytest.fixture
def newcomer(tmp_path: Path, hosts: list[Host], systemd: Systemd) -> Iterator[Newcomer]:
    home, folder = tmp_path / "home", tmp_path / "app"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/config").write_text(hosts[0].ssh_config.read_text())
    folder.mkdir()
    with seaweed(tmp_path / "s3") as server:
        server.make_bucket("artifacts")
        env = {**os.environ, **server.env, "HOME": str(home), "PATH": f"{BIN}:{os.environ['PATH']}"}
        env |= {
            f"GIT_{who}_{what}": "ann@example.org"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        yield Newcomer(folder, env)
    systemd.ctl("stop", "*.target", "*.service")


def _commit(newcomer: Newcomer, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (newcomer.folder / name).parent.mkdir(exist_ok=True)
        (newcomer.folder / name).write_text(text)
    newcomer.type("git init -q --bare ../origin.git && git init -q && git remote add origin ../origin.git")
    newcomer.type("git add --all && git commit -qm 'An app'")


def _answer(host: Host, app: str) -> str:
    socket = f"/home/deploy/www/{app}/run/web.sock"
    return host.run(["curl", "-sS", "--unix-socket", socket, "http://localhost/"], check=True).stdout


INIT = "faprelease init --host web1 --user deploy --manager systemd-user --store s3://artifacts"


def test_fastapi_with_a_worker_and_a_nightly_job(
    newcomer: Newcomer, hosts: list[Host], systemd: Systemd
) -> None:
    _commit(newcomer, FASTAPI)
    for line in printed_commands(newcomer.type("fapbuild init"))[:-1]:
        newcomer.type(line)
    newcomer.type("printf 'worker: python worker.py\\nnightly: python nightly.py\\n' >> Procfile")
    commands = printed_commands(newcomer.type(f"{INIT} --schedule nightly '0 3 * * *'"))
    assert len(commands) == 5
    for line in commands:
        newcomer.type(line)
    assert _answer(hosts[0], "app") == '{"says":"hello"}'
    listed = systemd.ctl("list-units", "--plain", "--no-legend", "--state=active").stdout
    assert "app-worker" in listed
    assert "nightly" in systemd.ctl("list-timers", "--all", "--no-legend").stdout
    newcomer.type("faprelease once --schedule nightly production web")
    assert hosts[0].path("/home/deploy/nightly").read_text() == "done"


def test_django(newcomer: Newcomer, hosts: list[Host]) -> None:
    newcomer.folder = newcomer.folder.with_name("books")
    newcomer.folder.mkdir()
    _commit(newcomer, DJANGO)
    for line in printed_commands(newcomer.type("fapbuild init"))[:-1]:
        newcomer.type(line)
    for line in printed_commands(newcomer.type(INIT)):
        newcomer.type(line)
    assert _answer(hosts[0], "books") == "hello"
