"""What a store knows of a version that the rules ask about, and no more than they ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artifact_store.records import release as releases
from artifact_store.records.artifact import ArtifactRecord
from artifact_store.stages import log_rules as promotion
from artifact_store.stages.log_rules import Entry
from artifact_store.stages.policy import Policy, Standing

if TYPE_CHECKING:
    from artifact_store.store.store import Store


def look(store: Store, policy: Policy, record: ArtifactRecord, stage: str, action: str) -> Standing:
    """Read where a version stands that someone wants on a stage."""
    app, digest, protected = record.app, record.digest, stage in policy.protected
    forward = action == "promote"
    before = policy.before(stage) if forward else ""
    stay = _signed_stay(store, app, before, digest) if before else ()
    not_released = ""
    if stay and protected and policy.require_released:
        numbers = {entry.state.number for entry in stay}
        # entry 0: rollbacks on hosts, which may have left it
        reason = releases.not_healthy(store.releases(app, before, entries=numbers | {0}), digest, numbers)
        not_released = f"{record.version} does not count as healthy on {before}: {reason}" if reason else ""
    asks = forward and protected and policy.approvals > 0
    return Standing(
        version=record.version,
        dirty=record.dirty or "+dirty" in record.version,
        was_before=bool(stay),
        not_released=not_released,
        approved_by=store.notary.approved_by(record, stage) if asks else (),
        signature=store.notary.signature(record),
        past_is_signed=forward
        or not policy.require_signatures
        or bool(_signed_stay(store, app, stage, digest)),
    )


def _signed_stay(store: Store, app: str, stage: str, digest: str) -> tuple[Entry, ...]:
    """The entries of the version's last stay on a stage; none if signatures are demanded and it has none."""
    stay = promotion.last_stay(store.newest_first(app, stage), digest)
    return stay if any(store.notary.trusts(entry) for entry in stay) else ()
