"""Hosts with another Debian than this machine's: real roots, with their own Python, libc, curl and sshd."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parts.builds import Builds, serve_builds
from tests.parts.fleet import Host, fleet
from tests.parts.fleet_site import FleetSite
from tests.parts.repository import IN_FULL

pytestmark = [pytest.mark.fleet, pytest.mark.slow]

MIRROR = "http://deb.debian.org/debian"
PACKAGES = "python3,curl,openssh-server,ca-certificates"
PYPROJECT = """\
[project]
name = "shop"
version = "1"
requires-python = ">=3.8"
dependencies = ["itsdangerous==2.2.0"]
[tool.fapbuild]
app = "shop"
"""


@dataclass(frozen=True)
class System:
    """A Debian, and the platform of its Python."""

    suite: str
    target: str
    python: str


SYSTEMS = [
    System("bullseye", "cp39-manylinux_2_31_x86_64", "3.9"),
    System("trixie", "cp313-manylinux_2_41_x86_64", "3.13"),
    # This machine's own, on which all other tests run.
    *([System("bookworm", "cp311-manylinux_2_36_x86_64", "3.11")] if IN_FULL else []),
]


@pytest.fixture(scope="module", params=SYSTEMS, ids=lambda system: system.suite)
def system(request: pytest.FixtureRequest) -> System:
    chosen: System = request.param
    return chosen


@pytest.fixture(scope="module")
def host(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp(system.suite)
    made = subprocess.run(
        [
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            f"--include={PACKAGES}",
            system.suite,
            folder / "root",
            MIRROR,
        ],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    with fleet(folder / "fleet", 1, root=folder / "root") as (started,):
        yield started


@pytest.fixture(scope="module")
def builds() -> Iterator[Builds]:
    with serve_builds() as served:
        yield served


@pytest.fixture(scope="module")
def site(host: Host, builds: Builds, tmp_path_factory: pytest.TempPathFactory) -> FleetSite:
    folder = tmp_path_factory.mktemp("site")
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/config").write_text(host.ssh_config.read_text())
    made = FleetSite(folder, home, [host], builds)
    made.configure()
    return made


def packed(site: FleetSite, version: str, target: str) -> str:
    """The URL of an artifact that `fapbuild pack` made for a platform."""
    source = site.folder / f"source-{version}-{target}"
    source.mkdir()
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "app.py").write_text(f"VERSION = {version!r}\n")
    who = ("-c", "user.name=shop", "-c", "user.email=shop@example.com")
    fapbuild = str(Path(sys.executable).parent / "fapbuild")
    for words in (
        ["git", "init", "-q"],
        [fapbuild, "lock"],
        ["git", "add", "--all"],
        ["git", *who, "commit", "-q", "-m", "A shop"],
        [fapbuild, "pack", "--allow-dirty", "--allow-unpushed", "--target", target, "-o", "dist"],
    ):
        done = subprocess.run(words, cwd=source, capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stderr)
    (file,) = (source / "dist").glob("*.tgz")
    site.builds.bodies[f"/{source.name}.tgz"] = [file.read_bytes()]
    return f"{site.builds.url}/{source.name}.tgz"


def test_it_is_released_to_rolled_back_and_contained(site: FleetSite, system: System, host: Host) -> None:
    first, second = (packed(site, version, system.target) for version in ("1", "2"))
    for url, version in ((first, "1"), (second, "2")):
        done = site.release(url)
        assert done.returncode == 0, done.stderr
        assert site.version(host) == version
    python = "/home/deploy/www/shop/current/venv/bin/python"
    code = "import sys, itsdangerous; print('%d.%d' % sys.version_info[:2], itsdangerous.__file__)"
    said = host.run([python, "-c", code], check=True).stdout.split()
    assert said[0] == system.python
    assert "/home/deploy/www/shop/" in said[1]
    doctor = site.run("doctor", "production")
    assert "the last install was contained" in doctor.stdout + doctor.stderr
    back = site.run("rollback", "production")
    assert back.returncode == 0, back.stderr
    assert site.version(host) == "1"
    assert site.run("status", "production").returncode == 0


def test_an_artifact_for_another_python_is_refused_by_the_plan(site: FleetSite, system: System) -> None:
    url = packed(site, "3", "cp312-manylinux_2_28_x86_64")
    plan = site.run("plan", "--curl-url", url, "production")
    assert plan.returncode == 1, plan.stdout
    assert f"needs Python 3.12, but the host has {system.python}." in plan.stderr
    assert f"fapbuild pack --target {system.target}" in plan.stderr
    refused = site.release(url)
    assert refused.returncode == 1
    assert "nothing was published" in refused.stderr
