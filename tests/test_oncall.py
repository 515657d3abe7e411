"""docs/oncall.md is true: its situations are made, its commands are run, and the screens are those it shows.

In a block, a line after `# ` is what happens or what a person does, and ACTIONS plays it; `…` is any text.
"""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from artifact_store.core.actor import Actor
from artifact_store.store.store import open_store
from artifact_store.trust.rules import NO_RULES
from tests.parts.builds import Builds, serve_builds
from tests.parts.fleet import Host, fleet, wait_until
from tests.parts.fleet_site import FleetSite
from tests.parts.repository import ROOT
from tests.parts.site import INSTALL
from tests.parts.supervisord import supervisord_on
from tests.parts.tgz import tgz

pytestmark = [pytest.mark.fleet, pytest.mark.supervisord, pytest.mark.slow]

PAGE = ROOT / "docs" / "oncall.md"
RUN = (ROOT / "fapbuild/installer/run").read_bytes()
SERVER = (ROOT / "tests/parts/unix_server.py").read_bytes()
MIGRATE = b"[ -e migrate_badly ] || exit 0\necho 'column price does not exist' >&2\nexit 1\n"
DEPLOY_YML = """\
app_name: shop
store: {store}
plugins: [supervisorctl, healthcheck]
processes: {{web: 1}}
handover: beside
handover_keep: 0
healthcheck_seconds: 6
supervisor_target: /home/deploy/supervisor/conf.d/shop.conf
release_command: sh migrate.sh
stage_role_configs:
  production:
    web: {{hosts: [web1, web2]}}
"""
SITUATIONS = re.findall(r"^## (\d+)\. ([^\n]*)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Night:
    """Two hosts, a store that a web server serves, and what can happen to them."""

    def __init__(self, site: FleetSite, stack: ExitStack) -> None:
        self.site, self.stack = site, stack
        self.store = open_store(f"file://{site.folder}/store", NO_RULES)
        self.configure()
        self.run_to("1")
        self.run_to("2")

    def configure(self, server: str = "") -> None:
        text = DEPLOY_YML.format(store=f"{server or self.site.builds.url}/store")
        (self.site.folder / "deploy.yml").write_text(text)

    def promote(self, version: str, command: str = "", **files: bytes) -> None:
        """Push a version of the app to the store, and promote it to production."""
        web = command or f"exec python3 unix_server.py $PORT {version}"
        contents = {
            "app.py": f"VERSION = {version!r}\n".encode(),
            "install.sh": INSTALL,
            "Procfile": f"web: {web}\n".encode(),
            ".fap/run": RUN,
            "unix_server.py": SERVER,
            "migrate.sh": MIGRATE,
            **files,
        }
        archive = tgz(self.site.folder, version=version, files=contents, wheels={})
        self.store.artifacts.publish(archive, by=Actor("ci"))
        self.store.stages.promote("shop", version, "production", by=Actor("ann"))
        self.serve()

    def serve(self) -> None:
        folder = self.site.folder / "store"
        for path in filter(Path.is_file, folder.rglob("*")):
            self.site.builds.bodies[f"/store/{path.relative_to(folder)}"] = [path.read_bytes()]

    def run_to(self, version: str) -> None:
        self.promote(version)
        done = self.site.run("production")
        assert done.returncode == 0, done.stderr

    def fill_the_disk(self) -> None:
        host = self.site.hosts[1]
        done = host.run(["sh", "-c", "cat /dev/zero >error.log"])
        assert "No space left" in done.stderr

    def empty_the_log(self) -> None:
        self.site.hosts[1].run(["sh", "-c", ": >error.log"], check=True)

    def lose_the_key(self) -> None:
        self.site.hosts[0].key.rename(self.site.folder / "key")

    def find_the_key(self) -> None:
        (self.site.folder / "key").rename(self.site.hosts[0].key)

    def kill_the_run(self) -> None:
        self.promote("7")
        process = self.site.start("production")
        place = self.site.hosts[0].path("/home/deploy/www/shop/.fap/rollout.jsonl")
        before = place.read_text()
        wait_until(lambda: place.read_text() != before, "the first host publishes", 30)
        process.kill()
        process.communicate()
        wait_until(lambda: not self.site.locked(), "the locks go", 20)

    def release_to_one(self) -> None:
        self.promote("6")
        done = self.site.run("production", "--hosts", "web1")
        assert done.returncode == 0, done.stderr

    def start_web2(self) -> None:
        host = self.site.hosts[1]
        host.machine.start()
        host.machine.wait_until_ready()
        self.stack.enter_context(supervisord_on(host))

    def actions(self) -> dict[str, Callable[[], object]]:
        dies = "exec python3 unix_server.py $PORT 4 500"
        return {
            "version 3 is promoted, whose migration fails": lambda: self.promote("3", migrate_badly=b""),
            "version 4 is promoted, which answers 500": lambda: self.promote("4", dies),
            "version 5 is promoted, and web2 is down": lambda: (
                self.promote("5"),
                self.site.hosts[1].machine.cut_power(),
            ),
            "web2 is up again": self.start_web2,
            "a log has filled the disk of web2": self.fill_the_disk,
            "the log is emptied": self.empty_the_log,
            "the key is not where it was": self.lose_the_key,
            "the key is there again": self.find_the_key,
            "someone released version 6 to web1 alone": self.release_to_one,
            "the laptop is closed while version 7 is released": self.kill_the_run,
            "the store does not answer": lambda: self.configure(server="http://127.0.0.1:9"),
            "the store answers again": self.configure,
        }


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("fleet")
        disk = folder / "web2/homes/deploy"
        disk.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", disk], check=True)
        stack.callback(subprocess.run, ["umount", "--lazy", disk], check=True)
        hosts: list[Host] = stack.enter_context(fleet(folder, 2))
        builds: Builds = stack.enter_context(serve_builds())
        for host in hosts:
            stack.enter_context(supervisord_on(host))
        made = tmp_path_factory.mktemp("night")
        (made / "home/.ssh").mkdir(parents=True)
        (made / "home/.ssh/config").write_text(hosts[0].ssh_config.read_text())
        yield Night(FleetSite(made, made / "home", hosts, builds), stack)


def matches(expected: list[str], shown: str) -> bool:
    """Whether the lines are there, in this order; a line `…` stands for any lines."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r" *\n" for line in expected
    )
    return re.search(pattern, shown + "\n") is not None


@pytest.mark.parametrize(("number", "title", "text"), SITUATIONS, ids=[title for _, title, _ in SITUATIONS])
def test_a_situation_of_the_night(number: str, title: str, text: str, night: Night) -> None:
    assert _BLOCK.search(text), f"{number}. {title} shows no screen"
    for block in _BLOCK.findall(text):
        for part in re.split(r"^(?=[$#] )", block, flags=re.MULTILINE):
            first, *expected = part.splitlines() or [""]
            if first.startswith("# "):
                night.actions()[first[2:]]()
            elif first:
                code = (
                    int(expected.pop().removeprefix("exit "))
                    if expected[-1:] and expected[-1].startswith("exit ")
                    else 0
                )
                done = night.site.run(*first.removeprefix("$ faprelease ").split())
                shown = done.stdout + done.stderr
                assert done.returncode == code, shown
                assert matches(expected, shown), f"{first}\n{shown}"


def test_the_page_has_ten_situations() -> None:
    assert [int(number) for number, _, _ in SITUATIONS] == list(range(1, 11))
