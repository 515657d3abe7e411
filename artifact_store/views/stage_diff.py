"""Compare two stages before a promotion: versions, commits, dependencies and sizes."""

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
from artifact_store.store.artifacts import StoredVersion
from artifact_store.store.store import Store
from artifact_store.views import commits, wording
from artifact_store.views.commits import Commit, Divergence

_SHOWN = 20
_EXPIRES = timedelta(minutes=15)


@dataclass(frozen=True)
class Side:
    """A stage, with its version and artifact."""

    state: StageState
    record: ArtifactRecord
    outline: Outline
    repository: str


@dataclass(frozen=True)
class StageDiff:
    """The comparison of two stages of an app."""

    source: Side
    """The stage to promote from."""
    target: Side
    """The stage to promote to."""
    commits: Divergence | None
    """From the target's commit to the source's; None if there is no repository with both."""
    stored: tuple[str, ...] | None
    """The versions pushed after the target's, up to the source's; None if the store can't be listed."""


def compare(store: Store, app: str, source: str, target: str, repository: Path) -> StageDiff:
    """Read both stages and the manifests of their artifacts; compare commits with git in `repository`.

    Raises NotFoundError if a stage has no version, or its bytes are missing.
    """
    here, there = _side(store, app, source), _side(store, app, target)
    first, second = there.record, here.record
    return StageDiff(
        here,
        there,
        commits.between(first.commit, second.commit, repository),
        _stored(store.artifacts.stored(app), first, second) if store.can_list else None,
    )


def _side(store: Store, app: str, stage: str) -> Side:
    state = store.stages.head(app, stage)
    if state is None:
        raise NotFoundError(
            f"{app} {stage} has no version yet",
            hint=Hint("{fapstore} promote {app} VERSION {stage}", app=app, stage=stage),
        )
    record = store.artifacts.get(app, state.version)
    with open_source(store.artifacts.link(app, state.version, _EXPIRES).url) as artifact:
        outline = peek(artifact)
    manifest = outline.manifest
    if (manifest.app, manifest.version, outline.size) != (app, state.version, record.size):
        raise VerificationError(
            f"{store.name}: the bytes of {app} {state.version} are not the pushed bytes",
            hint=Hint("{fapstore} fetch {app} {version}", app=app, version=state.version),
        )
    return Side(state, record, outline, manifest.repository)


def _stored(
    stored: Iterable[StoredVersion], first: ArtifactRecord, second: ArtifactRecord
) -> tuple[str, ...]:
    """The versions pushed after `first`, up to `second`."""
    names = [one.version for one in stored]
    if first.version not in names or second.version not in names:
        return ()
    return tuple(names[names.index(first.version) + 1 : names.index(second.version) + 1])


def facts(stages: StageDiff) -> dict[str, object]:
    """The comparison as one JSON object; sizes in bytes."""
    before, after = stages.target.outline, stages.source.outline
    return {
        "source": _facts_of(stages.source),
        "target": _facts_of(stages.target),
        "commits": asdict(stages.commits) if stages.commits else None,
        "stored": stages.stored,
        "wheels": asdict(diff.wheels(before.manifest, after.manifest)),
        "download": diff.download(before, after),
    }


def _facts_of(side: Side) -> dict[str, object]:
    state = side.state
    facts = {"stage": state.stage, "version": state.version, "digest": state.digest, "entry": state.number}
    return {**facts, "commit": side.record.commit, "size": side.record.size}


def lines(stages: StageDiff, now: datetime) -> list[str]:
    """The comparison as lines for people."""
    source, target = stages.source.state, stages.target.state
    width = max(len(source.stage), len(target.stage))
    states = [f"{state.stage:<{width}}  {wording.state(state, now)}" for state in (source, target)]
    if source.digest == target.digest:
        return [*states, f"{source.stage} and {target.stage} have the same version"]
    sizes = diff.lines(stages.target.outline, stages.source.outline)
    return [*states, *_commits(stages, now), *_versions(stages), *sizes]


def _commits(stages: StageDiff, now: datetime) -> list[str]:
    first, second = stages.target.record.commit, stages.source.record.commit
    if first == second:
        return ["commits    no difference"]
    if stages.commits is None:
        repository = stages.source.repository or "the app's repository"
        return [f"commits    {first[:12]} -> {second[:12]}; run this in a clone of {repository} to list them"]
    source, target = stages.source.state.stage, stages.target.state.stage
    ahead, behind = stages.commits.ahead, stages.commits.behind
    result = [f"commits    {len(ahead)} on {source}, but not on {target}", *_listed("+", ahead, now)]
    if behind:
        result += [f"           {len(behind)} on {target}, but not on {source}", *_listed("-", behind, now)]
    return result


def _listed(sign: str, commits: tuple[Commit, ...], now: datetime) -> list[str]:
    listed = [
        f"  {sign} {commit.id[:12]} {commit.subject} ({commit.author}, {text.ago(commit.at, now)})"
        for commit in commits[:_SHOWN]
    ]
    more = len(commits) - _SHOWN
    return [*listed, f"  {sign} and {more} more (--json lists all)"] if more > 0 else listed


def _versions(stages: StageDiff) -> list[str]:
    between = len(stages.stored) - 1 if stages.stored else 0
    return [f"versions   {between} more in between"] if between > 0 else []
