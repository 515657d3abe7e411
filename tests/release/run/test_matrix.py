"""Each step of a release meets each fault, on a host that is alone and on one of three: it fails, hangs,
loses its connection, its host or its controller, before it ran and after, or finds the disk full, be it of
bytes or of names.

Whatever it is, every host runs the old version afterwards or the new one; all the same one, unless exit code
3 says otherwise; no lock stays, and the next release needs no help. In the suite each step meets one of the
faults, on one of the fleets; `FAP_TEST_IN_FULL=1` asks for all, which takes a quarter of an hour.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from faprelease.plan.fleet import plan_release
from faprelease.report.report import Report
from faprelease.request import Request
from faprelease.run.run import Run
from tests.parts.breaking import FAULTS, HELD, Fault, steps_of
from tests.parts.fleet import Host, fleet, wait_until
from tests.parts.fleet_site import FleetSite, builds, site
from tests.parts.repository import IN_FULL

__all__ = ["builds", "site"]
pytestmark = pytest.mark.fleet

STEPS = 12
"""How many steps the plan of the first host has; the test of the list tells when that has changed."""
FLEETS = (1, 3)
CASES = [
    pytest.param(step, how, size, id=f"{step}-{how}-1 of {size}")
    for size in FLEETS
    for step in range(STEPS)
    for number, how in enumerate(FAULTS)
    # In the suite every step meets a fault, and every fault a step, on the fleets in turn.
    if IN_FULL or (number == step % len(FAULTS) and size == FLEETS[step % len(FLEETS)])
]
FULL = ("finds the disk full", "finds no inode left")
MORE = """\
linked_dirs: [log]
environment: {A: b}
keep_releases: 1
plugins: [tests.parts.plugins]
release_command: "true"
published_script: "true"
"""


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk at that folder that is soon full."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m,nr_inodes=20k", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    folder = tmp_path_factory.mktemp("fleet")
    with small_disk(folder / "web1/homes/deploy"), fleet(folder, 3) as started:
        yield started


@dataclass
class Part:
    """Some hosts of a site, the first of which meets a fault."""

    site: FleetSite
    size: int

    @property
    def hosts(self) -> list[Host]:
        return self.site.hosts[: self.size]

    @property
    def first(self) -> Host:
        return self.hosts[0]

    def versions(self) -> list[str]:
        """What runs on each host."""
        return [self.site.version(host) for host in self.hosts]

    def release(self, version: str, *fault: str) -> subprocess.Popen[str]:
        """Begin to release a version, with a fault (its place and name) or without."""
        url = self.site.add(version)
        (data,) = self.site.builds.bodies[f"/{version}.tgz"]
        flags = ("--curl-url", url, "--curl-sha256", hashlib.sha256(data).hexdigest())
        main = "tests.parts.breaking" if fault else "faprelease.cli"
        return self.site.start(*fault, "release", *flags, "production", main=main)

    def release_well(self, version: str) -> None:
        process = self.release(version)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert self.versions() == [version] * self.size

    def release_badly(self, version: str, step: int, how: str) -> tuple[int, str]:
        """The exit code, and what it said. What the fault took away is there again."""
        fault = FAULTS[how]
        process = self.release(version, self.first.name, str(step), how)
        if fault.cuts:
            held = self.first.path(f"/home/deploy/{HELD}")
            wait_until(held.exists, f"the step that {how} is held", 30)
            held.unlink()
            self.cut(fault, process)
        _, said = process.communicate(timeout=60)
        if fault.cuts == "host":
            self.first.machine.start()
            self.first.machine.wait_until_ready()
        shutil.rmtree(self.first.path("/home/deploy/ballast"), ignore_errors=True)
        return process.returncode, said

    def cut(self, fault: Fault, controller: subprocess.Popen[str]) -> None:
        if fault.cuts == "host":
            self.first.machine.cut_power()
        else:
            controller.kill()


@pytest.fixture(params=FLEETS)
def size(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def part(site: FleetSite, size: int) -> Part:
    made = Part(site, size)
    names = ", ".join(host.name for host in made.hosts)
    site.configure(MORE, roles=f"    web: {{hosts: [{names}]}}\n")
    made.release_well("1")
    return made


@pytest.mark.parametrize("size", [1], indirect=True)
def test_the_number_of_steps_is_right(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(part.site.home))
    request = Request(
        file=part.site.folder / "deploy.yml",
        stage="production",
        role="web",
        flags={"curl_url": part.site.add("2")},
    )
    run = Run.of(request, "release", Report()).with_environment()
    with run.connect(lock=False) as connected:
        plan = plan_release(connected.hosts, connected.info, run.source())
    titles = [step.title for step in steps_of(plan.hosts[0])]
    assert len(titles) == STEPS, titles


@pytest.mark.parametrize(("step", "how", "size"), CASES, indirect=["size"])
def test_all_hosts_are_old_or_all_are_new(part: Part, step: int, how: str) -> None:
    code, said = part.release_badly("2", step, how)
    versions = set(part.versions())
    assert versions in possible(code, how), said
    if FAULTS[how].cuts != "host":  # on whose disk it stays, and is known to be nobody's
        wait_until(lambda: not part.site.locked(), "no lock stays", 15)
    part.release_well("3")


def possible(code: int, how: str) -> list[set[str]]:
    """What may run after a release of 2 over 1 that met a fault and ended so."""
    old, new, both = {"1"}, {"2"}, {"1", "2"}
    if FAULTS[how].cuts == "controller":
        return [old, new, both] if code == -9 else []
    if code == 0:  # what was left of the disk was enough
        return [new] if how in FULL else []
    if code == 3:  # a host that is there is gone back on, so only tidying up can have failed
        return [old, new, both] if FAULTS[how].cuts == "host" or how in FULL else [new]
    return [old]
