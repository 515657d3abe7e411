"""The main paths of the store, on memory and folders, and what a reader makes of damage."""

import hashlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import BinaryIO

import pytest

from artifact_store.artifact import evidence
from artifact_store.artifact.ids import ArtifactId
from artifact_store.blobs.memory import MemoryBlobs
from artifact_store.blobs.protocol import Link
from artifact_store.cli import main
from artifact_store.core.actor import Actor
from artifact_store.core.errors import (
    ConflictError,
    FapError,
    NotFoundError,
    RemovedError,
    StoreError,
    UsageError,
    VerificationError,
)
from artifact_store.gc.references import Retention
from artifact_store.records import artifacts, keys
from artifact_store.store.copy import copy
from artifact_store.store.maintenance import plan_gc, run_gc
from artifact_store.store.store import Store, open_store
from tests.parts.tgz import tgz

START = datetime(2026, 11, 22, 18, 54, 9, tzinfo=UTC)


def store_on(blobs: MemoryBlobs) -> Store:
    """A store whose clock ticks once a minute."""
    minutes = count()
    pushes = count(1)
    return Store(
        blobs,
        clock=lambda: START + timedelta(minutes=next(minutes)),
        new_id=lambda: f"push-{next(pushes)}",
    )


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def store(blobs: MemoryBlobs) -> Store:
    return store_on(blobs)


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/store")


def test_what_is_published_is_recorded(store: Store, blobs: MemoryBlobs, one: Path) -> None:
    published = store.artifacts.publish(one, by=Actor("ann@ci", "https://ci/7"))
    digest = hashlib.sha256(one.read_bytes()).hexdigest()
    assert published.created
    assert set(blobs.keys("shop/")) == {
        f"shop/artifacts/1/{digest}/push-1/shop-1.tgz",
        "shop/artifacts/1/artifact.json",
    }
    record = store.artifacts.get("shop", "1")
    assert (record.app, record.version, record.digest) == ("shop", "1", digest)
    assert (record.size, record.commit) == (one.stat().st_size, "a" * 40)
    assert (record.who, record.ci, record.at) == ("ann@ci", "https://ci/7", START)


def lay_beside(artifact: Path, digest: str) -> None:
    statement = {"subject": [{"name": artifact.name, "digest": {"sha256": digest}}]}
    evidence.path_of(artifact, evidence.PROVENANCE_SUFFIX).write_text(json.dumps(statement))
    evidence.path_of(artifact, evidence.SBOM_SUFFIX).write_text("{}")


def test_the_evidence_beside_an_artifact_is_stored_with_it(
    store: Store, blobs: MemoryBlobs, one: Path
) -> None:
    digest = hashlib.sha256(one.read_bytes()).hexdigest()
    lay_beside(one, digest)
    store.artifacts.publish(one, by=Actor("ann"))
    folder = f"shop/artifacts/1/{digest}/push-1/shop-1"
    assert blobs.get(f"{folder}.sbom.cdx.json") == b"{}"
    assert digest.encode() in blobs.get(f"{folder}.provenance.json")
    assert [record.version for record in store.artifacts.list("shop")] == ["1"]


@pytest.mark.parametrize(
    "text", ["not JSON", "{}", "[" * 100_000, json.dumps({"subject": [{"digest": {"sha256": "0"}}]})]
)
def test_provenance_of_other_bytes_is_refused(store: Store, blobs: MemoryBlobs, one: Path, text: str) -> None:
    evidence.path_of(one, evidence.PROVENANCE_SUFFIX).write_text(text)
    with pytest.raises(VerificationError, match=r"provenance\.json is") as error:
        store.artifacts.publish(one, by=Actor("ann"))
    assert "pack" in error.value.hint
    assert list(blobs.keys("shop/")) == []


def test_the_same_bytes_again_are_there_already(store: Store, one: Path) -> None:
    first = store.artifacts.publish(one, by=Actor("ann"))
    again = store.artifacts.publish(one, by=Actor("bob"))
    assert not again.created
    assert (again.digest, again.who) == (first.digest, "ann")


