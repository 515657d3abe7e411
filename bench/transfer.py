"""Upload and verified download of a large artifact on a real S3 server: fapstore and what others use."""

import hashlib
import os
import random
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from artifact_store.store.store import open_store
from bench.processes import BIN, BenchError, used
from tests.parts.seaweed import seaweed
from tests.parts.tgz import tgz

BUCKET = "bench"
WHEEL = 4 << 20  # in bytes; the artifact has as many as make its size

UPLOAD_FILE = "import boto3, sys; boto3.client('s3').upload_file(*sys.argv[1:])"


@dataclass
class Way:
    """One way to do it, and what its turns took: seconds, seconds of CPU, and the most memory in bytes."""

    name: str
    argv: Callable[[int], Sequence[str | Path]]
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """Ours beside a peer; medians."""

    what: str
    peer: str
    ours: float
    theirs: float
    ratio: float
    """Of the medians."""
    lowest: float
    """The lowest ratio of the two in one turn."""
    highest: float
    our_cpu: float
    their_cpu: float
    our_memory: int
    their_memory: int


def measure(folder: Path, megabytes: int, runs: int) -> list[Row]:
    """Push and fetch an artifact of so many megabytes, `runs` times each way after one that warms up.

    Raises BenchError if a way fails, or a download is not what was uploaded.
    """
    folder.mkdir(parents=True)
    artifact = _artifact(folder, megabytes)
    with seaweed(folder / "server") as server:
        server.make_bucket(BUCKET)
        environment = {**os.environ, **server.env}
        os.environ.update(server.env)
        uploads = [
            Way("fapstore push", lambda turn: [BIN / "fapstore", "--store", _store(turn), "push", artifact]),
            Way(
                "boto3 upload_file",
                lambda turn: [BIN / "python", "-c", UPLOAD_FILE, artifact, BUCKET, f"boto3/{turn}"],
            ),
            Way(
                "aws s3 cp",
                lambda turn: [BIN / "aws", "s3", "cp", "--quiet", artifact, f"s3://{BUCKET}/aws/{turn}"],
            ),
        ]
        _turns(uploads, runs, environment, folder)
        url = open_store(_store(0)).artifacts.link("shop", "1").url
        target = folder / "fetched.tgz"
        downloads = [
            Way(
                "fapstore fetch",
                lambda turn: [BIN / "fapstore", "--store", _store(0), "fetch", "shop", "1", "-o", target],
            ),
            Way("curl and sha256sum", lambda turn: ["sh", "-c", f"curl -sf '{url}' | sha256sum"]),
        ]
        _turns(downloads, runs, environment, folder, lambda: target.unlink(missing_ok=True))
        _check_same(artifact, folder / "again.tgz", environment)
    return [
        *(_row("upload", uploads[0], peer) for peer in uploads[1:]),
        _row("download, verified", downloads[0], downloads[1]),
    ]


def _store(turn: int) -> str:
    return f"s3://{BUCKET}/ours-{turn}"


def _artifact(folder: Path, megabytes: int) -> Path:
    dice = random.Random(7)
    count = max(1, (megabytes << 20) // WHEEL)
    wheels = {f"w{number}-1-py3-none-any.whl": dice.randbytes(WHEEL) for number in range(count)}
    return tgz(folder, wheels=wheels)


def _turns(
    ways: Sequence[Way],
    runs: int,
    environment: dict[str, str],
    folder: Path,
    before: Callable[[], object] = lambda: None,
) -> None:
    for turn in range(runs + 1):
        for way in ways if turn % 2 else ways[::-1]:
            before()
            os.sync()
            _run(way, turn, environment, folder)
    for way in ways:  # the first turn warms up
        del way.seconds[0], way.cpu[0], way.memory[0]


def _run(way: Way, turn: int, environment: dict[str, str], folder: Path) -> None:
    took = used(way.argv(turn), folder, environment)
    way.seconds.append(took.seconds)
    way.cpu.append(took.cpu)
    way.memory.append(took.memory)


def _check_same(artifact: Path, target: Path, environment: dict[str, str]) -> None:
    argv = [BIN / "fapstore", "--store", _store(1), "fetch", "shop", "1", "-o", target]
    subprocess.run(argv, env=environment, check=True, capture_output=True)
    digests = []
    for path in (artifact, target):
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").digest())
    if digests[0] != digests[1]:
        raise BenchError("what was fetched is not what was pushed")


def _row(what: str, ours: Way, peer: Way) -> Row:
    ratios = [one / other for one, other in zip(ours.seconds, peer.seconds, strict=True)]
    return Row(
        what=what,
        peer=peer.name,
        ours=statistics.median(ours.seconds),
        theirs=statistics.median(peer.seconds),
        ratio=statistics.median(ours.seconds) / statistics.median(peer.seconds),
        lowest=min(ratios),
        highest=max(ratios),
        our_cpu=statistics.median(ours.cpu),
        their_cpu=statistics.median(peer.cpu),
        our_memory=max(ours.memory),
        their_memory=max(peer.memory),
    )
