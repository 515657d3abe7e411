"""The records that hosts keep of what they did by themselves."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from artifact_store.blobs.memory import MemoryBlobs
from artifact_store.blobs.open import open_blobs
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.errors import ConflictError, UsageError, VerificationError
from artifact_store.records import hosts
from artifact_store.store.store import Store
from tests.parts.records import HOST_RECORD as RECORD

AT = RECORD.at

KEY = "shop/hosts/production/web/web1.example.com/00000007-20261126T010203Z-run-1.json"
KINDS = ["memory", "folder", pytest.param("s3", marks=pytest.mark.s3)]


@pytest.fixture(params=KINDS)
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "memory":
        return MemoryBlobs()
    return open_blobs(request.getfixturevalue("s3_url") if request.param == "s3" else f"file://{tmp_path}")


def test_a_host_stands_where_its_highest_entry_left_it_whatever_its_clock_says(blobs: Blobs) -> None:
    store = Store(blobs)
    assert store.records.host("shop", "production", "web", "web1.example.com") is None
    again = msgspec.structs.replace(RECORD, outcome="undone", at=AT + timedelta(seconds=1), operation="run-2")
    higher = msgspec.structs.replace(RECORD, entry=10, at=AT - timedelta(days=400), operation="run-3")
    other = msgspec.structs.replace(RECORD, host="web1.example.com-b", entry=9, operation="run-4")
    worker = msgspec.structs.replace(RECORD, role="worker", operation="run-5")
    for record, stands in ((RECORD, RECORD), (again, again), (higher, higher), (other, higher)):
        store.records.add_host(record)
        store.records.add_host(record)
        assert store.records.host("shop", "production", "web", "web1.example.com") == stands
    store.records.add_host(worker)
    assert KEY in set(blobs.keys("shop/"))
    assert store.records.hosts("shop", "production", "web") == (higher, other)
    assert store.records.hosts("shop", "production") == (higher, other, worker)
    assert store.records.hosts("shop", "staging") == ()
    with pytest.raises(ConflictError):
        store.records.add_host(msgspec.structs.replace(RECORD, outcome="failed"))


@pytest.mark.parametrize(
    "fields", [{"app": "../x"}, {"stage": "a/b"}, {"role": ".."}, {"host": ".."}, {"operation": "a/b"}]
)
def test_a_name_that_could_lead_elsewhere_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        hosts.key(msgspec.structs.replace(RECORD, **fields))


def test_a_record_counts_in_its_own_place_only() -> None:
    blobs = MemoryBlobs()
    Store(blobs).records.add_host(RECORD)
    blobs.create(KEY.replace("web1", "web2"), blobs.get(KEY))
    with pytest.raises(VerificationError, match="another host or run"):
        Store(blobs).records.hosts("shop", "production")


def test_what_is_no_record_is_refused_and_what_is_no_key_of_one_passed_over() -> None:
    blobs = MemoryBlobs()
    Store(blobs).records.add_host(RECORD)
    blobs.create("shop/hosts/production/web/web1.example.com/zzz", b"")
    assert Store(blobs).records.hosts("shop", "production") == (RECORD,)
    blobs.create(KEY.replace("00000007", "00000008"), b"<html>")
    with pytest.raises(VerificationError, match="can't be read"):
        Store(blobs).records.host("shop", "production", "web", "web1.example.com")