def test_a_version_is_never_other_bytes(store: Store, one: Path, tmp_path: Path) -> None:
    first = store.artifacts.publish(one, by=Actor("ann"))
    other = tgz(tmp_path, files={"app.py": b"other"})
    with pytest.raises(ConflictError) as error:
        store.artifacts.publish(other, by=Actor("bob"))
    for part in (first.digest, hashlib.sha256(other.read_bytes()).hexdigest(), "ann"):
        assert part in error.value.message
    assert "--version" in error.value.hint
    assert store.artifacts.get("shop", "1").digest == first.digest


def test_what_is_damaged_is_not_published(store: Store, blobs: MemoryBlobs, one: Path) -> None:
    one.write_bytes(one.read_bytes()[:-1])
    with pytest.raises(VerificationError):
        store.artifacts.publish(one, by=Actor("ann"))
    assert list(blobs.keys("shop/")) == []


class Dying(MemoryBlobs):
    """A place whose user is killed at its `create` number `at`, before or after it was done."""

    def __init__(self, at: int, *, done: bool) -> None:
        super().__init__()
        self._left = at
        self._done = done

    def create(self, key: str, body: bytes | BinaryIO, sha256: str = "") -> None:
        self._left -= 1
        if self._left or self._done:
            super().create(key, body, sha256)
        if not self._left:
            raise KeyboardInterrupt


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_push_killed_anywhere_is_all_or_nothing_and_the_next_one_finishes(
    one: Path, at: int, done: bool
) -> None:
    lay_beside(one, hashlib.sha256(one.read_bytes()).hexdigest())
    blobs = Dying(at, done=done)
    with pytest.raises(KeyboardInterrupt):
        store_on(blobs).artifacts.publish(one, by=Actor("ann"))
    exists = (at, done) == (4, True)
    assert len(store_on(blobs).artifacts.list("shop")) == int(exists)
    assert (
        store_on(blobs).artifacts.publish(one, by=Actor("ann")).digest
        == hashlib.sha256(one.read_bytes()).hexdigest()
    )
    assert len(store_on(blobs).artifacts.list("shop")) == 1
    assert len(list(blobs.keys("shop/"))) == 4


class Forgetful(MemoryBlobs):
    """A place that loses the reply of every create; the client's retry then finds its key taken."""

    def create(self, key: str, body: bytes | BinaryIO, sha256: str = "") -> None:
        super().create(key, body, sha256)
        raise ConflictError("412")


def test_a_writer_whose_reply_was_lost_sees_its_own_success(one: Path) -> None:
    store = store_on(Forgetful())
    assert store.artifacts.publish(one, by=Actor("ann")).created
    assert store.stages.promote("shop", "1", "staging", by=Actor("ann")).changed
    assert len(store.stages.history("shop", "staging")) == 1


def test_a_version_that_is_not_there_names_those_like_it(store: Store, tmp_path: Path) -> None:
    for version in ("20261122-abc", "20261123-abd"):
        store.artifacts.publish(tgz(tmp_path, version=version), by=Actor("ann"))
    with pytest.raises(NotFoundError, match="does not contain shop 20261122-abx") as error:
        store.artifacts.get("shop", "20261122-abx")
    assert "did you mean 20261122-abc" in error.value.hint
    with pytest.raises(NotFoundError) as error:
        store.artifacts.get("shop", "9")
    assert error.value.hint == "fapstore list shop"
    with pytest.raises(NotFoundError, match="contains no version of blog"):
        store.artifacts.link("blog", "1")


def test_versions_are_listed_by_the_time_of_their_push(store: Store, tmp_path: Path) -> None:
    for version in ("2", "10", "1"):
        store.artifacts.publish(tgz(tmp_path, version=version), by=Actor("ann"))
    store.artifacts.publish(tgz(tmp_path, app="blog"), by=Actor("ann"))
    assert [record.version for record in store.artifacts.list("shop")] == ["2", "10", "1"]
    assert [record.version for record in store.artifacts.list("shop", last=2)] == ["10", "1"]
    assert store.artifacts.apps() == ("blog", "shop")


