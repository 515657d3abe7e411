"""From a repository without a line for fapkit to a running app: the five commands of README, and those that
`fapbuild init` and `faprelease init` print, as they stand, on a real host with sshd and `systemd --user`."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parts.distribution import COMMANDS, dist
from tests.parts.fleet import Host, ensure_user
from tests.parts.repository import ROOT
from tests.parts.seaweed import seaweed
from tests.parts.systemd import Systemd
from tests.parts.systemd_site import hosts, systemd

__all__ = ["dist", "hosts", "systemd"]

pytestmark = [pytest.mark.systemd, pytest.mark.index, pytest.mark.slow]
USER = "ann"
INIT = "faprelease init --host web1.example.com --user deploy --manager systemd-user --store s3://example-artifacts"
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
    """A person without rights on this machine, who has the three commands, a git repository and a store."""

    folder: Path
    env: Mapping[str, str]

    def type(self, line: str) -> str:
        """Run a line as it stands, without a terminal; return what it printed to stderr."""
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self.env,
            user=USER,
            group=USER,
            extra_groups=(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"
        return done.stderr

    def commit(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_text(text)
        _give(self.folder)
        self.type("git init -q --bare ../origin.git && git init -q && git remote add origin ../origin.git")
        self.type("git add --all && git commit -qm 'An app'")

    def type_all(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.type(line)


def printed_commands(text: str) -> list[str]:
    """The lines below `…, then run:`."""
    return [line.strip() for line in text.rpartition("then run:\n")[2].splitlines() if line.startswith("  ")]


def _give(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, USER, USER)


@pytest.fixture
def newcomer(dist: Path, hosts: list[Host], systemd: Systemd, tmp_path: Path) -> Iterator[Newcomer]:
    ensure_user(USER)
    with tempfile.TemporaryDirectory(prefix="fap-new-") as name, seaweed(tmp_path / "s3") as server:
        home = Path(name)
        for folder in ("bin", "shop", ".ssh"):
            (home / folder).mkdir()
        for command in COMMANDS:
            (pex,) = dist.glob(f"{command}-*.pex")
            shutil.copy(pex, home / "bin" / command)
        config = hosts[0].ssh_config.read_text().replace("Host web1", "Host web1.example.com")
        for file in (hosts[0].key, hosts[0].known_hosts):
            shutil.copy(file, home / ".ssh")
            config = config.replace(str(file), str(home / ".ssh" / file.name))
        (home / ".ssh/config").write_text(config)
        (home / ".ssh" / hosts[0].key.name).chmod(0o600)
        _give(home)
        server.make_bucket("example-artifacts")
        kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}  # which index
        env = {**kept, **server.env, "HOME": name, "PATH": f"{name}/bin:/usr/local/bin:/usr/bin:/bin"}
        who = {f"GIT_{who}_NAME": "Ann" for who in ("AUTHOR", "COMMITTER")}
        mail = {f"GIT_{who}_EMAIL": "ann@example.org" for who in ("AUTHOR", "COMMITTER")}
        yield Newcomer(home / "shop", {**env, **who, **mail})
        subprocess.run(["chmod", "-R", "u+w", home], check=True)
    systemd.ctl("stop", "shop.target", "shop-*")
    hosts[0].run(["sh", "-c", "chmod -R u+w www; rm -rf www .config nightly"], check=True)
    systemd.ctl("daemon-reload")


def _answer(host: Host) -> str:
    socket = "/home/deploy/www/shop/run/web.sock"
    return host.run(["curl", "-sS", "--unix-socket", socket, "http://localhost/"], check=True).stdout


def test_the_five_commands_of_the_readme_release_a_django_app(newcomer: Newcomer, hosts: list[Host]) -> None:
    section = (ROOT / "README.md").read_text().partition("## Your first release\n")[2].partition("\n## ")[0]
    build, release, *rest = re.findall(r"^ {4}(.*)$", section, re.MULTILINE)
    assert len(rest) == 3
    newcomer.commit(DJANGO)
    began = time.monotonic()
    newcomer.type_all(printed_commands(newcomer.type(build))[:-1])  # the last one packs
    commit, *printed = printed_commands(newcomer.type(release))
    assert [line for line in printed if "plan" not in line] == rest
    newcomer.type_all([commit, *rest])
    assert time.monotonic() - began < 180
    assert _answer(hosts[0]) == "hello"


def test_fastapi_with_a_worker_and_a_nightly_job(
    newcomer: Newcomer, hosts: list[Host], systemd: Systemd
) -> None:
    newcomer.commit(FASTAPI)
    newcomer.type_all(printed_commands(newcomer.type("fapbuild init"))[:-1])
    newcomer.type("printf 'worker: python worker.py\\nnightly: python nightly.py\\n' >> Procfile")
    commands = printed_commands(newcomer.type(f"{INIT} --schedule nightly '0 3 * * *'"))
    assert len(commands) == 5
    newcomer.type_all(commands)
    assert _answer(hosts[0]) == '{"says":"hello"}'
    assert "shop-worker" in systemd.ctl("list-units", "--plain", "--no-legend", "--state=active").stdout
    assert "nightly" in systemd.ctl("list-timers", "--all", "--no-legend").stdout
    newcomer.type("faprelease once --schedule nightly production web")
    assert hosts[0].path("/home/deploy/nightly").read_text() == "done"
