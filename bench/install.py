"""First install of an artifact's wheels on a host, bytecode included: install.sh and pip in turns."""

import os
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import BIN, BenchError, output

OFFLINE = ["unshare", "-n"] if not os.getuid() else ["unshare", "-cn"]
PYTHON = Path(getattr(sys, "_base_executable", sys.executable))


@dataclass(frozen=True)
class Way:
    """One way to install, and what its turns took, in seconds of the clock and of CPU."""

    name: str
    install: Callable[[Path], None]
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """Medians, in seconds."""

    packages: int
    ours: float
    pip: float
    our_cpu: float
    pip_cpu: float
    lowest: float
    """The lowest ratio of the two in one turn."""
    highest: float

    @property
    def ratio(self) -> float:
        return self.ours / self.pip


def measure(release: Path, runs: int) -> Row:
    """Install the artifact unpacked in `release` both ways, `runs` times; what they leave must be the same.

    Raises BenchError if a way fails, or leaves other packages or less bytecode.
    """
    ways = Way("install.sh", _ours), Way("pip", _pip)
    left: dict[str, tuple[int, list[str]]] = {}
    for turn in range(runs):
        # Who goes first changes, so that neither always finds the caches as the other left them.
        for way in ways if turn % 2 else ways[::-1]:
            shutil.rmtree(release / "venv", ignore_errors=True)
            os.sync()
            began, before = time.perf_counter(), _children()
            way.install(release)
            way.seconds.append(time.perf_counter() - began)
            way.cpu.append(_children() - before)
            left[way.name] = _left(release)
    if left["install.sh"] != left["pip"]:
        raise BenchError("install.sh and pip left different packages")
    ours, pip = ways
    ratios = [one / other for one, other in zip(ours.seconds, pip.seconds, strict=True)]
    return Row(
        packages=len(left["pip"][1]),
        ours=statistics.median(ours.seconds),
        pip=statistics.median(pip.seconds),
        our_cpu=statistics.median(ours.cpu),
        pip_cpu=statistics.median(pip.cpu),
        lowest=min(ratios),
        highest=max(ratios),
    )


def _ours(release: Path) -> None:
    output([*OFFLINE, "./install.sh"], cwd=release, environment={**_bare(), "FAP_PYTHON": str(PYTHON)})


def _pip(release: Path) -> None:
    """What a careful person types, without the seconds that ensurepip takes. pip checks the same hashes."""
    venv = release / "venv"
    output([PYTHON, "-m", "venv", "--without-pip", venv], cwd=release)
    argv = [BIN / "python", "-m", "pip", "--python", venv / "bin/python", "install", "--quiet"]
    argv += ["--disable-pip-version-check", "--no-index", "--find-links", "wheels"]
    argv += ["--require-hashes", "--requirement", "requirements.lock"]
    output([*OFFLINE, *argv], cwd=release, environment={**_bare(), "PIP_CONFIG_FILE": os.devnull})


def _bare() -> dict[str, str]:
    return {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}


def _left(release: Path) -> tuple[int, list[str]]:
    (site,) = (release / "venv" / "lib").glob("python*/site-packages")
    return len(list(site.rglob("*.pyc"))), sorted(path.name for path in site.glob("*.dist-info"))


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