def test_fetching_verifies_before_the_file_appears(folder: Store, one: Path, tmp_path: Path) -> None:
    pushed = folder.artifacts.publish(one, by=Actor("ann"))
    target = tmp_path / "fetched"
    target.mkdir()
    assert folder.artifacts.fetch("shop", "1", target) == target / "shop-1.tgz"
    assert (target / "shop-1.tgz").read_bytes() == one.read_bytes()
    assert folder.artifacts.fetch("shop", "1", target) == target / "shop-1.tgz"

    stored = tmp_path / "store" / artifacts.archive_key(pushed)
    stored.chmod(0o644)
    stored.write_bytes(b"damaged")
    with pytest.raises(VerificationError, match="have the wrong sha256"):
        folder.artifacts.fetch("shop", "1", target / "again.tgz")
    assert [path.name for path in target.iterdir()] == ["shop-1.tgz"]


def test_fetching_replaces_nothing(store: Store, one: Path, tmp_path: Path) -> None:
    store.artifacts.publish(one, by=Actor("ann"))
    target = tmp_path / "mine"
    target.write_text("precious")
    with pytest.raises(UsageError, match="exists with other content"):
        store.artifacts.fetch("shop", "1", target)
    assert target.read_text() == "precious"


def test_fetching_where_nothing_can_be_written(store: Store, one: Path, tmp_path: Path) -> None:
    store.artifacts.publish(one, by=Actor("ann"))
    with pytest.raises(FapError, match="can't be written: No such file"):
        store.artifacts.fetch("shop", "1", tmp_path / "no" / "folder")


def test_a_url_of_a_folder(folder: Store, one: Path, tmp_path: Path) -> None:
    pushed = folder.artifacts.publish(one, by=Actor("ann"))
    assert folder.artifacts.link("shop", "1") == Link(
        f"file://{tmp_path}/store/{artifacts.archive_key(pushed)}"
    )


@pytest.fixture
def shop(store: Store, one: Path, two: Path) -> Store:
    store.artifacts.publish(one, by=Actor("ann"))
    store.artifacts.publish(two, by=Actor("ann"))
    return store


def test_a_stage_runs_what_was_promoted_last(shop: Store) -> None:
    assert shop.stages.head("shop", "staging") is None
    shop.stages.promote("shop", "1", "staging", by=Actor("ann"))
    shop.stages.promote("shop", "2", "staging", by=Actor("bob"), why="the sale")
    state = shop.stages.head("shop", "staging")
    assert state is not None
    assert (state.number, state.version, state.who, state.why) == (2, "2", "bob", "the sale")
    assert state.digest == shop.artifacts.get("shop", "2").digest
    assert [entry.state.version for entry in shop.stages.history("shop", "staging")] == ["1", "2"]


def test_promoting_what_is_there_writes_nothing(shop: Store) -> None:
    first = shop.stages.promote("shop", "1", "staging", by=Actor("ann"))
    again = shop.stages.promote("shop", "1", "staging", by=Actor("bob"))
    assert (first.changed, again.changed) == (True, False)
    assert again.state == first.state


def test_only_stored_versions_are_promoted(shop: Store) -> None:
    with pytest.raises(NotFoundError, match="does not contain shop 3"):
        shop.stages.promote("shop", "3", "staging", by=Actor("ann"))
    assert shop.stages.head("shop", "staging") is None


def test_stages_side_by_side(shop: Store) -> None:
    shop.stages.promote("shop", "2", "staging", by=Actor("ann"))
    shop.stages.promote("shop", "1", "production", by=Actor("ann"), source="staging")
    shop.stages.promote("shop", "1", "production-eu", by=Actor("ann"))
    assert [
        (state.stage, state.version) for state in (entry.state for entry in shop.stages.last_entries("shop"))
    ] == [
        ("production", "1"),
        ("production-eu", "1"),
        ("staging", "2"),
    ]


