"""Pack an app with a hundred wheels: ours, pip wheel and tar, shiv, pex; in turns, as whole processes."""

import os
import resource
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import locked_app
from bench.processes import BIN, BenchError, output

LEAST = 60_000_000
"""What is packed has at least this many bytes, or something is missing."""


@dataclass(frozen=True)
class Way:
    """One way to pack the commit of a repository into a folder, and what its turns took, in seconds."""

    name: str
    pack: Callable[["Scene"], None]
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Scene:
    """The repository, and what each turn of each way gets: a new folder, and where caches are kept."""

    repository: Path
    folder: Path
    caches: Path

    @property
    def environment(self) -> dict[str, str]:
        """Every way has its own caches below `caches`."""
        own = {"FAP_CACHE": "fap", "PIP_CACHE_DIR": "pip", "PEX_ROOT": "pex", "SHIV_ROOT": "shiv"}
        return {**os.environ, **{name: str(self.caches / folder) for name, folder in own.items()}}


@dataclass(frozen=True)
class Row:
    """Medians of one peer beside ours, in seconds of the clock and of CPU."""

    peer: str
    ours: float
    theirs: float
    our_cpu: float
    their_cpu: float
    lowest: float
    """The lowest ratio of the two in one turn."""
    highest: float

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


def warm(folder: Path, runs: int, slow_runs: int) -> list[Row]:
    """Nothing but code changed since the pack before; shiv and pex take `slow_runs` turns."""
    scene = _scene(folder)
    rows = []
    peers = (("pip wheel, tar", _wheel_and_tar, runs), ("shiv", _shiv, slow_runs), ("pex", _pex, slow_runs))
    for name, peer, turns in peers:
        ways = Way("fapbuild", _ours), Way(name, peer)
        for turn in range(turns + 1):
            (scene.repository / "shop" / "part0.py").write_text(f"TURN = {len(rows)}, {turn}\n")
            locked_app.commit(scene.repository)
            _take_turns(ways, scene, turn, counts=turn > 0)
        rows.append(_row(*ways))
    return rows


def cold(folder: Path, runs: int) -> Row:
    """All caches are empty, pip's too, so every wheel is downloaded."""
    scene = _scene(folder)
    ways = Way("fapbuild", _ours), Way("pip wheel, tar", _wheel_and_tar)
    for turn in range(runs + 1):
        _take_turns(ways, scene, turn, counts=turn > 0, cold=True)
    return _row(*ways)


def _scene(folder: Path) -> Scene:
    folder.mkdir()
    return Scene(locked_app.make(folder / "repository"), folder / "turn", folder / "caches")


def _take_turns(ways: Sequence[Way], scene: Scene, turn: int, *, counts: bool, cold: bool = False) -> None:
    # Who goes first changes, so that neither always finds the machine as the other left it.
    for way in ways if turn % 2 else ways[::-1]:
        shutil.rmtree(scene.folder, ignore_errors=True)
        scene.folder.mkdir()
        if cold:
            shutil.rmtree(scene.caches, ignore_errors=True)
        os.sync()
        began, before = time.perf_counter(), _cpu()
        way.pack(scene)
        seconds, cpu = time.perf_counter() - began, _cpu() - before
        if max(path.stat().st_size for path in scene.folder.iterdir() if path.is_file()) < LEAST:
            raise BenchError(f"{way.name} packed too little")
        if counts:
            way.seconds.append(seconds)
            way.cpu.append(cpu)


def _row(ours: Way, peer: Way) -> Row:
    ratios = [one / other for one, other in zip(ours.seconds, peer.seconds, strict=True)]
    return Row(
        peer=peer.name,
        ours=statistics.median(ours.seconds),
        theirs=statistics.median(peer.seconds),
        our_cpu=statistics.median(ours.cpu),
        their_cpu=statistics.median(peer.cpu),
        lowest=min(ratios),
        highest=max(ratios),
    )


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _ours(scene: Scene) -> None:
    _run([BIN / "fapbuild", "pack", "-o", scene.folder], scene, scene.environment)


def _wheel_and_tar(scene: Scene) -> None:
    """What a careful Makefile does: wheels by hash, the commit's files, a tar that names no one."""
    what = scene.folder / "app"
    what.mkdir()
    wheels = ["--no-deps", "--require-hashes", "-r", "requirements.txt", "-w", what / "wheels"]
    _run([BIN / "pip", "wheel", "--quiet", *wheels], scene, scene.environment)
    _run(["sh", "-c", f"git archive HEAD | tar x -C '{what}'"], scene, scene.environment)
    normal = ["--sort=name", "--mtime=@315532800", "--owner=0", "--group=0", "--numeric-owner"]
    _run(["tar", *normal, "-czf", scene.folder / "app.tgz", "-C", what, "."], scene, scene.environment)


def _shiv(scene: Scene) -> None:
    code = _code(scene)
    wheels = ["--no-deps", "--require-hashes", "-r", "requirements.txt"]
    options = ["--reproducible", "--site-packages", code, "-o", scene.folder / "app.pyz"]
    _run([BIN / "shiv", *options, *wheels], scene, scene.environment)


def _pex(scene: Scene) -> None:
    code = _code(scene)
    options = ["--no-transitive", "-r", "requirements.txt", "-D", code, "-o", scene.folder / "app.pex"]
    _run([BIN / "pex", *options], scene, scene.environment)


def _code(scene: Scene) -> Path:
    code = scene.folder / "code"
    code.mkdir()
    _run(["sh", "-c", f"git archive HEAD shop | tar x -C '{code}'"], scene, scene.environment)
    return code


def _run(argv: Sequence[str | Path], scene: Scene, environment: Mapping[str, str]) -> None:
    output(argv, cwd=scene.repository, environment=environment)
