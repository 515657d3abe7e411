"""Compare two stages or versions before a promotion: commits, dependencies and sizes."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from artifact_store.artifact import diff
from artifact_store.artifact.ids import is_stage
from artifact_store.artifact.peek import Outline, open_source, peek
from artifact_store.core import text
from artifact_store.core.errors import NotFoundError, UsageError, VerificationError
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
    """A stage or a version, with its artifact."""

    state: StageState | None
    """The state of the stage; None for a version."""
    record: ArtifactRecord
    outline: Outline
    repository: str

    @property
    def name(self) -> str:
        """The stage or the version, for people."""
        return self.state.stage if self.state else self.record.version


@dataclass(frozen=True)
class StageDiff:
    """The comparison of two stages or versions of an app."""

    source: Side
    """What would be promoted, or the newer version."""
    target: Side
    """What it would replace."""
    commits: Divergence | None
    """From the target's commit to the source's; None if there is no repository with both."""
    stored: tuple[str, ...] | None
    """The versions pushed after the target's, up to the source's; None if the store can't be listed."""


def compare(store: Store, app: str, first: str, second: str, repository: Path) -> StageDiff:
    """Compare what two stages have, or two versions, by the manifests of their artifacts.

    With a stage, the result is what a promotion from `first` to `second` would change; with two versions,
    what `second` has that `first` does not. Commits are compared with git in `repository`. Raises
    NotFoundError if a stage or a version does not exist, or bytes are missing.
    """
    states = [_state(store, app, name) for name in (first, second)]
    if states == [None, None]:
        return _compared(store, _side(store, app, second), _side(store, app, first), repository)
    source, target = (
        _side(store, app, state.version, state) if state else _version(store, app, name)
        for name, state in zip((first, second), states, strict=True)
    )
    return _compared(store, source, target, repository)


def promotion(store: Store, app: str, version: str, stage: str, repository: Path) -> StageDiff | None:
    """What a promotion of `version` would change on a stage; None if the stage has no version."""
    state = _state(store, app, stage)
    if state is None:
        return None
    sides = (_side(store, app, version), _side(store, app, state.version, state))
    return _compared(store, *sides, repository)


def _compared(store: Store, source: Side, target: Side, repository: Path) -> StageDiff:
    first, second = target.record, source.record
    return StageDiff(
        source,
        target,
        commits.between(first.commit, second.commit, repository),
        _stored(store.artifacts.stored(first.app), first, second) if store.can_list else None,
    )


def _state(store: Store, app: str, stage: str) -> StageState | None:
    """The state of a stage; None if it has no version, or if this is the name of no stage."""
    return store.stages.head(app, stage) if is_stage(stage) else None


def _version(store: Store, app: str, name: str) -> Side:
    """A version beside a stage; NotFoundError speaks of a stage, which is the likelier mistake."""
    try:
        return _side(store, app, name)
    except (NotFoundError, UsageError) as error:
        raise NotFoundError(
            f"{app} {name} has no version yet",
            hint=Hint("{fapstore} promote {app} VERSION {stage}", app=app, stage=name),
        ) from error


def _side(store: Store, app: str, version: str, state: StageState | None = None) -> Side:
    record = store.artifacts.get(app, version)
    with open_source(store.artifacts.link(app, version, _EXPIRES).url) as artifact:
        outline = peek(artifact)
    manifest = outline.manifest
    if (manifest.app, manifest.version, outline.size) != (app, version, record.size):
        raise VerificationError(
            f"{store.name}: the bytes of {app} {version} are not the pushed bytes",
            hint=Hint("{fapstore} fetch {app} {version}", app=app, version=version),
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
    record, state = side.record, side.state
    place = {"stage": state.stage, "entry": state.number} if state else {}
    facts = {"version": record.version, "digest": record.digest, "commit": record.commit}
    return {**place, **facts, "size": record.size}


def lines(stages: StageDiff, now: datetime) -> list[str]:
    """The comparison as lines for people."""
    source, target = stages.source, stages.target
    width = max(len(source.name), len(target.name))
    sides = (source, target) if source.state or target.state else (target, source)
    states = [_line(side, width, now) for side in sides]
    if source.record.digest == target.record.digest:
        return [*states, f"{source.name} and {target.name} have the same version"]
    return [*states, *changes(stages, now)]


def changes(stages: StageDiff, now: datetime) -> list[str]:
    """What differs, without the lines about the two sides."""
    sizes = diff.lines(stages.target.outline, stages.source.outline)
    return [*_commits(stages, now), *_versions(stages), *sizes]


def _line(side: Side, width: int, now: datetime) -> str:
    if side.state:
        return f"{side.name:<{width}}  {wording.state(side.state, now)}"
    return wording.version(side.record, now)


def _commits(stages: StageDiff, now: datetime) -> list[str]:
    first, second = stages.target.record.commit, stages.source.record.commit
    if first == second:
        return ["commits    no difference"]
    if stages.commits is None:
        repository = stages.source.repository or "the app's repository"
        return [f"commits    {first[:12]} -> {second[:12]}; run this in a clone of {repository} to list them"]
    source, target = _in(stages.source), _in(stages.target)
    ahead, behind = stages.commits.ahead, stages.commits.behind
    result = [f"commits    {len(ahead)} {source}, but not {target}", *_listed("+", ahead, now)]
    if behind:
        result += [f"           {len(behind)} {target}, but not {source}", *_listed("-", behind, now)]
    return result


def _in(side: Side) -> str:
    return f"on {side.name}" if side.state else f"in {side.name}"


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
