"""The app `shop` on real hosts: a deploy.yml, the commands run with it, and a server of artifacts.

A test module imports the fixtures it uses, and marks itself `fleet`.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parts.builds import Builds, serve_builds
from tests.parts.fleet import Host, fleet
from tests.parts.repository import ROOT
from tests.parts.site import artifact


@dataclass
class FleetSite:
    """A deploy.yml for three hosts, the commands run with it, and a server of artifacts."""

    folder: Path
    home: Path
    hosts: list[Host]
    builds: Builds

    def configure(self, more: str = "", roles: str = "") -> None:
        names = ", ".join(host.name for host in self.hosts)
        roles = roles or f"    web: {{hosts: [{names}]}}\n"
        text = f"app_name: shop\n{more}\nstage_role_configs:\n  production:\n{roles}"
        (self.folder / "deploy.yml").write_text(text)

    def add(self, version: str, **files: bytes) -> str:
        """Serve an artifact and return its URL."""
        contents = {name.replace("_sh", ".sh"): data for name, data in files.items()}
        data = Path(artifact(self.folder / "built", version, contents).removeprefix("file://")).read_bytes()
        self.builds.bodies[f"/{version}.tgz"] = [data]
        return f"{self.builds.url}/{version}.tgz"

    def start(self, *words: str, main: str = "faprelease.cli") -> subprocess.Popen[str]:
        """Begin to run a command; its `main` is of that module."""
        code = f"import sys; sys.path.insert(0, sys.argv.pop(1)); from {main} import main; main()"
        return subprocess.Popen(
            [sys.executable, "-c", code, str(ROOT), *words],
            cwd=self.folder,
            env={"HOME": str(self.home), "PATH": "/usr/bin:/bin", "FAP_WHO": "ada@ci"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, main: str = "faprelease.cli") -> subprocess.CompletedProcess[str]:
        process = self.start(*words, main=main)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def release(self, url: str, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("release", "--curl-url", url, "production", *words)

    def versions(self, folder: str = "shop") -> list[str]:
        """What runs on each host, empty for nothing."""
        return [self.version(host, folder) for host in self.hosts]

    def version(self, host: Host, folder: str = "shop") -> str:
        done = host.run(["cat", f"/home/deploy/www/{folder}/current/app.py"])
        return done.stdout.split("'")[1] if done.returncode == 0 else ""

    def locked(self) -> bool:
        return any(host.path("/home/deploy/www/shop/.fap/lock").exists() for host in self.hosts)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    with fleet(tmp_path_factory.mktemp("fleet"), 3) as started:
        yield started


@pytest.fixture(scope="module")
def builds() -> Iterator[Builds]:
    with serve_builds() as served:
        yield served


@pytest.fixture
def site(hosts: list[Host], builds: Builds, tmp_path: Path) -> FleetSite:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/config").write_text(hosts[0].ssh_config.read_text())
    for host in hosts:
        host.run(["sh", "-c", "[ ! -e www ] || chmod -R u+w www && rm -rf www"], check=True)
    builds.pause = 0
    made = FleetSite(tmp_path, home, hosts, builds)
    made.configure()
    return made
