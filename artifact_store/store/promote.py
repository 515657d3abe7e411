"""Change a stage: judge, write the entry, and take it back if gc was removing its version meanwhile."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from artifact_store.core.errors import ConflictError, RefusedError
from artifact_store.records import removal
from artifact_store.records.removal import Removal
from artifact_store.stages import log_rules as promotion
from artifact_store.stages import policy
from artifact_store.stages.log_rules import Entry, Request, StageState
from artifact_store.store.policy_facts import look

if TYPE_CHECKING:
    from artifact_store.store.store import Store
    from artifact_store.trust.rules import Trust


@dataclass(frozen=True)
class Change:
    """The state of a stage after a request."""

    state: StageState
    changed: bool
    """False if the stage was so before, and nothing was written."""


def change(
    store: Store, trust: Trust, app: str, stage: str, last: Entry | None, request: Request, reason: str = ""
) -> Change:
    """Do what is requested of a stage whose log's last entry is `last`; `reason` overrides the rules.

    Raises as `Store.promote`.
    """
    policy.check_place(trust.policy, app, stage)
    current = last
    if last and not store.notary.trusts(last):
        current = next((e for e in store.newest_first(app, stage) if store.notary.trusts(e)), None)
    state = promotion.decide(current, app, stage, request, last=last)
    if current and state is current.state:
        return Change(state, changed=False)
    if state.action in ("promote", "rollback"):
        state = _judged(store, trust, state, reason)
    state = _append(store, trust, state)
    # a freeze names the version that the stage has anyway
    found = store.removed(app, request.version) if request.version else None
    if found:
        _take_back(store, trust, current, state, found)
        raise removal.refusal(found)
    return Change(state, changed=True)


def _append(store: Store, trust: Trust, state: StageState) -> StageState:
    """Write an entry, signed and with the rules it was decided by; return it as it was written."""
    state = msgspec.structs.replace(state, policy=trust.policy_digest)
    store.log(state.app, state.stage).append(state, store.notary.sign_entry(state))
    return state


def _take_back(store: Store, trust: Trust, believed: Entry | None, state: StageState, found: Removal) -> None:
    """Go back to what was believed before `state`, which names a version that gc was about to remove.

    If there was nothing before, then to nothing.
    """
    last = store.log(state.app, state.stage).last()
    if last is None or last.state.operation != state.operation:
        return
    before = believed.state if believed else None
    request = Request(
        action="rollback",
        version=before.version if before else "",
        digest=before.digest if before else "",
        who=state.who,
        why=f"gc of {found.by.who} was removing {state.version} at the same moment",
        at=state.at,
        operation=f"{state.operation}-back",
        ci=state.ci,
    )
    again = promotion.decide(last, state.app, state.stage, request)
    with suppress(ConflictError):
        _append(store, trust, msgspec.structs.replace(again, signature=before.signature if before else ""))


def _judged(store: Store, trust: Trust, state: StageState, reason: str) -> StageState:
    """The state with what the rules said of it; RefusedError if they refuse and there is no `reason`."""
    rules, found = trust.policy, store.artifact(state.app, state.version)
    standing = look(store, rules, found, state.stage, state.action)
    refusals = policy.judge(rules, state.app, state.stage, state.action, standing)
    if refusals and not reason:
        raise RefusedError(
            f"{state.app} {state.version} may not go to {state.stage}: "
            + "; ".join(refusal.message for refusal in refusals),
            hint="\n".join(refusal.hint for refusal in refusals)
            + "\nin an emergency: the same command with --reason 'WHY', which is recorded",
        )
    return msgspec.structs.replace(
        state,
        overrode=tuple(refusal.rule for refusal in refusals),
        reason=reason if refusals else "",
        approved_by=policy.counted(rules, standing),
        signature=standing.signature,
    )
