"""Shared wheels: all machines get the bytes of the first one, and damage is noticed."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from artifact_store.blobs.folder import FolderBlobs
from artifact_store.blobs.memory import MemoryBlobs
from artifact_store.blobs.open import open_blobs
from artifact_store.core.errors import FapError, StoreError
from artifact_store.records import keys
from artifact_store.store.store import open_store
from fapbuild.cache import Cache
from fapbuild.locks import Pin, parse_lock
from fapbuild.project.platforms import name, this_machine
from fapbuild.wheels import builder
from fapbuild.wheels.builder import WheelBuilder
from fapbuild.wheels.shared import WheelStore
from fapbuild.wheels.vendor import VendoredWheel, vendor
from tests.parts.project import Project
from tests.parts.sdists import make_sdist
from tests.parts.wheelhouse import make_wheel

HERE = this_machine()
SOURCE = "5" * 64
HOSTS = name(HERE)

Build = Callable[..., tuple[VendoredWheel, list[str]]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_text("")
    return path


@pytest.fixture
def pins(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Pin, ...]:
    sdist = make_sdist(tmp_path, log)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return parse_lock(f"homemade==1.0 --hash=sha256:{hashlib.sha256(sdist.read_bytes()).hexdigest()}", "lock")


@pytest.fixture
def build(tmp_path: Path, pins: tuple[Pin, ...], monkeypatch: pytest.MonkeyPatch) -> Build:
    """Vendor on the machine of this name, which has its own cache."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    runs: list[str] = []

    def built(machine: str, shared: WheelStore | None) -> tuple[VendoredWheel, list[str]]:
        runs.append(machine)
        work = tmp_path / f"work-{len(runs)}"
        work.mkdir()
        said: list[str] = []
        (wheel,) = vendor(pins, WheelBuilder(HERE, Cache(tmp_path / machine), work, said.append, shared))
        return wheel, said

    return built


def files(folder: Path, suffix: str) -> list[Path]:
    return sorted(folder.rglob(f"*{suffix}"))


@pytest.mark.slow
def test_the_second_machine_takes_the_bytes_of_the_first(build: Build, log: Path, tmp_path: Path) -> None:
    shared = WheelStore(open_blobs(f"file://{tmp_path}/store"))
    first, talk = build("one", shared)
    second, said = build("two", shared)
    assert "building homemade 1.0 from its sdist" in talk
    assert first.sha256 == second.sha256
    assert second.path.read_bytes() == first.path.read_bytes()
    assert log.read_text() == "built\n"
    assert said == ["downloading 1 of 1 wheels"]


@pytest.mark.slow
def test_a_machine_that_had_built_before_joins_the_others(build: Build, log: Path) -> None:
    shared = WheelStore(MemoryBlobs())
    alone, _ = build("two", None)
    first, _ = build("one", shared)
    joined, said = build("two", shared)
    assert first.sha256 != alone.sha256
    assert joined.sha256 == first.sha256
    assert "building" not in " ".join(said)
    assert log.read_text() == "built\n" * 2


@pytest.mark.parametrize("how", ["changed", "gone", "nonsense", "another name"])
def test_a_damaged_entry_is_passed_over_and_replaced(tmp_path: Path, how: str) -> None:
    shared = WheelStore(FolderBlobs(tmp_path / "store"))
    first = make_wheel(tmp_path / "first", "thing")
    second = make_wheel(tmp_path / "second", "thing", also={"more.txt": "more"})
    into = tmp_path / "into"
    into.mkdir()
    assert shared.offer("thing", SOURCE, HOSTS, first, into) == first
    (entry,) = files(tmp_path / "store", ".json")
    (wheel,) = files(tmp_path / "store", ".whl")
    for path in (entry, wheel):
        path.chmod(0o644)
    if how == "changed":
        wheel.write_bytes(wheel.read_bytes()[:-1] + b"!")
    elif how == "gone":
        wheel.unlink()
    elif how == "nonsense":
        entry.write_text('{"file":"thing-1.0-py3-none-any.whl","sha256":"../../etc"}')
    else:
        entry.write_text(entry.read_text().replace("thing-1.0", "../thing-1.0"))
    assert shared.take("thing", SOURCE, HOSTS, into) is None
    assert shared.offer("thing", SOURCE, HOSTS, second, into) == second
    taken = shared.take("thing", SOURCE, HOSTS, into)
    assert taken is not None
    assert taken.read_bytes() == second.read_bytes()
    assert [path.name for path in files(tmp_path / "store", ".json")] == ["00000001.json", "00000002.json"]


