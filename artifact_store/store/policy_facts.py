"""Read the facts that the rules need about a version, and no others."""

from collections.abc import Iterator

from artifact_store.records import releases
from artifact_store.records.artifacts import ArtifactRecord
from artifact_store.stages import log_rules
from artifact_store.stages.log import StageLogs
from artifact_store.stages.log_rules import LogEntry
from artifact_store.stages.policy import Candidate, Policy
from artifact_store.store.records import Records
from artifact_store.trust.signatures import Notary


class PolicyFacts:
    """Reads facts for the rules from logs, release records and signatures."""

    def __init__(self, logs: StageLogs, notary: Notary, records: Records) -> None:
        self._logs = logs
        self._notary = notary
        self._records = records

    def for_readers(self) -> "PolicyFacts":
        """Facts for rules that a reader checks, about many versions; reads whole logs, once."""
        return _ReadersFacts(self._logs, self._notary, self._records)

    def candidate(self, rules: Policy, record: ArtifactRecord, stage: str, action: str) -> Candidate:
        """A version for a stage, with the facts that these rules need."""
        app, digest, protected = record.app, record.digest, stage in rules.protected
        forward = action == "promote"
        before = rules.before(stage) if forward else ""
        stay = self._signed_stay(app, before, digest) if before else ()
        not_released = ""
        if stay and protected and rules.require_released:
            numbers = {entry.state.number for entry in stay}
            # entry 0: rollbacks on hosts, which may have removed it
            records = self._records.releases(app, before, entries=numbers | {0})
            reason = releases.not_healthy(records, digest, numbers)
            not_released = (
                f"{record.version} does not count as healthy on {before}: {reason}" if reason else ""
            )
        needs_approvals = forward and protected and rules.approvals > 0
        return Candidate(
            version=record.version,
            dirty=record.dirty or "+dirty" in record.version,
            was_before=bool(stay),
            not_released=not_released,
            approved_by=self._notary.approved_by(record, stage) if needs_approvals else (),
            signature=self._signature(record),
            past_is_signed=forward
            or not rules.require_signatures
            or any(
                self._notary.trusts(entry)
                for entry in self._logs.of(app, stage).readable()
                if entry.state.digest == digest
            ),
        )

    def _signed_stay(self, app: str, stage: str, digest: str) -> tuple[LogEntry, ...]:
        """The entries of a version's last stay on a stage; empty if signatures are required and missing."""
        stay = self._last_stay(app, stage, digest)
        return stay if any(self._notary.trusts(entry) for entry in stay) else ()

    def _last_stay(self, app: str, stage: str, digest: str) -> tuple[LogEntry, ...]:
        return log_rules.last_stay(self._of_this_log(app, stage), digest)

    def _of_this_log(self, app: str, stage: str) -> Iterator[LogEntry]:
        """The entries that were written for the log of a stage, newest first."""
        return filter(self._notary.belongs, self._logs.of(app, stage).readable())

    def _signature(self, record: ArtifactRecord) -> str:
        return self._notary.signature(record)


class _ReadersFacts(PolicyFacts):
    def __init__(self, logs: StageLogs, notary: Notary, records: Records) -> None:
        super().__init__(logs, notary, records)
        self._stays: dict[tuple[str, str], dict[str, tuple[LogEntry, ...]]] = {}

    def _last_stay(self, app: str, stage: str, digest: str) -> tuple[LogEntry, ...]:
        if (app, stage) not in self._stays:
            self._stays[app, stage] = log_rules.last_stays(self._of_this_log(app, stage))
        return self._stays[app, stage].get(digest, ())

    def _signature(self, record: ArtifactRecord) -> str:
        return ""
