"""The records that a releaser keeps in the store."""

from datetime import timedelta

import msgspec
import pytest

from artifact_store.blobs.memory import MemoryBlobs
from artifact_store.core.errors import ConflictError, UsageError, VerificationError
from artifact_store.records import releases
from artifact_store.store.store import Store
from tests.parts.records import RELEASE_RECORD as RECORD

AT = RECORD.at

KEY = "shop/releases/staging/web/20261122T185409Z-00000003-fap-1.json"


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def store(blobs: MemoryBlobs) -> Store:
    return Store(blobs)


def test_a_record_is_kept_under_its_time_and_run(store: Store, blobs: MemoryBlobs) -> None:
    store.records.add_release(RECORD)
    assert list(blobs.keys("shop/")) == [KEY]
    assert store.records.releases("shop", "staging") == (RECORD,)


def test_the_same_again_is_no_error_and_another_never_replaces_it(store: Store) -> None:
    store.records.add_release(RECORD)
    store.records.add_release(RECORD)
    with pytest.raises(ConflictError):
        store.records.add_release(msgspec.structs.replace(RECORD, outcome="failed"))
    assert store.records.releases("shop", "staging", "web") == (RECORD,)


def test_they_come_in_the_order_of_the_stages_entries_whatever_the_clocks_say(store: Store) -> None:
    later = msgspec.structs.replace(RECORD, entry=4, at=AT - timedelta(days=1), operation="fap-2")
    worker = msgspec.structs.replace(RECORD, role="worker", at=AT + timedelta(hours=1))
    for record in (later, worker, RECORD):
        store.records.add_release(record)
    assert store.records.releases("shop", "staging") == (RECORD, worker, later)
    assert store.records.releases("shop", "staging", "worker") == (worker,)
    assert store.records.releases("shop", "staging", entries=range(4, 9)) == (later,)
    assert store.records.releases("shop", "production") == ()


@pytest.mark.parametrize(
    "fields", [{"app": "../x"}, {"stage": "a/b"}, {"role": ".."}, {"operation": "../../x"}, {"role": ""}]
)
def test_a_name_that_could_lead_elsewhere_is_refused(store: Store, fields: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        store.records.add_release(msgspec.structs.replace(RECORD, **fields))


def test_a_record_counts_in_its_own_place_only(store: Store, blobs: MemoryBlobs) -> None:
    blobs.create(KEY.replace("staging", "production"), releases.encode(RECORD))
    with pytest.raises(VerificationError, match="belongs to another run"):
        store.records.releases("shop", "production")


def test_what_is_no_record(store: Store, blobs: MemoryBlobs) -> None:
    blobs.create(KEY, b"<html>")
    with pytest.raises(VerificationError, match="can't be read"):
        store.records.releases("shop", "staging")