def test_of_two_at_once_one_decides(tmp_path: Path) -> None:
    """Both look while there is no entry; the second one takes the wheel that the first one wrote."""
    mine = make_wheel(tmp_path / "mine", "thing")
    theirs = make_wheel(tmp_path / "theirs", "thing", also={"more.txt": "more"})
    into = tmp_path / "into"
    into.mkdir()

    class Racing(MemoryBlobs):
        """The other one writes right before our entry is written."""

        raced = False

        def create(self, key: str, body: bytes | BinaryIO) -> None:
            if key.endswith(".json") and not self.raced:
                self.raced = True
                WheelStore(self).offer("thing", SOURCE, HOSTS, theirs, into)
            super().create(key, body)

    shared = WheelStore(Racing())
    stands = shared.offer("thing", SOURCE, HOSTS, mine, into)
    assert stands.read_bytes() == theirs.read_bytes()
    taken = shared.take("thing", SOURCE, HOSTS, into)
    assert taken is not None
    assert taken.read_bytes() == theirs.read_bytes()


def test_a_store_that_cannot_be_written_is_a_warning(build: Build, log: Path) -> None:
    class Full(MemoryBlobs):
        def create(self, key: str, body: object) -> None:
            raise StoreError("no space left")

    _, said = build("one", WheelStore(Full()))
    assert said[-1] == "warning: can't share the wheel of homemade that was built here: no space left"
    assert log.read_text() == "built\n"


def test_a_store_that_cannot_be_read_is_an_error(build: Build, log: Path) -> None:
    class Broken(MemoryBlobs):
        def get(self, key: str) -> bytes:
            raise StoreError("access denied")

    with pytest.raises(FapError, match="access denied"):
        build("one", WheelStore(Broken()))
    assert log.read_text() == ""


def test_shared_wheels_are_no_app(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "mine", "thing")
    WheelStore(FolderBlobs(tmp_path / "store")).offer("thing", SOURCE, HOSTS, wheel, tmp_path)
    assert open_store(f"file://{tmp_path}/store").artifacts.apps() == ()
    assert keys.shared_wheel_entry(SOURCE, HOSTS, 1) == f"_wheels/{SOURCE}/{HOSTS}/00000001.json"


@pytest.mark.s3
def test_pack_shares_what_it_builds(
    project: Project, tmp_path: Path, log: Path, pins: tuple[Pin, ...], s3_url: str
) -> None:
    """`--wheel-store` on a real S3 server: two machines that start at once, and a third, get one digest."""
    (sha256,) = pins[0].sha256s
    project.commit({"requirements.txt": f"homemade==1.0 --hash=sha256:{sha256}\n"})

    def packed(machine: str) -> str:
        caches = {"FAP_CACHE": str(tmp_path / machine), "PIP_FIND_LINKS": str(tmp_path)}
        return project.pack("--version=1", "-o", machine, "--wheel-store", s3_url, **caches)["digest"]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(packed, ["one", "two"])
    built = log.read_text()
    assert first == second == packed("three")
    assert log.read_text() == built != ""


def test_a_program_with_a_python_in_it_is_shared_by_the_build_of_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = WheelStore(open_blobs(f"file://{tmp_path}/store"))
    tag = f"{HERE.python}-{HERE.abi}-{HERE.platform}"
    built: list[str] = []

    def build_on(machine: str, python: str, package: str, scripts: str) -> str:
        def build(folder: Path) -> Path:
            built.append(f"{package} by {python}")
            more = {f"{package}-1.0.data/scripts/serve": f"{scripts} {python}"}
            return make_wheel(folder, package, tag=tag, also=more)

        monkeypatch.setattr(builder, "_PYTHON", python)
        work = tmp_path / machine / package
        work.mkdir(parents=True)
        one = WheelBuilder(HERE, Cache(tmp_path / machine / "cache"), work, lambda line: None, shared)
        return one.build_once(package, SOURCE if package == "odd" else "6" * 64, build).sha256

    for package, scripts in (("odd", "\x7fELF Py_Initialize"), ("even", "\x7fELF")):
        first = build_on("one", "3.11.7", package, scripts)
        other = build_on("two", "3.11.2", package, scripts)
        assert build_on("three", "3.11.2", package, scripts) == other
        assert (first == other) == (package == "even")
    assert built == ["odd by 3.11.7", "odd by 3.11.2", "even by 3.11.7"]
