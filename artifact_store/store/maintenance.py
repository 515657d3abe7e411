"""Maintain a store: test what it guarantees, and remove unused versions."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from artifact_store.blobs import doctor
from artifact_store.core.actor import Actor
from artifact_store.core.finding import Finding
from artifact_store.gc import collect
from artifact_store.gc.collect import GcPlan, GcResult
from artifact_store.gc.references import Retention
from artifact_store.store.store import Store


def examine(store: Store) -> Iterator[Finding]:
    """Test what the store guarantees, and check its settings; see `blobs.doctor`."""
    return doctor.examine(store.blobs, lambda: datetime.now(UTC))


def plan_gc(store: Store, app: str, retention: Retention) -> GcPlan:
    """List what a run of gc would remove. Changes nothing; see `collect.plan`."""
    return collect.plan(store.blobs, app, retention, store.clock(), store.notary.trusts)


def run_gc(
    store: Store, plan: GcPlan, by: Actor, wait: Callable[[], None], lasts: timedelta = timedelta(hours=1)
) -> GcResult:
    """Remove what `plan` lists, except versions that something refers to by then; see `collect.carry_out`.

    `lasts` is how long the run takes at most.
    """
    run = collect.Run(store.stamp(by), store.clock, lasts)
    return collect.carry_out(store.blobs, plan, run, wait, store.notary.trusts)


def take_back(store: Store, app: str) -> int:
    """Delete the marks of runs of gc that were killed; return their number. No gc may run meanwhile."""
    return collect.take_back(store.blobs, app)
