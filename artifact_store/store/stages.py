"""The stages in a store: read their state and history, and change them."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice, takewhile

import msgspec

from artifact_store.blobs.protocol import Link
from artifact_store.core.actor import Actor, Stamp
from artifact_store.core.errors import NotFoundError, UsageError, VerificationError
from artifact_store.core.hints import Hint
from artifact_store.records import keys
from artifact_store.records.artifacts import ArtifactRecord
from artifact_store.stages import log_rules, policy
from artifact_store.stages.log import StageLog, StageLogs
from artifact_store.stages.log_rules import LogEntry, StageRequest, StageState
from artifact_store.stages.policy import Refusal
from artifact_store.store.artifacts import Artifacts
from artifact_store.store.policy_facts import PolicyFacts
from artifact_store.store.promote import StageChange, StageWriter
from artifact_store.trust.rules import Trust
from artifact_store.trust.signatures import Approval, Notary, SignedStatement


class Stages:
    """The stages of all apps in a store. Changing a stage copies no bytes."""

    def __init__(
        self,
        logs: StageLogs,
        trust: Trust,
        notary: Notary,
        artifacts: Artifacts,
        facts: PolicyFacts,
        writer: StageWriter,
        stamp: Callable[[Actor], Stamp],
        clock: Callable[[], datetime],
    ) -> None:
        self._logs = logs
        self._trust = trust
        self._notary = notary
        self._artifacts = artifacts
        self._facts = facts
        self._writer = writer
        self._stamp = stamp
        self._clock = clock
        self._uncounted: dict[tuple[str, str], tuple[str, ...]] = {}

    def names(self, app: str) -> tuple[str, ...]:
        """The stages of an app that have a log or an approval."""
        return self._logs.names(app)

    def check_spelling(self, app: str, stage: str) -> None:
        """Raise UsageError for a new stage whose name is nearly that of another.

        Rules that list the stages refuse others anyway.
        """
        known = self._trust.policy.protected
        if self._trust.policy.stages or stage in known or not self._logs.can_list:
            return
        present = self.names(app)
        if stage in present:
            return
        names = {name.lower(): name for name in (*known, *present)}
        near = difflib.get_close_matches(stage.lower(), names, n=1, cutoff=0.85)
        if near:
            raise UsageError(
                f"{app} has no stage {stage!r} yet: did you mean {names[near[0]]}?",
                hint="if it is a new stage, add --new-stage",
            )

    def log(self, app: str, stage: str) -> StageLog:
        """The log of a stage."""
        return self._logs.of(app, stage)

    def head(self, app: str, stage: str) -> StageState | None:
        """The state of a stage; None if it has no version.

        Raises VerificationError if signatures are required and its last entry has no valid one.
        """
        last = self.log(app, stage).last()
        if last:
            self._notary.check_entry(last)
        return last.state if last and not last.state.is_empty else None

    def head_with_link(self, app: str, stage: str) -> tuple[StageState, Link] | None:
        """The state of a stage, and a link to its artifact; None if it has no version.

        The state has no root if the artifact's signature, where one is required, does not state the same.
        Raises VerificationError if signatures are required, and the stage's entry or the artifact has no
        valid one, if the entry has expired, if the version was withdrawn and no override put it there, or if
        the rules do not allow the version there, whoever promoted it, and NotFoundError if the version is not
        in the store.
        """
        state = self.head(app, stage)
        if state is None:
            return None
        if state.is_expired(self._clock()):
            raise VerificationError(
                f"entry {state.number} of {app} {stage} expired at {state.expires:%Y-%m-%d %H:%M} UTC: "
                "the store or mirror may show an old state",
                hint=Hint("if it is the last entry: {fapstore} renew {app} {stage}", app=app, stage=stage),
            )
        record = self._artifacts.get(app, state.version)
        if record.digest != state.digest:
            raise VerificationError(
                f"entry {state.number} of {app} {stage} says that {state.version} has the sha256 "
                f"{state.digest}, but its record says {record.digest}",
                hint=Hint("check the store: {fapstore} verify {app}", app=app),
            )
        self._artifacts.check_present(record)
        self.check_rules(record, stage)
        self._check_withdrawal(record, stage)
        link, root = self._artifacts.link_and_root(record, signature=state.signature)
        return msgspec.structs.replace(state, root=state.root if state.root == root else ""), link

    def _check_withdrawal(self, record: ArtifactRecord, stage: str) -> None:
        """Raise VerificationError for a withdrawn version, unless it came to the stage in spite of that."""
        withdrawal = self._artifacts.withdrawal(record)
        if withdrawal is None:
            return
        counting = filter(self._notary.trusts, self.log(record.app, stage).readable())
        stay = log_rules.last_stay(counting, record.digest)
        if not any("withdrawn" in entry.state.overrode for entry in stay):
            raise VerificationError(
                f"{record.app} {record.version} was withdrawn by {withdrawal.who}: {withdrawal.why}",
                hint=Hint(
                    "put another version on the stage: {fapstore} rollback {app} {stage}\n"
                    "if it has to be released all the same: "
                    "{fapstore} promote {app} {version} {stage} --override REASON",
                    app=record.app,
                    version=record.version,
                    stage=stage,
                ),
            )

    def refusals(self, records: Iterable[ArtifactRecord], stage: str) -> Iterator[tuple[Refusal, ...]]:
        """The rules that do not allow a release of each version to a stage, whoever promoted it.

        Reads whole logs, each once. Raises UsageError if the rules belong to another app or do not list the
        stage.
        """
        facts = self._facts.for_readers()
        return (self._refused(record, stage, facts) for record in records)

    def _refused(self, record: ArtifactRecord, stage: str, facts: PolicyFacts) -> tuple[Refusal, ...]:
        rules = policy.for_readers(self._trust.policy)
        policy.check_place(rules, record.app, stage)
        if not rules.stages and not rules.protected:
            return ()
        candidate = facts.candidate(rules, record, stage, "promote")
        return policy.judge(rules, record.app, stage, "promote", candidate)

    def check_rules(self, record: ArtifactRecord, stage: str) -> None:
        """Raise VerificationError if the app's rules do not allow a release of a version to a stage.

        An override by whoever promoted it does not count.
        """
        refusals = self._refused(record, stage, self._facts)
        if refusals:
            raise VerificationError(
                f"the rules do not allow {record.app} {record.version} on {stage}: "
                + "; ".join(refusal.message for refusal in refusals),
                hint=Hint.lines([refusal.hint for refusal in refusals]),
            )

    def last_entries(self, app: str) -> tuple[LogEntry, ...]:
        """The last entry of each stage of an app that counts, sorted by stage.

        If none counts, it is the last one that can be read. The entries above it are in `passed_over` then.
        """
        entries = (self._last_that_counts(app, name) for name in self.names(app))
        return tuple(entry for entry in entries if entry)

    def _last_that_counts(self, app: str, stage: str) -> LogEntry | None:
        above: list[LogEntry] = []
        for entry in self.log(app, stage).readable():
            if self._notary.trusts(entry):
                self._uncounted[app, stage] = tuple(
                    f"{keys.entry(app, stage, each.state.number)} is passed over: it was written for another "
                    "log, or has no valid signature"
                    for each in above
                )
                return entry
            above.append(entry)
        return above[0] if above else None

    def passed_over(self, app: str, *stages: str) -> tuple[str, ...]:
        """What is wrong with the entries of these stages that were passed over, each with its key."""
        return tuple(
            problem
            for name in stages
            for problem in (*self.log(app, name).passed_over, *self._uncounted.get((app, name), ()))
        )

    def history(self, app: str, stage: str) -> tuple[LogEntry, ...]:
        """All entries of a stage that can be read, oldest first. The chain is checked, signatures are not.

        What can't be read is in `passed_over` then.
        """
        return tuple(self.log(app, stage).all())

    def overwritten(self, app: str, stage: str, entries: Iterable[LogEntry]) -> tuple[str, ...]:
        """The entries that the store accepted, and that are not in the log, of which `entries` were read.

        If signatures are required, a copy of an entry without a valid one is a stranger's, and left out.
        """
        required = self._trust.policy.require_signatures

        def counts(entry: LogEntry | None) -> bool:
            return not required or (entry is not None and bool(self._notary.entry_signed_by(entry)))

        return tuple(self._logs.overwritten(app, stage, entries, counts))

    def recent(
        self, app: str, stage: str, last: int | None = None, since: datetime | None = None
    ) -> tuple[LogEntry, ...]:
        """The `last` entries of a stage that can be read, or those `since` a time, or both; newest first.

        Their chain is checked, and signatures are not, but an entry that does not count ends nothing by its
        time. What can't be read is in `passed_over` then.
        """
        log = self.log(app, stage)

        def is_young(entry: LogEntry) -> bool:
            return since is None or entry.state.at >= since or not self._notary.trusts(entry)

        entries = list(islice(takewhile(is_young, log.readable()), last))[::-1]
        log_rules.check_chain(entries, log.passed_over_numbers, whole=last is None and since is None)
        return tuple(entries[::-1])

    def entry_at(self, app: str, stage: str, at: datetime) -> LogEntry | None:
        """The entry of a stage that was the last one that counts at a time; None if there was none yet."""
        counting = filter(self._notary.trusts, self.log(app, stage).readable())
        return next((entry for entry in counting if entry.state.at <= at), None)

    def approve(self, app: str, version: str, stage: str, by: Actor, why: str = "") -> SignedStatement:
        """Sign an approval of a version for a stage. Raises as `Artifacts.sign`."""
        policy.check_place(self._trust.policy, app, stage)
        digest, stamp = self._artifacts.usable(app, version).digest, self._stamp(by)
        return self._notary.attest(
            Approval(
                app=app, stage=stage, version=version, digest=digest, who=stamp.who, why=why, at=stamp.at
            )
        )

    def promote(
        self,
        app: str,
        version: str,
        stage: str,
        by: Actor,
        *,
        why: str = "",
        source: str = "",
        override: str = "",
        lifetime: timedelta | None = None,
        dry_run: bool = False,
    ) -> StageChange:
        """Put `version` on a stage; `source` is the stage it comes from, if any.

        With `dry_run`, decide everything and write nothing.

        After `lifetime`, readers refuse the entry as the last one; see StageRequest. `override` is a reason
        for ignoring the app's rules, which is recorded. Raises NotFoundError if the version is not in the
        store, PolicyViolationError if the rules refuse it, StoreError if the stage is frozen, and
        ConflictError, naming the winner, if someone else changed the stage meanwhile.
        """
        digest = self._artifacts.usable(app, version).digest
        request = StageRequest(
            action="promote",
            version=version,
            digest=digest,
            source=source,
            why=why,
            by=self._stamp(by),
            lifetime=lifetime,
        )
        tip = self.log(app, stage).tip()
        return self._writer.change(app, stage, request, tip, override, dry_run=dry_run)

    def rollback(
        self,
        app: str,
        stage: str,
        by: Actor,
        *,
        to: str | None = None,
        why: str = "",
        override: str = "",
    ) -> StageChange:
        """Put the previous version back on a stage, or the version `to`, which must have been on it before.

        Where signatures are required, entries without one count only if no other shows a previous version.
        Raises NotFoundError if there is none; otherwise as `promote`. Needs no approvals.
        """
        log = self.log(app, stage)
        tip = log.tip()
        version = (
            to
            or self._version_before(log, self._notary.trusts)
            or self._version_before(log, self._notary.belongs)
        )
        if version is None:
            raise NotFoundError(
                f"{app} {stage} has no previous version",
                hint=Hint("{fapstore} history {app} {stage}", app=app, stage=stage),
            )
        if to and not any(e.state.version == to for e in log.readable() if self._notary.belongs(e)):
            raise NotFoundError(
                f"{app} {version} was never on {stage}",
                hint=Hint(
                    "{fapstore} promote {app} {version} {stage}", app=app, version=version, stage=stage
                ),
            )
        digest = self._artifacts.present(app, version).digest
        request = StageRequest(action="rollback", version=version, digest=digest, why=why, by=self._stamp(by))
        return self._writer.change(app, stage, request, tip, override)

    def _version_before(self, log: StageLog, counts: Callable[[LogEntry], bool]) -> str | None:
        return log_rules.version_before(entry.state for entry in log.readable() if counts(entry))

    def freeze(self, app: str, stage: str, by: Actor, why: str) -> StageChange:
        """Refuse promotions and rollbacks of a stage until it is unfrozen."""
        request = StageRequest(action="freeze", why=why, by=self._stamp(by))
        return self._writer.change(app, stage, request, self.log(app, stage).tip())

    def unfreeze(self, app: str, stage: str, by: Actor, why: str) -> StageChange:
        """Allow promotions and rollbacks of a stage again."""
        request = StageRequest(action="unfreeze", why=why, by=self._stamp(by))
        return self._writer.change(app, stage, request, self.log(app, stage).tip())

    def retire(self, app: str, stage: str, by: Actor, why: str) -> StageChange:
        """Leave a stage without a version: gc keeps nothing for it. A promotion begins it again."""
        request = StageRequest(action="retire", why=why, by=self._stamp(by))
        return self._writer.change(app, stage, request, self.log(app, stage).tip())

    def new_origin(self, app: str, stage: str, by: Actor, why: str) -> StageChange:
        """Begin the log of a stage anew: from here on, entries written for another copy count for nothing."""
        request = StageRequest(action="new-origin", why=why, by=self._stamp(by))
        return self._writer.change(app, stage, request, self.log(app, stage).tip())

    def renew(
        self, app: str, stage: str, by: Actor, lifetime: timedelta | None = None, override: str = ""
    ) -> StageChange:
        """State again what the last entry of a stage states, with a new expiry.

        With the reason `override` also above an entry of the future. Raises UsageError if the entry does not
        expire and `lifetime` is not given.
        """
        request = StageRequest(action="renew", why="", by=self._stamp(by), lifetime=lifetime)
        return self._writer.change(app, stage, request, self.log(app, stage).tip(), override)
