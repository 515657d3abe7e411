"""The app's rules for stages, and the decision about one version. Pure functions."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Literal

import msgspec

from artifact_store.core import duration
from artifact_store.core.errors import UsageError
from artifact_store.core.hints import Hint

Rule = Literal["clean", "order", "released", "approvals", "signed", "rolled-back", "withdrawn", "gc"]


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of fapstore.toml, explained in docs/fapstore.toml. The defaults allow everything."""

    app: str = ""
    stages: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    require_released: bool = False
    approvals: int = 0
    approvers: tuple[str, ...] = ()
    max_age: str = ""
    signers: str = ""
    require_signatures: bool = False

    def lifetime(self, stage: str) -> timedelta | None:
        """How long after an entry readers accept it as the last one; None without a limit."""
        return duration.parse(self.max_age) if self.max_age and stage in self.protected else None

    def before(self, stage: str) -> str:
        """The stage that a version must pass before this one, or empty."""
        place = self.stages.index(stage) if stage in self.stages else 0
        return self.stages[place - 1] if place else ""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A version for a stage, with the facts that the rules ask for."""

    version: str
    dirty: bool = False
    was_before: bool = True
    """Whether it was on the previous stage."""
    not_released: str = ""
    """The reason why it does not count as healthy on the previous stage; empty if it does."""
    approved_by: tuple[str, ...] = ()
    """The signers of valid approvals for this stage."""
    signature: str = ""
    """The name (sha256) of a valid signature of the artifact; empty if it has none."""
    is_bad: bool = False
    """Whether a rollback removed it from this stage, and nobody put it there again."""
    withdrawn: str = ""
    """Who withdrew it, and why; empty if nobody did."""
    marked: str = ""
    """Who may be removing its bytes with gc; empty if nobody is, and for a promotion, which gc refuses."""
    past_is_signed: bool = True
    """Whether an entry that put it on this stage has a valid signature; only a rollback needs this."""


@dataclass(frozen=True)
class Refusal:
    """A rule that refuses a version, with the reason and a hint."""

    rule: Rule
    message: str
    hint: Hint


def check_place(policy: Policy, app: str, stage: str) -> None:
    """Raise UsageError if the policy belongs to another app or does not list the stage."""
    if policy.app and policy.app != app:
        raise UsageError(
            f"the rules here belong to {policy.app}, not to {app}",
            hint=f"run this in the folder of {app}, or name its fapstore.toml with --config",
        )
    if policy.stages and stage not in policy.stages:
        near = get_close_matches(stage, policy.stages, n=1)
        raise UsageError(
            f"{stage} is not one of the stages {', '.join(policy.stages)}",
            hint=f"did you mean {near[0]}?" if near else "add it to `stages` in the rules",
        )


def for_readers(policy: Policy) -> Policy:
    """The rules that a release checks again, whoever promoted the version.

    `require_released` is about the moment of the promotion: the stage before may have another version by now.
    Signatures are checked where an entry and an artifact are read.
    """
    return msgspec.structs.replace(policy, require_released=False, require_signatures=False)


def counted(policy: Policy, candidate: Candidate) -> tuple[str, ...]:
    """The people whose approvals count, each once."""
    return tuple(
        name
        for name in dict.fromkeys(candidate.approved_by)
        if not policy.approvers or name in policy.approvers
    )


def judge(policy: Policy, app: str, stage: str, action: str, candidate: Candidate) -> tuple[Refusal, ...]:
    """The rules that refuse this version; empty if it may go to the stage.

    A rollback is for emergencies: it needs no approvals and skips the check of earlier stages, because the
    version passed these rules when it was promoted.
    """
    return tuple(_refusals(policy, app, stage, action, candidate))


def _refusals(policy: Policy, app: str, stage: str, action: str, candidate: Candidate) -> Iterator[Refusal]:
    version, protected, forward = candidate.version, stage in policy.protected, action == "promote"
    before = policy.before(stage)
    if candidate.withdrawn:
        yield Refusal(
            "withdrawn",
            f"{version} was withdrawn {candidate.withdrawn}",
            Hint("take another version: {fapstore} list {app}", app=app),
        )
    if candidate.marked:
        yield Refusal(
            "gc",
            f"{version} is being removed by a gc {candidate.marked}",
            Hint("if it was killed, and no other one runs: {fapstore} gc {app} --take-back", app=app),
        )
    if candidate.is_bad:
        yield Refusal(
            "rolled-back",
            f"{version} was on {stage}, and a rollback removed it",
            Hint(
                "see why: {fapstore} history {app} {stage}; then promote a fixed version",
                app=app,
                stage=stage,
            ),
        )
    if protected and candidate.dirty:
        yield Refusal(
            "clean",
            f"{version} was packed from a tree with uncommitted changes",
            Hint("commit, pack and push a new version"),
        )
    if policy.require_signatures and not candidate.signature:
        yield Refusal(
            "signed",
            f"{version} has no valid signature",
            Hint("{fapstore} sign {app} {version} --key KEY", app=app, version=version),
        )
    elif policy.require_signatures and not forward and not candidate.past_is_signed:
        yield Refusal(
            "signed",
            f"no entry that put {version} on {stage} has a valid signature",
            Hint("{fapstore} history {app} {stage}", app=app, stage=stage),
        )
    if forward and before and not candidate.was_before:
        yield Refusal(
            "order",
            f"{version} was never on {before}",
            Hint("{fapstore} promote {app} {version} {stage}", app=app, version=version, stage=before),
        )
    elif forward and before and protected and policy.require_released and candidate.not_released:
        yield Refusal("released", candidate.not_released, Hint("faprelease {stage}", stage=before))
    if forward and protected:
        names = counted(policy, candidate)
        if len(names) < policy.approvals:
            by = f" ({', '.join(names)})" if names else ""
            yield Refusal(
                "approvals",
                f"{version} has {len(names)} of {policy.approvals} approvals{by}",
                Hint(
                    "{fapstore} approve {app} {version} {stage} --key KEY",
                    app=app,
                    version=version,
                    stage=stage,
                ),
            )