def test_rolling_back(shop: Store) -> None:
    shop.stages.promote("shop", "1", "production", by=Actor("ann"))
    shop.stages.promote("shop", "2", "production", by=Actor("ann"))
    change = shop.stages.rollback("shop", "production", by=Actor("bob"), why="500s")
    assert (change.state.version, change.state.action, change.state.number) == ("1", "rollback", 3)
    with pytest.raises(NotFoundError, match="no previous version"):
        shop.stages.rollback("shop", "production", by=Actor("bob"))
    assert shop.stages.rollback("shop", "production", by=Actor("bob"), to="2").state.version == "2"


def test_rolling_back_to_what_was_never_there(shop: Store) -> None:
    shop.stages.promote("shop", "1", "production", by=Actor("ann"))
    with pytest.raises(NotFoundError, match="was never on production") as error:
        shop.stages.rollback("shop", "production", by=Actor("bob"), to="2")
    assert error.value.hint == "fapstore promote shop 2 production"


def test_a_frozen_stage_stays(shop: Store) -> None:
    shop.stages.promote("shop", "1", "production", by=Actor("ann"))
    assert shop.stages.freeze("shop", "production", by=Actor("bob"), why="sale").state.frozen
    with pytest.raises(StoreError, match="frozen by bob: sale"):
        shop.stages.promote("shop", "2", "production", by=Actor("ann"))
    assert not shop.stages.unfreeze("shop", "production", by=Actor("bob"), why="over").state.frozen
    assert shop.stages.promote("shop", "2", "production", by=Actor("ann")).changed


class Racing(MemoryBlobs):
    """A place where someone else is faster, once."""

    rival: "Store | None" = None

    def create(self, key: str, body: bytes | BinaryIO, sha256: str = "") -> None:
        rival, self.rival = self.rival, None
        if rival:
            rival.stages.promote("shop", "2", "staging", by=Actor("eve"))
        super().create(key, body, sha256)


def test_the_second_of_two_promoters_is_told_who_was_first(one: Path, two: Path) -> None:
    blobs = Racing()
    mine, other = store_on(blobs), store_on(blobs)
    mine.artifacts.publish(one, by=Actor("ann"))
    mine.artifacts.publish(two, by=Actor("ann"))
    blobs.rival = other
    with pytest.raises(ConflictError, match=r"eve changed it first \(entry 1: promote 2\)") as error:
        mine.stages.promote("shop", "1", "staging", by=Actor("ann"))
    assert "fapstore history shop staging" in error.value.hint
    assert mine.stages.promote("shop", "1", "staging", by=Actor("ann")).state.number == 2


class Lagging(MemoryBlobs):
    """A place whose listing has not caught up: it shows the first keys only."""

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        yield from list(super().keys(prefix, after))[:1]


def test_a_reader_goes_on_behind_the_end_of_the_listing(one: Path, two: Path) -> None:
    blobs = Lagging()
    store = store_on(blobs)
    for path in (one, two):
        store.artifacts.publish(path, by=Actor("ann"))
    for version in "1212":
        store.stages.promote("shop", version, "staging", by=Actor("ann"))
    state = store_on(blobs).stages.head("shop", "staging")
    assert state is not None
    assert state.number == 4


def test_a_changed_entry_is_noticed(folder: Store, one: Path, two: Path, tmp_path: Path) -> None:
    for path in (one, two):
        folder.artifacts.publish(path, by=Actor("ann"))
    folder.stages.promote("shop", "1", "staging", by=Actor("ann"))
    folder.stages.promote("shop", "2", "staging", by=Actor("ann"))
    entry = tmp_path / "store" / keys.entry("shop", "staging", 1)
    entry.chmod(0o644)
    entry.write_bytes(entry.read_bytes().replace(b'"ann"', b'"eve"'))
    with pytest.raises(VerificationError, match="the entry before entry 2 was changed"):
        folder.stages.history("shop", "staging")


