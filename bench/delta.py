"""A code-only release to a host that has the one before: bytes, seconds and CPU, against others."""

import itertools
import os
import resource
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from bench import locked_app
from bench.install import PYTHON
from bench.link import Link, link
from bench.processes import BIN, BenchError, output
from tests.parts import host_install
from tests.parts.webserver import serve

SLOW = 20_000_000 // 8
PIP = "curl, tar, venv, pip"
UV_ATOMIC = "git fetch, worktree, uv venv, uv pip sync, warm"
UV_IN_PLACE = "the same in place"
DEPLOY = """\
app_name: {app}
connection: local
path: {path}
cache_path: {cache}
stage_role_configs: {{production: {{web: {{}}}}}}
"""


class Cost(NamedTuple):
    """What something took, in seconds: of the clock, and of CPU in it and all that it waited for."""

    seconds: float
    cpu: float


@dataclass(frozen=True)
class Row:
    """One comparison: medians in seconds (or bytes), each turn's ratio, and the medians of CPU in seconds."""

    what: str
    ours: float
    peer: str
    theirs: float
    ratios: list[float] = field(default_factory=list)
    our_cpu: float = 0
    their_cpu: float = 0

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


@dataclass(frozen=True)
class Build:
    """An artifact as it is served."""

    path: Path
    url: str
    digest: str
    root: str
    commit: str


class Scene:
    """A host (this machine), a server behind a link, and builds of adjacent commits.

    Nothing is removed before the end: an ext4 without a journal takes no inode that was freed in the last
    minutes, and looks at each of them for every new file (10 to 30 s of CPU, for whoever comes next).
    """

    def __init__(self, folder: Path, app: str, wire: Link, builds: list[Build]) -> None:
        self.folder, self.app, self.wire, self.builds = folder, app, wire, builds
        self._numbers = itertools.count()

    def release(self, build: Build, role: str = "web", cache: str = "cache") -> Cost:
        """Release as a whole process, until it is live, which is later than ready."""
        deploy = self.folder / f"{role}.yml"
        where = self.folder / cache if cache else '""'
        deploy.write_text(DEPLOY.format(app=self.app, path=self.folder / role, cache=where))
        command = [BIN / "faprelease", "-f", deploy, "--curl-url", build.url, "--curl-sha256", build.digest]
        command += ["--curl-root", build.root]
        return timed(lambda: output([*command, "production", "web"], self.folder, _environment()))

    def by_pip(self, build: Build) -> Cost:
        """curl, tar, venv and pip, as a person types it."""
        folder = self.fresh("pip")
        folder.mkdir()
        script = (
            f"curl -sf {build.url} | tar xz && {PYTHON} -m venv venv && "
            "venv/bin/pip install -q --disable-pip-version-check --no-index --find-links wheels "
            "--require-hashes -r requirements.lock"
        )
        return timed(lambda: output(["sh", "-ec", script], folder, _environment()))

    def by_uv(self, build: Build, *, in_place: bool = False, cold: bool = False) -> Cost:
        """git and uv, as a person types it; into a new folder, or where the app runs. `cold` compiles
        bytecode too, and has no cache."""
        site, origin = self.folder / "uv-site", self.folder / "origin.git"
        output(
            ["git", "push", "-q", "-f", origin, f"{build.commit}:refs/heads/main"], self.folder / "repository"
        )
        if not site.exists():
            output(["git", "clone", "-q", "-b", "main", origin, site / "clone"], self.folder)
        cache = self.fresh("uv-cold") if cold else self.folder / "uv-cache"
        wheels = f"--no-index --find-links {self.folder / 'wheels'} --require-hashes requirements.txt"
        sync = f"{BIN}/uv pip sync -q --python venv/bin/python {wheels}{' --compile-bytecode' * cold}"
        venv = f"{BIN}/uv venv -q --python {PYTHON} venv"
        if in_place:
            script = f"cd clone; git pull -q --ff-only; [ -d venv ] || {venv}; {sync}"
        else:
            script = (
                f"git -C clone fetch -q; git -C clone worktree add -q --detach $0 {build.commit}; cd $0; "
                f"{venv}; {sync}; ln -s $0 ../current.new; mv -T ../current.new ../current"
            )
        environment = {**_environment(), "UV_CACHE_DIR": str(cache), "UV_OFFLINE": "1", "UV_NO_CONFIG": "1"}
        argv = ["sh", "-ec", script, self.fresh("uv-release")]
        return timed(lambda: output(argv, site, environment))

    def fresh(self, name: str) -> Path:
        """A path that is not there."""
        return self.folder / f"{name}-{next(self._numbers)}"

    def forget(self) -> None:
        """A bare host again."""
        for name in ("web", "second", "cache"):
            if (self.folder / name).exists():
                (self.folder / name).rename(self.fresh(f"old-{name}"))


