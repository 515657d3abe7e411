"""What may go to which stage: the app's rules, and the decision on one version. Values in, values out."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

import msgspec

from artifact_store.core.errors import UsageError
from artifact_store.core.hints import Hint

Rule = Literal["clean", "order", "released", "approvals", "signed"]


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of fapstore.toml; docs/fapstore.toml says what each means. The default allows everything."""

    app: str = ""
    stages: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    require_released: bool = False
    approvals: int = 0
    approvers: tuple[str, ...] = ()
    signers: str = ""
    require_signatures: bool = False

    def before(self, stage: str) -> str:
        """The stage that a version goes through before this one, or empty."""
        place = self.stages.index(stage) if stage in self.stages else 0
        return self.stages[place - 1] if place else ""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What is known of a version that someone wants on a stage, as far as the rules ask for it."""

    version: str
    dirty: bool = False
    was_before: bool = True
    """Whether it was on the stage before."""
    not_released: str = ""
    """Why it does not count as healthy on the stage before; empty if it does."""
    approved_by: tuple[str, ...] = ()
    """Who signed a valid approval for this stage."""
    signature: str = ""
    """The sha256 that names a valid signature of the artifact; empty if it has none."""
    past_is_signed: bool = True
    """Whether an entry by which it was on this stage has one; only a rollback asks."""


@dataclass(frozen=True)
class Refusal:
    """One rule that says no, why, and what to type about it."""

    rule: Rule
    message: str
    hint: Hint


def check_place(policy: Policy, app: str, stage: str) -> None:
    """Raise UsageError if the policy is another app's, or doesn't know the stage."""
    if policy.app and policy.app != app:
        raise UsageError(
            f"the rules here are those of {policy.app}, not of {app}",
            hint=f"go to the folder of {app}, or name its fapstore.toml with --config",
        )
    if policy.stages and stage not in policy.stages:
        near = get_close_matches(stage, policy.stages, n=1)
        raise UsageError(
            f"{stage} is not among the stages {', '.join(policy.stages)}",
            hint=f"did you mean {near[0]}?" if near else "add it to `stages` in the rules",
        )


def counted(policy: Policy, candidate: Candidate) -> tuple[str, ...]:
    """The approvals that count, one for each person."""
    return tuple(
        name
        for name in dict.fromkeys(candidate.approved_by)
        if not policy.approvers or name in policy.approvers
    )


def judge(policy: Policy, app: str, stage: str, action: str, candidate: Candidate) -> tuple[Refusal, ...]:
    """The rules that refuse this version; none if it may go to the stage.

    Going back is the emergency: a rollback needs no approvals, and is not asked where the version was
    before. It came to the stage by these rules once.
    """
    return tuple(_refusals(policy, app, stage, action, candidate))


def _refusals(policy: Policy, app: str, stage: str, action: str, candidate: Candidate) -> Iterator[Refusal]:
    version, protected, forward = candidate.version, stage in policy.protected, action == "promote"
    before = policy.before(stage)
    if protected and candidate.dirty:
        yield Refusal(
            "clean",
            f"{version} was packed from a tree with changes",
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
        who = counted(policy, candidate)
        if len(who) < policy.approvals:
            by = f" ({', '.join(who)})" if who else ""
            yield Refusal(
                "approvals",
                f"{version} has {len(who)} of {policy.approvals} approvals{by}",
                Hint(
                    "{fapstore} approve {app} {version} {stage} --key KEY",
                    app=app,
                    version=version,
                    stage=stage,
                ),
            )
