"""The stage board: a page that tells what each stage of an app runs, what waits, and how it came to that."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from itertools import islice, takewhile
from pathlib import Path

from artifact_store.core import text
from artifact_store.core.errors import NotFoundError
from artifact_store.core.hints import Hint
from artifact_store.records.artifacts import ArtifactRecord
from artifact_store.records.releases import ReleaseRecord
from artifact_store.stages.log_rules import LogEntry, StageState
from artifact_store.stages.policy import Policy
from artifact_store.store.store import Store
from artifact_store.views import commits, wording
from artifact_store.views.commits import Divergence

_ENTRIES = 30
"""How much of each stage's log is told."""
_VERSIONS = 40
"""How many of the last versions are told."""


@dataclass(frozen=True)
class SignedState:
    """An entry of a stage's log, and who signed it in words, if anyone did."""

    state: StageState
    signed: str


@dataclass(frozen=True)
class Waiting:
    """What could be promoted to a stage from the one before it, or, for the first, of what was pushed."""

    commits: Divergence | None
    """From what the stage has; None if the repository is not at hand, or one of the two has nothing."""
    versions: int
    """How many versions were pushed after that of the stage, up to that of the one before it."""


@dataclass(frozen=True, kw_only=True)
class StageCard:
    """A stage with what it should run now."""

    name: str
    protected: bool
    entries: tuple[SignedState, ...]
    """The last ones, the newest first; empty if nothing was ever promoted to it."""
    arrival: StageState | None
    """The entry by which it came to the version it has: a freeze since then is no arrival."""
    record: ArtifactRecord | None
    releases: tuple[ReleaseRecord, ...]
    """The last run of `faprelease` with this artifact, for each role."""
    waiting: Waiting

    @property
    def state(self) -> StageState | None:
        """What it should run."""
        return self.entries[0].state if self.entries else None


@dataclass(frozen=True, kw_only=True)
class Board:
    """All that the page tells."""

    app: str
    store: str
    stages: tuple[StageCard, ...]
    versions: tuple[ArtifactRecord, ...]
    """The last ones, the newest first."""
    more: int
    """How many older versions the store has."""

    def runs(self, version: str) -> tuple[str, ...]:
        """The stages that have a version now."""
        return tuple(stage.name for stage in self.stages if stage.state and stage.state.version == version)


def load(store: Store, policy: Policy, app: str, repository: Path, *, check: bool) -> Board:
    """Read the stages and versions of an app, and ask git in `repository` what lies between them.

    With `check`, signatures are checked. Raises NotFoundError for an app that has no version; else as the
    methods of Store.
    """
    records = store.artifacts.list(app)
    if not records:
        raise NotFoundError(f"{store.name} holds no version of {app}", hint=Hint("{fapstore} list"))
    logs = {
        name: tuple(islice(store.stages.log(app, name).newest_first(), _ENTRIES))
        for name in store.stages.names(app)
    }
    names = _in_order({name: log for name, log in logs.items() if log}, policy.stages)
    known = {record.version: record for record in records}
    stages = []
    before: ArtifactRecord | None = records[-1]
    for name in names:
        log = logs.get(name, ())
        record = known.get(log[0].state.version) if log else None
        waits = _waiting(records, before, record, repository)
        stages.append(_stage(store, policy, app, name, log, record, waits, check=check))
        before = record
    newest = records[::-1][:_VERSIONS]
    return Board(
        app=app, store=store.name, stages=tuple(stages), versions=newest, more=len(records) - len(newest)
    )


def page(board: Board, now: datetime) -> str:
    """The board as one HTML document that needs nothing else; the same board and time give the same text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: object) -> object:
        """Names come from others: none may turn the text around or hide in it."""
        return text.printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=PackageLoader("artifact_store.views", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    environment.filters |= {
        "ago": lambda at: text.ago(at, now),
        "sentence": lambda told: wording.sentence(told.state, now, told.signed),
        "size": text.size,
        "waits": waits,
        "web": lambda url: url if url.startswith(("https://", "http://")) else "",
    }
    largest = max(record.size for record in board.versions)
    return environment.get_template("board.html.j2").render(board=board, now=now, largest=largest)


def waits(stage: StageCard) -> str:
    """What waits before a stage, in a few words; empty if nothing does, or nothing is there to compare."""
    waiting = stage.waiting
    if waiting.commits is None:
        return f"{text.count(waiting.versions, 'version', 'versions')} waiting" if waiting.versions else ""
    ahead, behind = len(waiting.commits.ahead), len(waiting.commits.behind)
    told = f"{text.count(ahead, 'commit', 'commits')} waiting" if ahead else ""
    return ", ".join(filter(None, (told, f"{behind} not in the stage before" if behind else "")))


def _in_order(logs: dict[str, tuple[LogEntry, ...]], ruled: Sequence[str]) -> list[str]:
    """The stages as the rules order them; those they don't know as they are promoted from one another."""
    sources = {
        name: {entry.state.source for entry in log if entry.state.source in logs}
        for name, log in sorted(logs.items())
    }
    try:
        found = list(TopologicalSorter(sources).static_order())
    except CycleError:
        found = sorted(logs)
    return [*ruled, *(name for name in found if name not in ruled)]


def _stage(
    store: Store,
    policy: Policy,
    app: str,
    name: str,
    log: tuple[LogEntry, ...],
    record: ArtifactRecord | None,
    waiting: Waiting,
    *,
    check: bool,
) -> StageCard:
    signers = store.notary.all_signed_by(log) if check else [None] * len(log)
    told = tuple(
        SignedState(entry.state, wording.signature(by, len(entry.sealed.signatures)))
        for entry, by in zip(log, signers, strict=True)
    )
    stay = [*takewhile(lambda each: each.digest == told[0].state.digest, (each.state for each in told))]
    return StageCard(
        name=name,
        protected=name in policy.protected,
        entries=told,
        arrival=stay[-1] if stay else None,
        record=record,
        releases=_last_runs(store, app, name, stay) if stay and stay[0].digest else (),
        waiting=waiting,
    )


def _last_runs(store: Store, app: str, stage: str, stay: list[StageState]) -> tuple[ReleaseRecord, ...]:
    """The last run for each role that brought this stay's artifact to its hosts."""
    runs = store.records.releases(app, stage, entries={0, *(state.number for state in stay)})
    last = {run.role: run for run in sorted(runs, key=lambda run: run.at) if run.digest == stay[0].digest}
    return tuple(last[role] for role in sorted(last))


def _waiting(
    records: Iterable[ArtifactRecord],
    new: ArtifactRecord | None,
    old: ArtifactRecord | None,
    repository: Path,
) -> Waiting:
    if new is None or old is None:
        return Waiting(None, 0)
    between = commits.between(old.commit, new.commit, repository)
    after, until = (old.at, old.version), (new.at, new.version)
    return Waiting(between, sum(after < (each.at, each.version) <= until for each in records))