def measure(folder: Path, app: str, commits: int, runs: int, *, bytecode: bool) -> Iterator[Row]:
    """Everything on builds of `commits` + 1 commits, each of which changes two modules; `app` is a folder of
    bench/apps. With `bytecode`, artifacts have it.

    Raises BenchError if a release fails or moves nothing.
    """
    folder.mkdir()
    repository = locked_app.make(folder / "repository", app, bytecode=bytecode)
    output(["git", "init", "-q", "--bare", folder / "origin.git"], folder)
    with serve() as site, link(site.url) as wire:
        builds = []
        for number in range(commits + 1):
            for module in (number, 7 * number + 20):
                with (repository / "shop" / f"part{module % 200}.py").open("a") as file:
                    file.write(f"\n\nCHANGE = {number}\n")
            commit = locked_app.commit(repository)
            made = locked_app.pack(repository, folder / "artifacts")
            site.files[f"/{made.name}"] = made.read_bytes()
            digest = sha256(site.files[f"/{made.name}"]).hexdigest()
            root = locked_app.root_of(made)
            builds.append(Build(made, f"{wire.url}/{made.name}", digest, root, commit))
        scene = Scene(folder, app, wire, builds)
        unpacked = locked_app.unpack(builds[0].path, folder / "unpacked")
        (unpacked / "wheels").rename(folder / "wheels")
        yield from _first(scene, runs)
        yield from _code_only(scene)
        yield _install(scene, runs)
        yield _second_role(scene)
        yield _slow(scene, runs)


def _first(scene: Scene, runs: int) -> list[Row]:
    ours, pip, uv = list[Cost](), list[Cost](), list[Cost]()
    for turn in range(runs):
        scene.forget()
        ways: list[tuple[list[Cost], Callable[[Build], Cost]]]
        ways = [(ours, scene.release), (pip, scene.by_pip), (uv, partial(scene.by_uv, cold=True))]
        for found, way in ways if turn % 2 else ways[::-1]:
            os.sync()
            found.append(way(scene.builds[0]))
    return [
        _row("first release, bare host", ours, PIP, pip),
        _row("first release, bare host", ours, "uv venv, uv pip sync --compile-bytecode, cold", uv),
    ]


def _code_only(scene: Scene) -> list[Row]:
    moved, size, ours = list[float](), list[float](), list[Cost]()
    atomic, in_place = list[Cost](), list[Cost]()
    scene.by_uv(scene.builds[0])
    scene.by_uv(scene.builds[0], in_place=True)
    for build in scene.builds[1:]:
        before = scene.wire.carried
        ours.append(scene.release(build))
        moved.append(float(scene.wire.carried - before))
        size.append(float(build.path.stat().st_size))
        atomic.append(scene.by_uv(build))
        in_place.append(scene.by_uv(build, in_place=True))
    if not min(moved):
        raise BenchError("a release moved nothing")
    ratios = [one / other for one, other in zip(moved, size, strict=True)]
    bytes_moved, whole = statistics.median(moved), statistics.median(size)
    kept = sum(path.stat().st_size for path in (scene.folder / "cache" / "artifacts").rglob("*.*"))
    return [
        Row("code only: bytes on the wire", bytes_moved, "the whole", whole, ratios),
        Row("bytes of artifacts kept on the host", kept, "the whole", whole),
        _row("code only: until it is live", ours, UV_ATOMIC, atomic),
        _row("code only: until it is live", ours, UV_IN_PLACE, in_place),
    ]