def test_a_missing_entry_is_noticed(folder: Store, one: Path, two: Path, tmp_path: Path) -> None:
    for path in (one, two):
        folder.artifacts.publish(path, by=Actor("ann"))
    folder.stages.promote("shop", "1", "staging", by=Actor("ann"))
    folder.stages.promote("shop", "2", "staging", by=Actor("ann"))
    (tmp_path / "store" / keys.entry("shop", "staging", 1)).unlink()
    assert [entry.state.version for entry in folder.stages.history("shop", "staging")] == ["2"]
    (problem,) = folder.stages.passed_over("shop", "staging")
    assert problem.endswith("staging/00000001.json is passed over: it is missing, but later entries exist")


def test_a_record_of_another_version_is_refused(folder: Store, one: Path, two: Path, tmp_path: Path) -> None:
    for path in (one, two):
        folder.artifacts.publish(path, by=Actor("ann"))
    records = [tmp_path / "store" / keys.record(_id("shop", version)) for version in "12"]
    records[1].unlink()
    records[1].write_bytes(records[0].read_bytes())
    with pytest.raises(VerificationError, match="the record of shop 2 belongs to shop 1"):
        folder.artifacts.get("shop", "2")
    records[0].unlink()
    records[0].write_text("{}")
    with pytest.raises(VerificationError, match="can't be read"):
        folder.artifacts.get("shop", "1")


def _id(app: str, version: str) -> ArtifactId:
    return ArtifactId(app, version)


@pytest.mark.parametrize("name", ["", "../x", "A b", "x/y", ".fap", "x" * 65])
def test_names_that_could_lead_elsewhere(store: Store, name: str) -> None:
    for call in (store.artifacts.list, store.stages.last_entries):
        with pytest.raises(UsageError):
            call(name)
    with pytest.raises(UsageError):
        store.stages.head("shop", name + "/")
    with pytest.raises(UsageError):
        store.artifacts.get("shop", name + "/")


def test_copy_brings_back_bytes_that_are_gone(tmp_path: Path) -> None:
    source, target = Store(MemoryBlobs()), Store(MemoryBlobs())
    for store in (source, target):  # pushed to both: the keys of the bytes differ
        store.artifacts.publish(tgz(tmp_path, version="1"), by=Actor("ann"))
    record = target.artifacts.get("shop", "1")
    assert not copy(source, target, "shop", "1")
    target.blobs.delete(artifacts.archive_key(record))
    assert copy(source, target, "shop", "1")
    assert artifacts.has_bytes(target.blobs, record)
    assert target.artifacts.get("shop", "1") == record


def test_copy_brings_back_nothing_that_gc_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Named, it is refused; a copy of all versions passes over it, in either store."""
    urls = [f"file://{tmp_path}/{name}" for name in ("source", "target")]
    stores = [open_store(url) for url in urls]
    for store in stores:
        for version in "123":
            store.artifacts.publish(tgz(tmp_path, version=version), by=Actor("ann"))
        store.stages.promote("shop", "3", "production", by=Actor("ann"))
    time.sleep(1.1)
    for store, keep in zip(stores, ("1", "2"), strict=True):
        store.stages.promote("shop", keep, "staging", by=Actor("ann"))
        plan = plan_gc(store, "shop", Retention(grace=timedelta(0)))
        run_gc(store, plan, Actor("ann"), lambda: None)
    with pytest.raises(RemovedError, match=f"shop 1 was removed from {urls[1]} with `fapstore gc` by ann at"):
        copy(*stores, "shop", "1")
    with pytest.raises(SystemExit) as ended:
        main(["--store", urls[0], "copy", "shop", "--to", urls[1]])
    printed = capsys.readouterr().err.splitlines()
    assert not ended.value.code
    assert [line.split(" with")[0] for line in printed] == [
        f"not copied: shop 1 was removed from {urls[1]}",
        "not copied: shop 2 was removed",
        "already there: shop 3",
    ]
