"""The stages in a store: what each should run, its history, and the verbs that change it."""

from collections.abc import Callable

from artifact_store.blobs.protocol import Link
from artifact_store.core.actor import Actor, Stamp
from artifact_store.core.errors import NotFoundError, VerificationError
from artifact_store.core.hints import Hint
from artifact_store.stages import log_rules, policy
from artifact_store.stages.log import StageLog, StageLogs
from artifact_store.stages.log_rules import LogEntry, StageRequest, StageState
from artifact_store.store.artifacts import Artifacts
from artifact_store.store.promote import StageChange, StageWriter
from artifact_store.trust.rules import Trust
from artifact_store.trust.signatures import Approval, Notary, SignedStatement


class Stages:
    """The stages of all apps in a store. Moving a version from stage to stage moves no bytes."""

    def __init__(
        self,
        logs: StageLogs,
        trust: Trust,
        notary: Notary,
        artifacts: Artifacts,
        writer: StageWriter,
        stamp: Callable[[Actor], Stamp],
    ) -> None:
        self._logs = logs
        self._trust = trust
        self._notary = notary
        self._artifacts = artifacts
        self._writer = writer
        self._stamp = stamp

    def names(self, app: str) -> tuple[str, ...]:
        """The stages that an app has a log or an approval of."""
        return self._logs.names(app)

    def log(self, app: str, stage: str) -> StageLog:
        """The log of a stage."""
        return self._logs.of(app, stage)

    def head(self, app: str, stage: str) -> StageState | None:
        """What a stage should run, or None if that is nothing.

        Raises VerificationError if signatures are demanded and its entry has no valid one.
        """
        last = self.log(app, stage).last()
        if last:
            self._notary.check_entry(last)
        return last.state if last and not last.state.is_empty else None

    def head_with_link(self, app: str, stage: str) -> tuple[StageState, Link] | None:
        """What a stage should run, and a link to its bytes; None if that is nothing.

        Raises VerificationError if signatures are demanded, and the stage's entry or the artifact has no
        valid one; NotFoundError if the version is not stored.
        """
        state = self.head(app, stage)
        if state is None:
            return None
        record = self._artifacts.usable(app, state.version)
        if record.digest != state.digest:
            raise VerificationError(
                f"entry {state.number} of {app} {stage} says that {state.version} is {state.digest}, "
                f"its record {record.digest}",
                hint=Hint("find out what happened: {fapstore} verify {app}", app=app),
            )
        return state, self._artifacts.link_to(record, signature=state.signature)

    def last_entries(self, app: str) -> tuple[LogEntry, ...]:
        """The last entry of each stage of an app, by stage; signatures are not checked."""
        entries = (self.log(app, name).last() for name in self.names(app))
        return tuple(entry for entry in entries if entry)

    def history(self, app: str, stage: str) -> tuple[LogEntry, ...]:
        """The whole log of a stage, the first entry first; its chain is checked, signatures are not."""
        return tuple(self.log(app, stage).all())

    def approve(self, app: str, version: str, stage: str, by: Actor, why: str = "") -> SignedStatement:
        """Sign that a version may go to a stage. Raises as `Artifacts.sign`."""
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
    ) -> StageChange:
        """Make `version` what the stage should run; `source` is the stage it comes from, if any.

        With `override`, a reason, it is done where the app's rules refuse, and the entry says so. Raises
        NotFoundError for a version that is not stored, PolicyViolationError if the rules refuse, StoreError
        if the stage is frozen, ConflictError (naming the winner) if someone else changed it meanwhile.
        """
        digest = self._artifacts.usable(app, version).digest
        request = StageRequest(
            action="promote", version=version, digest=digest, source=source, why=why, by=self._stamp(by)
        )
        return self._writer.change(app, stage, request, self.log(app, stage).last(), override)

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
        """Make the version before, or version `to` of the stage's past, what the stage should run.

        Raises NotFoundError if there is none; else as `promote`. Needs no approvals.
        """
        log = self.log(app, stage)
        last = log.last()
        version = to or log_rules.version_before(entry.state for entry in log.newest_first())
        if version is None:
            raise NotFoundError(
                f"{app} {stage} has no version to go back to",
                hint=Hint("{fapstore} history {app} {stage}", app=app, stage=stage),
            )
        if to and not any(entry.state.version == to for entry in log.newest_first()):
            raise NotFoundError(
                f"{app} {version} was never on {stage}",
                hint=Hint(
                    "{fapstore} promote {app} {version} {stage}", app=app, version=version, stage=stage
                ),
            )
        digest = self._artifacts.usable(app, version).digest
        request = StageRequest(action="rollback", version=version, digest=digest, why=why, by=self._stamp(by))
        return self._writer.change(app, stage, request, last, override)

    def freeze(self, app: str, stage: str, by: Actor, why: str) -> StageChange:
        """Refuse promotions and rollbacks of a stage until it is unfrozen."""
        request = StageRequest(action="freeze", why=why, by=self._stamp(by))
        return self._writer.change(app, stage, request, self.log(app, stage).last())

    def unfreeze(self, app: str, stage: str, by: Actor, why: str) -> StageChange:
        """Allow promotions and rollbacks of a stage again."""
        request = StageRequest(action="unfreeze", why=why, by=self._stamp(by))
        return self._writer.change(app, stage, request, self.log(app, stage).last())
