"""What a promotion from one stage to another would bring: versions, commits, dependencies, sizes."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from artifact_store.artifact import diff as changes
from artifact_store.artifact import peek as reading
from artifact_store.artifact.peek import Found
from artifact_store.core import text
from artifact_store.core.errors import NotFoundError, VerificationError
from artifact_store.records.artifact import ArtifactRecord
from artifact_store.stages.log_rules import StageState
from artifact_store.store.store import Store
from artifact_store.views import commits, wording
from artifact_store.views.commits import Between, Commit

_SHOWN = 20
_LOOK = timedelta(minutes=15)


@dataclass(frozen=True)
class Side:
    """A stage, what it should run, and what that is."""

    state: StageState
    record: ArtifactRecord
    found: Found
    repository: str


@dataclass(frozen=True)
class StageDiff:
    """Two stages of one app."""

    source: Side
    """The stage that is promoted from."""
    target: Side
    commits: Between | None
    """From the target's to the source's; None if the repository is not at hand."""
    stored: tuple[str, ...] | None
    """The versions pushed after the target's, up to the source's; None if the store can't be listed."""


def look(store: Store, app: str, source: str, target: str, repository: Path) -> StageDiff:
    """Read both stages and the two manifests (no more of the artifacts), and ask git in `repository`.

    Raises NotFoundError if nothing was promoted to one of them or its bytes are gone.
    """
    here, there = _side(store, app, source), _side(store, app, target)
    first, second = there.record, here.record
    return StageDiff(
        here,
        there,
        commits.between(first.commit, second.commit, repository),
        _stored(store.list(app), first, second) if store.can_list else None,
    )


def _side(store: Store, app: str, stage: str) -> Side:
    state = store.stage(app, stage)
    if state is None:
        raise NotFoundError(
            f"nothing was promoted to {app} {stage} yet", hint=f"fapstore promote {app} VERSION {stage}"
        )
    record = store.artifact(app, state.version)
    with reading.opened(store.link(app, state.version, _LOOK).url) as artifact:
        found = reading.look(artifact)
    manifest = found.manifest
    if (manifest.app, manifest.version, found.size) != (app, state.version, record.size):
        raise VerificationError(
            f"{store.name}: the bytes of {app} {state.version} are not those that were pushed",
            hint=f"fapstore fetch {app} {state.version}",
        )
    return Side(state, record, found, manifest.repository)


def _stored(
    records: Iterable[ArtifactRecord], first: ArtifactRecord, second: ArtifactRecord
) -> tuple[str, ...]:
    after, until = (first.at, first.version), (second.at, second.version)
    return tuple(found.version for found in records if after < (found.at, found.version) <= until)


def facts(diff: StageDiff) -> dict[str, object]:
    """One object for programs; sizes in bytes."""
    before, after = diff.target.found, diff.source.found
    return {
        "source": _named(diff.source),
        "target": _named(diff.target),
        "commits": asdict(diff.commits) if diff.commits else None,
        "stored": diff.stored,
        "wheels": asdict(changes.wheels(before.manifest, after.manifest)),
        "download": changes.download(before, after),
    }


def _named(side: Side) -> dict[str, object]:
    state = side.state
    named = {"stage": state.stage, "version": state.version, "digest": state.digest, "entry": state.number}
    return {**named, "commit": side.record.commit, "size": side.record.size}


def lines(diff: StageDiff, now: datetime) -> list[str]:
    """The same for people."""
    source, target = diff.source.state, diff.target.state
    width = max(len(source.stage), len(target.stage))
    shown = [f"{state.stage:<{width}}  {wording.state(state, now)}" for state in (source, target)]
    if source.digest == target.digest:
        return [*shown, f"{source.stage} and {target.stage} run the same"]
    sizes = changes.lines(diff.target.found, diff.source.found)
    return [*shown, *_commits(diff, now), *_versions(diff), *sizes]


def _commits(diff: StageDiff, now: datetime) -> list[str]:
    first, second = diff.target.record.commit, diff.source.record.commit
    if first == second:
        return ["commits    the same"]
    if diff.commits is None:
        where = diff.source.repository or "its repository"
        return [f"commits    {first[:12]} -> {second[:12]}; run this in a clone of {where} to see them"]
    source, target = diff.source.state.stage, diff.target.state.stage
    ahead, behind = diff.commits.ahead, diff.commits.behind
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


def _versions(diff: StageDiff) -> list[str]:
    between = len(diff.stored) - 1 if diff.stored else 0
    return [f"versions   {between} more pushed between them"] if between > 0 else []
