"""Several real processes at one store, and processes that are killed.

On S3 there are fewer of them, since each takes longer there; `FAP_TEST_IN_FULL=1` asks for all.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from artifact_store.blobs.open import make_store
from artifact_store.core.actor import Actor
from artifact_store.core.errors import NotFoundError
from artifact_store.store.store import open_store
from tests.parts.repository import IN_FULL
from tests.parts.tgz import tgz

pytestmark = pytest.mark.slow  # many processes at once, or killed one after another

FAPSTORE = str(Path(sys.executable).with_name("fapstore"))

PROMOTER = """
import sys
from artifact_store.core.actor import Actor
from artifact_store.core.errors import ConflictError
from artifact_store.store.store import open_store

url, who, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = open_store(url)
while wanted:
    state = store.stages.head("shop", "staging")
    other = "2" if state and state.version == "1" else "1"
    try:
        change = store.stages.promote("shop", other, "staging", by=Actor(who))
    except ConflictError:
        continue
    if change.changed:
        print(change.state.number, change.state.operation)
        wanted -= 1
"""


def start(*argv: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [str(word) for word in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def race_promoters(url: str, folder: Path, processes: int, rounds: int) -> None:
    store = open_store(url)
    for version in "12":
        store.artifacts.publish(tgz(folder, version=version), by=Actor("ann"))
    running = [start(sys.executable, "-c", PROMOTER, url, f"p{n}", rounds) for n in range(processes)]
    acknowledged = []
    for process in running:
        said, wrong = process.communicate(timeout=300)
        assert (process.returncode, wrong) == (0, "")
        acknowledged += [(int(line.split()[0]), line.split()[1]) for line in said.splitlines()]
    history = [entry.state for entry in store.stages.history("shop", "staging")]
    assert [state.number for state in history] == list(range(1, processes * rounds + 1))
    assert sorted(acknowledged) == [(state.number, state.operation) for state in history]


def race_pushers(url: str, folder: Path, processes: int, filling: bytes = b"") -> None:
    artifacts = []
    for number in range(processes):
        (folder / str(number)).mkdir()
        artifacts.append(tgz(folder / str(number), files={"app.py": b"%d" % number + filling}))
    running = [start(FAPSTORE, "--store", url, "push", artifact) for artifact in artifacts]
    results = [(*process.communicate(timeout=300), process.returncode) for process in running]
    (won,) = (number for number, (_, _, code) in enumerate(results) if code == 0)
    digest = open_store(url).artifacts.get("shop", "1").digest
    assert results[won][0] == f"shop 1 {digest}\n"
    for said, talk, code in results[:won] + results[won + 1 :]:
        assert (said, code) == ("", 1)
        assert "exists with other bytes" in talk
        assert digest in talk

    again = [start(FAPSTORE, "--store", url, "push", artifacts[won]) for _ in range(2)]
    for process in again:
        said, talk = process.communicate(timeout=300)
        assert (said, process.returncode) == (f"shop 1 {digest}\n", 0)
        assert "already there" in talk


def test_promoters_of_one_stage_in_a_folder(tmp_path: Path) -> None:
    race_promoters(f"file://{tmp_path}/store", tmp_path, processes=8, rounds=25)


def test_pushers_of_one_version_in_a_folder(tmp_path: Path) -> None:
    make_store(f"file://{tmp_path}/store")
    race_pushers(f"file://{tmp_path}/store", tmp_path, processes=6)


@pytest.mark.s3
def test_promoters_of_one_stage_on_s3(s3_url: str, tmp_path: Path) -> None:
    race_promoters(s3_url, tmp_path, processes=8 if IN_FULL else 4, rounds=25 if IN_FULL else 4)


@pytest.mark.s3
def test_pushers_of_one_version_on_s3(s3_url: str, tmp_path: Path) -> None:
    race_pushers(s3_url, tmp_path, processes=3)


@pytest.mark.s3
@pytest.mark.parametrize("server", ["s3_url", "moto_url"])
def test_large_pushes_of_one_version_on_s3(
    server: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Several uploads in parts to one key may succeed there; a version is one of them all the same."""
    url = request.getfixturevalue(server)
    race_pushers(url, tmp_path, processes=3, filling=random.Random(1).randbytes(6 << 20))
    store = open_store(url)
    store.artifacts.check(store.artifacts.get("shop", "1"))
    assert list(store.blobs.unfinished("shop/")) == []


