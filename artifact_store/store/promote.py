"""Change a stage: apply the rules, write the entry, and undo it if gc was removing its version meanwhile."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec

from artifact_store.core.actor import Stamp
from artifact_store.core.errors import (
    ConflictError,
    FapError,
    PolicyViolationError,
    UncheckedError,
    VerificationError,
)
from artifact_store.core.hints import Hint
from artifact_store.records import removals
from artifact_store.records.removals import Removal
from artifact_store.stages import log_rules, policy
from artifact_store.stages.log import StageLog, StageLogs
from artifact_store.stages.log_rules import LogEntry, StageRequest, StageState
from artifact_store.store.artifacts import Artifacts
from artifact_store.store.policy_facts import PolicyFacts
from artifact_store.trust.rules import Trust
from artifact_store.trust.signatures import Notary

_OVERRIDE = "in an emergency: add --override 'REASON', which is recorded in the history"


_BROKEN = "it does not name the entry before it: that was changed, or this one was copied there"

Tip = tuple[int, LogEntry | None]
"""The highest number of a log (0: none), and its entry, or None if that can't be read."""


def _unreadable(app: str, stage: str, problems: tuple[str, ...]) -> VerificationError:
    return VerificationError(
        f"the last entry of {app} {stage} can't be read: {'; '.join(problems)}",
        hint=Hint(
            "go on from the last entry that can be read: {fapstore} rollback {app} {stage} --to VERSION, "
            "or {fapstore} promote {app} VERSION {stage} --override REASON",
            app=app,
            stage=stage,
        ),
    )


@dataclass(frozen=True)
class StageChange:
    """The state of a stage after a request."""

    state: StageState
    changed: bool
    """False if the stage already had this state, and nothing was written."""
    gap: int = 0
    """The number of a missing entry below it, above which a reader over https sees none; 0 without a gap."""


