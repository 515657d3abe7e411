"""What a release leaves in the store, and that `require_released` goes by it."""

import json
from pathlib import Path

import pytest

from artifact_store.blobs.open import make_store
from artifact_store.core.actor import Actor
from artifact_store.core.errors import PolicyViolationError
from faprelease.errors import ReleaseFailedError
from faprelease.verbs import status
from tests.parts.site import Site, artifact
from tests.parts.store_site import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    site = Site(tmp_path)
    make_store(f"file://{tmp_path}/store")
    site.configure(f"store: file://{tmp_path}/store")
    return Shop(site)


def test_a_release_from_the_store_is_recorded_and_counts(shop: Shop) -> None:
    shop.push("1")
    with pytest.raises(PolicyViolationError, match="never released there"):
        shop.store.stages.promote("shop", "1", "world", by=Actor("ann"))
    shop.release()
    (record,) = shop.records()
    assert (record.role, record.action, record.version, record.entry) == ("web", "release", "1", 1)
    assert (record.outcome, [host.outcome for host in record.hosts]) == ("healthy", ["healthy"])
    assert record.release == shop.site.current()
    config = json.loads(
        (shop.site.path / f".fap/releases/{record.release}.jsonl").read_text().splitlines()[-1]
    )
    assert record.config == config["config"] != ""
    assert record.digest == shop.store.artifacts.get("shop", "1").digest
    assert shop.store.stages.promote("shop", "1", "world", by=Actor("ann")).changed


def test_a_failed_release_does_not_count(shop: Shop) -> None:
    shop.push("1", install=b"#!/bin/sh\nexit 1\n")
    with pytest.raises(ReleaseFailedError):
        shop.release()
    assert [record.outcome for record in shop.records()] == ["failed"]
    with pytest.raises(PolicyViolationError, match="not healthy as web"):
        shop.store.stages.promote("shop", "1", "world", by=Actor("ann"))


def test_what_a_rollback_left_no_longer_counts(shop: Shop) -> None:
    shop.push("1")
    shop.release()
    shop.push("2")
    shop.release()
    left = shop.site.current()
    shop.site.rollback()
    back = next(record for record in shop.records() if record.action == "rollback")
    assert (back.version, back.entry, back.outcome) == ("1", 0, "healthy")
    assert (back.release, back.previous) == (shop.site.current(), left)
    with pytest.raises(PolicyViolationError, match="not healthy as web"):
        shop.store.stages.promote("shop", "2", "world", by=Actor("ann"))


def test_a_release_by_url_is_recorded_without_an_entry(shop: Shop, tmp_path: Path) -> None:
    shop.site.release(artifact(tmp_path / "elsewhere", "1"))
    assert [(record.entry, record.outcome) for record in shop.records()] == [(0, "healthy")]


def test_history_tells_what_ledgers_and_the_store_know(shop: Shop) -> None:
    shop.push("1")
    shop.release()
    shop.push("2", install=b"#!/bin/sh\nexit 1\n")
    with pytest.raises(ReleaseFailedError):
        shop.release()
    shop.push("3")
    shop.release()
    shop.site.rollback()

    def told() -> list[tuple[str, str, str]]:
        return [(event.event, event.version, event.more) for event in status.events(shop.site.request())]

    here = [("released", "1", ""), ("failed", "2", ""), ("released", "3", ""), ("rolled back", "1", "")]
    assert told() == here
    # The host was set up anew, and its ledger went with it: the store remembers.
    (shop.site.path / ".fap/ledger.jsonl").unlink()
    # Sorted, as it was all done within a second or two.
    assert sorted(told()) == [
        ("released", "1", "healthy, according to the store"),
        ("released", "2", "failed, according to the store"),
        ("released", "3", "healthy, according to the store"),
        ("rolled back", "1", "healthy, according to the store"),
    ]
    who = shop.records()[0].who
    found = {(event.role, event.hosts, event.who) for event in status.events(shop.site.request())}
    assert found == {("web", ("localhost",), who)}


def test_a_store_that_cannot_be_written_fails_no_release(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FAP_STORE", f"file://{tmp_path}/file/store")
    assert shop.site.release(artifact(tmp_path / "elsewhere", "1"))
    told = capsys.readouterr()
    assert "warning: the store could not record this release" in told.out + told.err


def test_without_a_store_nothing_is_recorded(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.configure()
    assert site.release(artifact(tmp_path / "elsewhere", "1"))
    assert not (tmp_path / "store").exists()
