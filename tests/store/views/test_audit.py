"""An audit of a long log with ordered stages."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from artifact_store.blobs.memory import MemoryBlobs
from artifact_store.core.actor import Actor
from artifact_store.stages.policy import Policy
from artifact_store.store.store import Store
from artifact_store.trust.rules import Trust
from artifact_store.views import audit
from tests.parts.tgz import tgz

RULES = Trust(policy=Policy(stages=("staging", "production")), policy_digest="a" * 64)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
VERSIONS = 12


class Counting(MemoryBlobs):
    """Counts how often each key is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[str] = Counter()

    def get(self, key: str) -> bytes:
        self.reads[key] += 1
        return super().get(key)


def filled(blobs: Counting, folder: Path) -> datetime:
    """Promote each version to both stages; return the time after that."""
    now = BEGIN
    store = Store(blobs, trust=RULES, clock=lambda: now)
    for number in range(1, VERSIONS + 1):
        store.artifacts.publish(tgz(folder, version=f"{number}"), Actor("ann"))
        for stage in ("staging", "production"):
            now += timedelta(minutes=1)
            store.stages.promote("shop", f"{number}", stage, Actor("ann"))
    blobs.reads.clear()
    return now


def test_a_release_reads_no_more_of_a_log_than_it_needs(tmp_path: Path) -> None:
    blobs = Counting()
    now = filled(blobs, tmp_path)
    assert Store(blobs, trust=RULES, clock=lambda: now).stages.head_with_link("shop", "production")
    assert len([key for key in blobs.reads if "/stages/" in key]) < VERSIONS


def test_ordered_stages_are_audited_without_reading_their_logs_for_each_version(tmp_path: Path) -> None:
    blobs = Counting()
    now = filled(blobs, tmp_path)
    store = Store(blobs, trust=RULES, clock=lambda: now)
    skipped = VERSIONS + 1
    store.artifacts.publish(tgz(tmp_path, version=f"{skipped}"), Actor("ann"))
    unruled = Store(blobs, clock=lambda: now)
    unruled.stages.promote("shop", f"{skipped}", "production", Actor("eve"))
    blobs.reads.clear()
    checks = audit.everything(Store(blobs, trust=RULES, clock=lambda: now), RULES, "shop")
    problems = [problem for check in checks for problem in check.problems]
    assert problems == [
        f"the rules do not allow shop {skipped} on production: {skipped} was never on staging"
    ]
    entries = [number for key, number in blobs.reads.items() if "/stages/" in key]
    assert max(entries) <= VERSIONS // 2
