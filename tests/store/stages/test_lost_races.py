"""Promotions in a store that lets two writers succeed: what is "done" is in the log."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from artifact_store.blobs.known_servers import measured
from artifact_store.blobs.memory import MemoryBlobs
from artifact_store.blobs.open import open_blobs
from artifact_store.core.actor import Actor
from artifact_store.core.errors import ConflictError, StoreError, UncheckedError, UnreachableError
from artifact_store.records import keys
from artifact_store.store.promote import StageChange
from artifact_store.store.store import Store
from artifact_store.trust.rules import NO_RULES
from artifact_store.views import audit
from tests.parts.tgz import tgz
from tests.parts.two_steps import TwoSteps

WRITERS = 4
ROUNDS = 15


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in in memory needs no second."""
    monkeypatch.setattr("artifact_store.stages.lost_races._WAIT", 0.05)


def shop(blobs: MemoryBlobs, tmp_path: Path) -> Store:
    store = Store(blobs)
    for version in "12345678":
        store.artifacts.publish(tgz(tmp_path, version=version), by=Actor("ann"))
    return store


def problems(blobs: MemoryBlobs) -> tuple[str, ...]:
    return audit.stage(Store(blobs), NO_RULES, "shop", "production").problems


def test_nobody_is_told_done_whose_entry_is_not_in_the_log(tmp_path: Path) -> None:
    blobs = TwoSteps()
    shop(blobs, tmp_path)
    acknowledged: list[tuple[int, str]] = []
    losers: list[ConflictError] = []
    for number in range(ROUNDS):
        together = Barrier(WRITERS)

        def promote(
            writer: int, number: int = number, together: Barrier = together
        ) -> StageChange | ConflictError:
            version = str(1 + (WRITERS * number + writer) % 8)
            together.wait()
            try:
                return Store(blobs).stages.promote("shop", version, "production", by=Actor(f"w{writer}"))
            except ConflictError as error:
                return error

        with ThreadPoolExecutor(WRITERS) as pool:
            for ended in pool.map(promote, range(WRITERS)):
                if isinstance(ended, ConflictError):
                    losers.append(ended)
                elif ended.changed:
                    acknowledged.append((ended.state.number, ended.state.operation))
    log = [entry.state for entry in Store(blobs).stages.history("shop", "production")]
    assert acknowledged == [(state.number, state.operation) for state in log]
    overwritten = [error for error in losers if "the store let both writers succeed" in error.message]
    assert overwritten
    assert len(problems(blobs)) == len(overwritten)


def test_the_loser_learns_who_won(tmp_path: Path) -> None:
    class Overtaken(MemoryBlobs):
        """A place where the entry of eve, who checked before, is written after that of ann."""

        is_atomic = False

        def get(self, key: str) -> bytes:
            if key == keys.entry("shop", "production", 1) and self.size(key):
                self.delete(key)
                with_eve = self.eve.get(key)
                self.create(key, with_eve)
                return with_eve
            return super().get(key)

        def __init__(self, eve: MemoryBlobs) -> None:
            super().__init__()
            self.eve = eve

    eve = MemoryBlobs()
    shop(eve, tmp_path).stages.promote("shop", "2", "production", by=Actor("eve"))
    blobs = Overtaken(eve)
    with pytest.raises(ConflictError, match=r"eve \(promote 2\) overwrote entry 1 \(promote 1\)") as error:
        shop(blobs, tmp_path).stages.promote("shop", "1", "production", by=Actor("ann"))
    assert error.value.exit_code == 1
    assert "not safe for promotions: fapstore doctor" in error.value.hint
    (problem,) = problems(blobs)
    assert problem.startswith("entry 1 by ann (promote 1) was accepted by the store, and is not in the log")


def test_an_entry_that_is_overwritten_later_is_found_by_verify(tmp_path: Path) -> None:
    blobs, eve = TwoSteps(), MemoryBlobs()
    shop(eve, tmp_path).stages.promote("shop", "2", "production", by=Actor("eve"))
    shop(blobs, tmp_path).stages.promote("shop", "1", "production", by=Actor("ann"))
    assert problems(blobs) == ()
    key = keys.entry("shop", "production", 1)
    blobs.delete(key)
    blobs.create(key, eve.get(key))
    (problem,) = problems(blobs)
    assert problem.startswith("entry 1 by ann (promote 1) was accepted by the store, and is not in the log")


def test_a_promotion_that_can_not_be_read_again_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    class Gone(TwoSteps):
        """A place whose network fails after the entry was written."""

        def get(self, key: str) -> bytes:
            if key == keys.entry("shop", "production", 1) and self.size(key):
                raise UnreachableError("no route to host")
            return super().get(key)

    with pytest.raises(UncheckedError, match=r"has 1 now \(entry 1 is in the log\), but whether another"):
        shop(Gone(), tmp_path).stages.promote("shop", "1", "production", by=Actor("ann"))


def test_a_first_promotion_that_is_refused_has_written_nothing(tmp_path: Path) -> None:
    class Overwriting(MemoryBlobs):
        """A place that knows no conditions."""

        def create(self, key: str, body: object, sha256: str = "") -> None:
            self.delete(key)
            super().create(key, body, sha256)  # type: ignore[arg-type]

    blobs = Overwriting()
    store = shop(blobs, tmp_path)
    before = list(blobs.keys(""))
    with pytest.raises(StoreError, match="allows overwriting"):
        store.stages.promote("shop", "1", "production", by=Actor("ann"))
    assert list(blobs.keys("")) == before


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("SeaweedFS 8000GB 4.48", "SeaweedFS"),
        ("SeaweedFS 30GB 5.0", "SeaweedFS"),
        ("SeaweedFS 30GB 4.47", ""),
        ("SeaweedFS", ""),
        ("nginx", ""),
        ("Werkzeug/3.1.9 Python/3.11.7", ""),
        ("", ""),
    ],
)
def test_a_server_counts_as_measured_from_a_version_on(header: str, name: str) -> None:
    server = measured(header)
    assert (server.name if server else "") == name


@pytest.mark.s3
def test_promoters_do_not_wait_on_a_measured_server(s3_url: str) -> None:
    blobs = open_blobs(s3_url)
    assert not blobs.is_atomic
    assert blobs.size("shop/x") is None
    assert blobs.is_atomic
