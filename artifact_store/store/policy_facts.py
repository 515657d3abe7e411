"""What a store knows of a version that the rules ask about, and no more than they ask."""

from artifact_store.records import releases
from artifact_store.records.artifacts import ArtifactRecord
from artifact_store.stages import log_rules
from artifact_store.stages.log import StageLogs
from artifact_store.stages.log_rules import LogEntry
from artifact_store.stages.policy import Candidate, Policy
from artifact_store.store.records import Records
from artifact_store.trust.signatures import Notary


class PolicyFacts:
    """Reads logs, release records and signatures for the rules."""

    def __init__(self, logs: StageLogs, notary: Notary, records: Records) -> None:
        self._logs = logs
        self._notary = notary
        self._records = records

    def candidate(self, rules: Policy, record: ArtifactRecord, stage: str, action: str) -> Candidate:
        """A version that someone wants on a stage, with what these rules ask about it."""
        app, digest, protected = record.app, record.digest, stage in rules.protected
        forward = action == "promote"
        before = rules.before(stage) if forward else ""
        stay = self._signed_stay(app, before, digest) if before else ()
        not_released = ""
        if stay and protected and rules.require_released:
            numbers = {entry.state.number for entry in stay}
            # entry 0: rollbacks on hosts, which may have left it
            records = self._records.releases(app, before, entries=numbers | {0})
            reason = releases.not_healthy(records, digest, numbers)
            not_released = (
                f"{record.version} does not count as healthy on {before}: {reason}" if reason else ""
            )
        asks = forward and protected and rules.approvals > 0
        return Candidate(
            version=record.version,
            dirty=record.dirty or "+dirty" in record.version,
            was_before=bool(stay),
            not_released=not_released,
            approved_by=self._notary.approved_by(record, stage) if asks else (),
            signature=self._notary.signature(record),
            past_is_signed=forward
            or not rules.require_signatures
            or bool(self._signed_stay(app, stage, digest)),
        )

    def _signed_stay(self, app: str, stage: str, digest: str) -> tuple[LogEntry, ...]:
        """The entries of a version's last stay on a stage; none if signatures are demanded and missing."""
        stay = log_rules.last_stay(self._logs.of(app, stage).newest_first(), digest)
        return stay if any(self._notary.trusts(entry) for entry in stay) else ()