class StageWriter:
    """Writes entries into the logs of stages, as the app's rules allow."""

    def __init__(
        self, logs: StageLogs, trust: Trust, notary: Notary, artifacts: Artifacts, facts: PolicyFacts
    ) -> None:
        self._logs = logs
        self._trust = trust
        self._notary = notary
        self._artifacts = artifacts
        self._facts = facts

    def change(
        self,
        app: str,
        stage: str,
        request: StageRequest,
        tip: Tip,
        override: str = "",
        *,
        dry_run: bool = False,
    ) -> StageChange:
        """Apply a request to a stage whose log ended with `tip`; `override` is a reason, or empty.

        With `dry_run`, all is decided and nothing is written.

        A last entry that can't be read is passed over by a rollback and a freeze, by a promotion with a
        reason, and where signatures are required: there it counts as nothing. Raises as `Stages.promote`.
        """
        policy.check_place(self._trust.policy, app, stage)
        number, last = tip
        log = self._logs.of(app, stage)
        over = number if number and last is None else 0
        broken = last if last and not log.follows(last) else None
        leads_out = request.action in ("rollback", "freeze", "unfreeze", "retire") or (
            request.action in ("promote", "renew") and override
        )
        if (over or broken) and not leads_out and not self._trust.policy.require_signatures:
            raise _unreadable(app, stage, log.passed_over if over else (_BROKEN,))
        current = last
        if over:
            last = next(log.readable(), None)
        if last and (over or broken or not self._notary.trusts(last)):
            readable = (entry for entry in log.readable() if not broken or entry.sha256 != broken.sha256)
            current = next(filter(self._notary.trusts, readable), None)
        max_age = self._trust.policy.lifetime(stage)
        bad = log_rules.bad_versions(self._counting(log, current)) if current else ()
        state = log_rules.decide(
            current,
            app,
            stage,
            request,
            last=last,
            over=over,
            max_age=max_age,
            bad=bad,
            override=bool(override),
        )
        if current and state is current.state:
            return StageChange(state, changed=False)
        if override and state.action in ("promote", "renew"):
            behind = state.at - request.by.at > log_rules.MOST_BEHIND
            passed = ("unreadable",) * bool(over or broken) + ("clock",) * behind
            state = msgspec.structs.replace(state, overrode=passed, reason=override if passed else "")
        if state.action in ("promote", "rollback"):
            state = self._judged(state, override, bad)
        is_same = (
            current and current is last and not over and log_rules.is_as_requested(current.state, request)
        )
        if current and is_same and not state.overrode:
            return StageChange(current.state, changed=False)
        if dry_run:
            return StageChange(state, changed=True)
        if state.action == "new-origin":  # its mark first: what is written after it has the new origin
            self._notary.begin_anew(state)
        state = self._append(state)
        # a freeze and a renewal do not change the version; who overrode a gc saw it
        if request.version and "gc" not in state.overrode:
            self._check_gc(current, state)
        return StageChange(state, changed=True, gap=self._gap(log, current, state))

    def _gap(self, log: StageLog, counted: LogEntry | None, state: StageState) -> int:
        """The gap below an entry that passed others over; 0 also if it can't be seen, as the entry is in the
        log."""
        with suppress(FapError):
            return log.gap_below(state.number, counted.state.number if counted else 0)
        return 0

    def _counting(self, log: StageLog, current: LogEntry) -> Iterator[StageState]:
        """The states of the entries that count, from `current` back; only rollbacks need a signature."""
        yield current.state
        for entry in log.readable():
            if entry.state.number < current.state.number and (
                self._notary.trusts(entry)
                if entry.state.action == "rollback"
                else self._notary.belongs(entry)
            ):
                yield entry.state

    def _check_gc(self, before: LogEntry | None, state: StageState) -> None:
        """Undo `state`, and raise StoreError, if gc removes its version; `before` is the entry to return to.

        Raises UncheckedError if that can't be seen: the entry is in the log all the same.
        """
        try:
            removal = self._artifacts.removal(state.app, state.version)
        except FapError as error:
            raise UncheckedError(
                f"{state.app} {state.stage} has {state.version} now (entry {state.number} is in the log), "
                f"but whether a gc is removing that version could not be checked: {error.message}",
                hint=Hint.lines(
                    [
                        error.hint,
                        Hint("then: {fapstore} stages {app}; {fapstore} verify {app}", app=state.app),
                    ]
                ),
            ) from error
        if removal:
            self._take_back(before, state, removal)
            raise removals.refusal(removal, gone=False)

    def _judged(self, state: StageState, override: str, bad: tuple[str, ...]) -> StageState:
        """The state with the rules' decision; PolicyViolationError if they refuse without `override`.

        `bad` are the sha256 of versions that rollbacks removed from the stage.
        """
        rules, record = self._trust.policy, self._artifacts.get(state.app, state.version)
        withdrawal = self._artifacts.withdrawal(record)
        removal = self._artifacts.removal(state.app, state.version) if state.action == "rollback" else None
        candidate = replace(
            self._facts.candidate(rules, record, state.stage, state.action),
            marked=f"that {removal.by.who} began at {removal.by.at:%Y-%m-%d %H:%M} UTC" if removal else "",
            is_bad=state.action == "promote" and record.digest in bad,
            withdrawn=f"by {withdrawal.who}: {withdrawal.why}" if withdrawal else "",
        )
        refusals = policy.judge(rules, state.app, state.stage, state.action, candidate)
        if refusals and not override:
            raise PolicyViolationError(
                f"{state.app} {state.version} may not go to {state.stage}: "
                + "; ".join(refusal.message for refusal in refusals),
                hint=Hint.lines([*(refusal.hint for refusal in refusals), _OVERRIDE]),
            )
        overrode = (*state.overrode, *(refusal.rule for refusal in refusals))
        return msgspec.structs.replace(
            state,
            overrode=overrode,
            reason=override if overrode else "",
            approved_by=policy.counted(rules, candidate),
            signature=candidate.signature,
            root=self._notary.root(record, candidate.signature),
        )

    def _append(self, state: StageState) -> StageState:
        """Write a signed entry with the digest of the rules; return its state."""
        state = msgspec.structs.replace(state, policy=self._trust.policy_digest)
        self._logs.of(state.app, state.stage).append(state, self._notary.sign_entry(state))
        return state

    def _take_back(self, trusted: LogEntry | None, state: StageState, removal: Removal) -> None:
        """Undo `state`, whose version gc was about to remove: return to the previous trusted entry.

        Without such an entry, the stage has no version again.
        """
        last = self._logs.of(state.app, state.stage).last()
        if last is None or last.state.operation != state.operation:
            return
        before = trusted.state if trusted else None
        request = StageRequest(
            action="rollback",
            version=before.version if before else "",
            digest=before.digest if before else "",
            why=f"gc by {removal.by.who} was removing {state.version} at the same time",
            by=Stamp(
                who=state.who, at=state.at, ci=state.ci, operation=log_rules.taken_back(state.operation)
            ),
        )
        again = log_rules.decide(last, state.app, state.stage, request, bad=last.state.bad or ())
        with suppress(ConflictError):
            kept = {"signature": before.signature, "root": before.root} if before else {}
            self._append(msgspec.structs.replace(again, **kept))