def _install(scene: Scene, runs: int) -> Row:
    """The host's program and install.sh alone, beside uv with a warm cache."""
    release = locked_app.unpack(scene.builds[-1].path, scene.folder / "web" / "releases" / "by-hand")
    cache = {"UV_CACHE_DIR": str(scene.folder / "uv"), "UV_OFFLINE": "1", "UV_NO_CONFIG": "1"}
    kept = scene.folder / "wheels-kept"
    uv = (
        f"{BIN}/uv venv -q --python {PYTHON} $0 && {BIN}/uv pip install -q --python $0/bin/python "
        "--no-index --find-links wheels --require-hashes -r requirements.lock"
    )
    ours, theirs = list[Cost](), list[Cost]()
    for _ in range(runs + 1):
        shutil.rmtree(release / "venv", ignore_errors=True)
        argv = ["sh", "-ec", uv, scene.fresh("uv")]
        theirs.append(timed(lambda: output(argv, release, {**_environment(), **cache})))  # noqa: B023 (now)
        (release / "wheels").rename(kept)
        ours.append(timed(lambda: _install_by_host(release, scene.folder / "cache")))
        kept.rename(release / "wheels")
    return _row("code only: the install alone", ours[1:], "uv venv, uv pip install, warm", theirs[1:])


def _install_by_host(release: Path, cache: Path) -> None:
    done = host_install.install(release, cache)
    if done.returncode:
        raise BenchError(done.stdout)


def _second_role(scene: Scene) -> Row:
    before = scene.wire.carried
    ours = scene.release(scene.builds[-1], role="second")
    if scene.wire.carried != before:
        raise BenchError(f"the second role moved {scene.wire.carried - before} bytes")
    return _row("second role, 0 bytes moved", [ours], PIP, [scene.by_pip(scene.builds[-1])])


def _slow(scene: Scene, runs: int) -> Row:
    """From build to build over 20 Mbit/s, with the cache and without."""
    scene.forget()
    scene.release(scene.builds[0])
    delta, whole = list[Cost](), list[Cost]()
    scene.wire.speed = SLOW
    for build in scene.builds[1 : runs + 1]:
        delta.append(scene.release(build))
        whole.append(scene.release(scene.builds[0], cache=""))
    scene.wire.speed = 0
    return _row("code only, 20 Mbit/s", delta, "the whole file fetched", whole)


def timed(work: Callable[[], object]) -> Cost:
    """What it takes, if it is done by processes that have ended then."""
    began, before = time.perf_counter(), _children()
    work()
    return Cost(time.perf_counter() - began, _children() - before)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _row(what: str, ours: list[Cost], peer: str, theirs: list[Cost]) -> Row:
    ratios = [one.seconds / other.seconds for one, other in zip(ours, theirs, strict=False)]
    cost, other = (Cost(*map(statistics.median, zip(*costs, strict=True))) for costs in (ours, theirs))
    return Row(what, cost.seconds, peer, other.seconds, ratios, cost.cpu, other.cpu)


def _environment() -> dict[str, str]:
    # What a person's PATH has as python3 may be a script that looks for one first: no server has that.
    path = f"{PYTHON.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {"PATH": path, "HOME": str(Path.home()), "FAP_PYTHON": str(PYTHON), "PIP_CONFIG_FILE": os.devnull}
