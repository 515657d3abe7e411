"""What a promotion from one stage to another would bring: versions, commits, dependencies, sizes."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from artifact_store.artifact import diff
from artifact_store.artifact.peek import Outline, open_source, peek
from artifact_store.core import text
from artifact_store.core.errors import NotFoundError, VerificationError
from artifact_store.core.hints import Hint
from artifact_store.records.artifacts import ArtifactRecord
from artifact_store.stages.log_rules import StageState
from artifact_store.store.store import Store
from artifact_store.views import commits, wording
from artifact_store.views.commits import Commit, Divergence

_SHOWN = 20
_LOOK = timedelta(minutes=15)


@dataclass(frozen=True)
class Side:
    """A stage, what it should run, and what that is."""

    state: StageState
    record: ArtifactRecord
    found: Outline
    repository: str


@dataclass(frozen=True)
class StageDiff:
    """Two stages of one app."""

    source: Side
    """The stage that is promoted from."""
    target: Side
    commits: Divergence | None
    """From the target's to the source's; None if the repository is not at hand."""
    stored: tuple[str, ...] | None
    """The versions pushed after the target's, up to the source's; None if the store can't be listed."""


def compare(store: Store, app: str, source: str, target: str, repository: Path) -> StageDiff:
    """Read both stages and the two manifests (no more of the artifacts), and ask git in `repository`.

    Raises NotFoundError if nothing was promoted to one of them or its bytes are gone.
    """
    here, there = _side(store, app, source), _side(store, app, target)
    first, second = there.record, here.record
    return StageDiff(
        here,
        there,
        commits.between(first.commit, second.commit, repository),
        _stored(store.artifacts.list(app), first, second) if store.can_list else None,
    )


def _side(store: Store, app: str, stage: str) -> Side:
    state = store.stages.head(app, stage)
    if state is None:
        raise NotFoundError(
            f"nothing was promoted to {app} {stage} yet",
            hint=Hint("{fapstore} promote {app} VERSION {stage}", app=app, stage=stage),
        )
    record = store.artifacts.get(app, state.version)
    with open_source(store.artifacts.link(app, state.version, _LOOK).url) as artifact:
        found = peek(artifact)
    manifest = found.manifest
    if (manifest.app, manifest.version, found.size) != (app, state.version, record.size):
        raise VerificationError(
            f"{store.name}: the bytes of {app} {state.version} are not those that were pushed",
            hint=Hint("{fapstore} fetch {app} {version}", app=app, version=state.version),
        )
    return Side(state, record, found, manifest.repository)


def _stored(
    records: Iterable[ArtifactRecord], first: ArtifactRecord, second: ArtifactRecord
) -> tuple[str, ...]:
    after, until = (first.at, first.version), (second.at, second.version)
    return tuple(found.version for found in records if after < (found.at, found.version) <= until)


def facts(stages: StageDiff) -> dict[str, object]:
    """One object for programs; sizes in bytes."""
    before, after = stages.target.found, stages.source.found
    return {
        "source": _named(stages.source),
        "target": _named(stages.target),
        "commits": asdict(stages.commits) if stages.commits else None,
        "stored": stages.stored,
        "wheels": asdict(diff.wheels(before.manifest, after.manifest)),
        "download": diff.download(before, after),
    }


def _named(side: Side) -> dict[str, object]:
    state = side.state
    named = {"stage": state.stage, "version": state.version, "digest": state.digest, "entry": state.number}
    return {**named, "commit": side.record.commit, "size": side.record.size}


def lines(stages: StageDiff, now: datetime) -> list[str]:
    """The same for people."""
    source, target = stages.source.state, stages.target.state
    width = max(len(source.stage), len(target.stage))
    shown = [f"{state.stage:<{width}}  {wording.state(state, now)}" for state in (source, target)]
    if source.digest == target.digest:
        return [*shown, f"{source.stage} and {target.stage} run the same"]
    sizes = diff.lines(stages.target.found, stages.source.found)
    return [*shown, *_commits(stages, now), *_versions(stages), *sizes]


def _commits(stages: StageDiff, now: datetime) -> list[str]:
    first, second = stages.target.record.commit, stages.source.record.commit
    if first == second:
        return ["commits    the same"]
    if stages.commits is None:
        where = stages.source.repository or "its repository"
        return [f"commits    {first[:12]} -> {second[:12]}; run this in a clone of {where} to see them"]
    source, target = stages.source.state.stage, stages.target.state.stage
    ahead, behind = stages.commits.ahead, stages.commits.behind
    found = [f"commits    {len(ahead)} on {source} and not on {target}", *_listed("+", ahead, now)]
    if behind:
        found += [f"           {len(behind)} on {target} and not on {source}", *_listed("-", behind, now)]
    return found


def _listed(sign: str, found: tuple[Commit, ...], now: datetime) -> list[str]:
    shown = [
        f"  {sign} {commit.id[:12]} {commit.subject} ({commit.author}, {text.ago(commit.at, now)})"
        for commit in found[:_SHOWN]
    ]
    more = len(found) - _SHOWN
    return [*shown, f"  {sign} and {more} more (--json names them)"] if more > 0 else shown


def _versions(stages: StageDiff) -> list[str]:
    between = len(stages.stored) - 1 if stages.stored else 0
    return [f"versions   {between} more pushed between them"] if between > 0 else []
