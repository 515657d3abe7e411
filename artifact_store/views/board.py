"""The stage board: an HTML page with each stage's version, pending versions and history."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
"""The number of entries shown of each stage's log."""
_VERSIONS = 40
"""The number of versions shown."""


@dataclass(frozen=True)
class SignedState:
    """A state of a stage, with a text about its signature (empty without one)."""

    state: StageState
    signed: str


@dataclass(frozen=True)
class Pending:
    """The versions that could be promoted to a stage; for the first stage, all newer versions."""

    commits: Divergence | None
    """The commits from the stage's version on; None if there is no repository, or one side has no version."""
    versions: int
    """The number of versions pushed after the stage's version, up to that of the previous stage."""


@dataclass(frozen=True, kw_only=True)
class StageCard:
    """A stage with its version, releases and history."""

    name: str
    protected: bool
    entries: tuple[SignedState, ...]
    """The last entries of its log, newest first; empty if the log is empty."""
    arrival: StageState | None
    """The entry that put its version on the stage; a later freeze does not count."""
    record: ArtifactRecord | None
    releases: tuple[ReleaseRecord, ...]
    """The last run of `faprelease` with this artifact for each role."""
    pending: Pending

    @property
    def state(self) -> StageState | None:
        """Its current state; None if its log is empty."""
        return self.entries[0].state if self.entries else None


@dataclass(frozen=True, kw_only=True)
class Board:
    """The content of the page."""

    app: str
    store: str
    stages: tuple[StageCard, ...]
    versions: tuple[ArtifactRecord, ...]
    """The last versions, newest first."""
    more: int
    """The number of older versions in the store."""

    def stages_with(self, version: str) -> tuple[str, ...]:
        """The names of the stages with this version."""
        return tuple(stage.name for stage in self.stages if stage.state and stage.state.version == version)


def load(store: Store, policy: Policy, app: str, repository: Path, *, check: bool) -> Board:
    """Read the stages and versions of an app, and compare their commits with git in `repository`.

    With `check`, signatures are checked. Raises NotFoundError for an app without versions; otherwise as the
    methods of Store.
    """
    with ThreadPoolExecutor(1) as pool:  # a listing of many versions takes as long as all the rest
        listing = pool.submit(store.artifacts.stored, app)
        logs = {
            name: tuple(islice(store.stages.log(app, name).readable(), _ENTRIES))
            for name in store.stages.names(app)
        }
        stored = listing.result()
    names = _in_order({name: log for name, log in logs.items() if log}, policy.stages)
    places = {one.version: place for place, one in enumerate(stored)}
    newest = [one.version for one in stored[: -_VERSIONS - 1 : -1]]
    running = [log[0].state.version for log in logs.values() if log]
    wanted = dict.fromkeys([*newest, *(version for version in running if version in places)])
    known = {record.version: record for record in store.artifacts.records(app, wanted)}
    versions = tuple(known[version] for version in newest if version in known)
    if not versions:
        raise NotFoundError(f"{store.name} contains no version of {app}", hint=Hint("{fapstore} list"))
    stages = []
    before: ArtifactRecord | None = versions[0]
    for name in names:
        log = logs.get(name, ())
        record = known.get(log[0].state.version) if log else None
        pending = _pending(places, before, record, repository)
        stages.append(_stage(store, policy, app, name, log, record, pending, check=check))
        before = record
    return Board(
        app=app, store=store.name, stages=tuple(stages), versions=versions, more=len(stored) - len(newest)
    )


def page(board: Board, now: datetime) -> str:
    """The board as one self-contained HTML document; the same board and time give the same text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def printable(value: object) -> object:
        """Replace invisible characters and those that reverse text: names come from other people."""
        return text.printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=PackageLoader("artifact_store.views", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=printable,
    )
    environment.filters |= {
        "ago": lambda at: text.ago(at, now),
        "sentence": lambda entry: wording.sentence(entry.state, entry.signed),
        "size": text.size,
        "pending": pending_text,
        "web": lambda url: url if url.startswith(("https://", "http://")) else "",
    }
    largest = max(record.size for record in board.versions)
    return environment.get_template("board.html.j2").render(board=board, now=now, largest=largest)


def pending_text(stage: StageCard) -> str:
    """The pending commits or versions of a stage in a few words; empty if there are none."""
    pending = stage.pending
    if pending.commits is None:
        return f"{text.count(pending.versions, 'version', 'versions')} pending" if pending.versions else ""
    ahead, behind = len(pending.commits.ahead), len(pending.commits.behind)
    parts = (
        f"{text.count(ahead, 'commit', 'commits')} pending" if ahead else "",
        f"{behind} not on the previous stage" if behind else "",
    )
    return ", ".join(filter(None, parts))


def _in_order(logs: dict[str, tuple[LogEntry, ...]], ruled: Sequence[str]) -> list[str]:
    """The stages in the order of the rules; other stages in the order of their promotions."""
    sources = {
        name: {entry.state.source for entry in log if entry.state.source in logs}
        for name, log in sorted(logs.items())
    }
    try:
        order = list(TopologicalSorter(sources).static_order())
    except CycleError:
        order = sorted(logs)
    return [*ruled, *(name for name in order if name not in ruled)]


def _stage(
    store: Store,
    policy: Policy,
    app: str,
    name: str,
    log: tuple[LogEntry, ...],
    record: ArtifactRecord | None,
    pending: Pending,
    *,
    check: bool,
) -> StageCard:
    signers = store.notary.all_signed_by(log) if check else [None] * len(log)
    entries = tuple(
        SignedState(entry.state, wording.signature(by, len(entry.sealed.signatures)))
        for entry, by in zip(log, signers, strict=True)
    )
    stay = [*takewhile(lambda state: state.digest == entries[0].state.digest, (e.state for e in entries))]
    return StageCard(
        name=name,
        protected=name in policy.protected,
        entries=entries,
        arrival=stay[-1] if stay else None,
        record=record,
        releases=_last_runs(store, app, name, stay) if stay and stay[0].digest else (),
        pending=pending,
    )


def _last_runs(store: Store, app: str, stage: str, stay: list[StageState]) -> tuple[ReleaseRecord, ...]:
    """The last run for each role that released the artifact of this stay."""
    runs = store.records.releases(app, stage, entries={0, *(state.number for state in stay)})
    last = {run.role: run for run in sorted(runs, key=lambda run: run.at) if run.digest == stay[0].digest}
    return tuple(last[role] for role in sorted(last))


def _pending(
    places: Mapping[str, int],
    new: ArtifactRecord | None,
    old: ArtifactRecord | None,
    repository: Path,
) -> Pending:
    """The pending versions of a stage with `old`; `places` number all versions in order of their pushes."""
    if new is None or old is None:
        return Pending(None, 0)
    between = commits.between(old.commit, new.commit, repository)
    return Pending(between, max(0, places[new.version] - places[old.version]))