def test_large_pushes_of_one_version_in_a_folder(tmp_path: Path) -> None:
    make_store(f"file://{tmp_path}/store")
    race_pushers(
        f"file://{tmp_path}/store", tmp_path, processes=3, filling=random.Random(1).randbytes(6 << 20)
    )


def kill_pushes(url: str, folder: Path, kills: int) -> None:
    """Kill pushes of 24 MB, each into its own store, at moments of the time that one takes; push again."""
    artifact = tgz(folder, files={"data": os.urandom(24 << 20)})
    starter = "import sys; print('up', flush=True); from artifact_store.cli import main; main(sys.argv[1:])"

    def begin(store: str) -> "subprocess.Popen[str]":
        if store.startswith("file:"):
            make_store(store)
        process = start(sys.executable, "-c", starter, "--store", store, "push", artifact)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    began = time.monotonic()
    assert begin(f"{url}/whole").wait(timeout=300) == 0
    whole = time.monotonic() - began
    dice = random.Random(7)
    for kill in range(kills):
        place = f"{url}/{kill}"
        process = begin(place)
        time.sleep(dice.uniform(0, whole) if kill else 0)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        store = open_store(place)
        try:
            fetched = store.artifacts.fetch("shop", "1", folder / f"fetched-{kill}.tgz")
        except NotFoundError:
            assert store.artifacts.publish(artifact, by=Actor("ann")).created
            fetched = store.artifacts.fetch("shop", "1", folder / f"fetched-{kill}.tgz")
        else:
            assert kill > 0, "the first kill comes before a push can be done"
        assert fetched.read_bytes() == artifact.read_bytes()
        fetched.unlink()


def test_a_killed_push_into_a_folder_is_no_version(tmp_path: Path) -> None:
    kill_pushes(f"file://{tmp_path}/store", tmp_path, kills=50 if IN_FULL else 12)


@pytest.mark.s3
def test_a_killed_push_to_s3_is_no_version(s3_url: str, tmp_path: Path) -> None:
    kill_pushes(s3_url, tmp_path, kills=50 if IN_FULL else 5)


def test_a_killed_fetch_leaves_no_file_under_its_name(tmp_path: Path) -> None:
    artifact = tgz(tmp_path, files={"data": os.urandom(24 << 20)})
    url = f"file://{tmp_path}/store"
    open_store(url).artifacts.publish(artifact, by=Actor("ann"))
    target = tmp_path / "fetched"
    target.mkdir()
    process = start(FAPSTORE, "--store", url, "fetch", "shop", "1", "-o", target)
    while process.poll() is None and not list(target.iterdir()):
        time.sleep(0.001)
    process.kill()
    process.communicate()
    names = [path.name for path in target.iterdir()]
    assert all(re.fullmatch(r"\.shop-1\.tgz\.[0-9a-f]{16}\.part|shop-1\.tgz", name) for name in names)
    assert open_store(url).artifacts.fetch("shop", "1", target).read_bytes() == artifact.read_bytes()
    assert [path.name for path in target.iterdir()] == ["shop-1.tgz"]


def test_two_fetches_at_once_into_one_folder(tmp_path: Path) -> None:
    artifact = tgz(tmp_path, files={"data": os.urandom(24 << 20)})
    url = f"file://{tmp_path}/store"
    open_store(url).artifacts.publish(artifact, by=Actor("ann"))
    target = tmp_path / "fetched"
    target.mkdir()
    for process in [start(FAPSTORE, "--store", url, "fetch", "shop", "1", "-o", target) for _ in range(4)]:
        said, talk = process.communicate(timeout=300)
        assert (said, talk, process.returncode) == (f"{target}/shop-1.tgz\n", "", 0)
    assert [path.name for path in target.iterdir()] == ["shop-1.tgz"]
    assert (target / "shop-1.tgz").read_bytes() == artifact.read_bytes()
