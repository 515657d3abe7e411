"""The stage board: an HTML page with each stage's version, pending versions and history."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from itertools import combinations, islice, takewhile
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
from artifact_store.views.hosts import RunningHost, running

_ENTRIES = 30
"""The number of entries shown of each stage's log."""
_RUNS = 20
"""The number of release records of each role that are read, to see what hosts run."""
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
    state: StageState | None
    """Its current state, by the last entry that counts; None if there is none."""
    arrival: StageState | None
    """The entry that put its version on the stage; a later freeze does not count."""
    record: ArtifactRecord | None
    releases: tuple[ReleaseRecord, ...]
    """The last run of `faprelease` with this artifact for each role."""
    hosts: tuple[RunningHost, ...]
    """What its hosts run, as their last records say."""
    pending: Pending

    @property
    def hosts_behind(self) -> tuple[RunningHost, ...]:
        """The hosts that do not run its version, or may not."""
        return tuple(host for host in self.hosts if not self.state or host.version != self.state.version)


@dataclass(frozen=True, kw_only=True)
class Board:
    """The content of the page."""

    app: str
    store: str
    stages: tuple[StageCard, ...]
    versions: tuple[ArtifactRecord, ...]
    """The last versions, newest first."""
    withdrawn: frozenset[str]
    """The versions that someone withdrew; signatures of that are not checked here."""
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
    counting = {name: _counting(store, app, name, log) for name, log in logs.items()}
    running = [log[0].state.version for log in counting.values() if log]
    wanted = dict.fromkeys([*newest, *(version for version in running if version in places)])
    known = {record.version: record for record in store.artifacts.records(app, wanted)}
    versions = tuple(known[version] for version in newest if version in known)
    if not versions:
        raise NotFoundError(f"{store.name} contains no version of {app}", hint=Hint("{fapstore} list"))
    stages = []
    before: ArtifactRecord | None = versions[0]
    for name in names:
        log, counts = logs.get(name, ()), [entry.state for entry in counting.get(name, ())]
        record = known.get(counts[0].version) if counts else None
        pending = _pending(places, before, record, repository)
        stages.append(_stage(store, policy, app, name, log, counts, record, pending, check=check))
        before = record
    return Board(
        app=app,
        store=store.name,
        stages=tuple(stages),
        versions=versions,
        withdrawn=frozenset(one.version for one in stored if one.withdrawn),
        more=len(stored) - len(newest),
    )


def _counting(store: Store, app: str, stage: str, log: tuple[LogEntry, ...]) -> tuple[LogEntry, ...]:
    """The entries that count, as far as signatures are required the signed ones: at least one if there is."""
    trusted = tuple(filter(store.notary.trusts, log))
    if trusted or len(log) < _ENTRIES:
        return trusted
    return tuple(islice(filter(store.notary.trusts, store.stages.log(app, stage).readable()), 1))


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
        "sentence": lambda entry: wording.sentence(entry.state, entry.signed),
        "size": text.size,
        "pending": pending_text,
        "web": lambda url: url if url.startswith(("https://", "http://")) else "",
    }
    largest = max(record.size for record in board.versions)
    script = environment.get_template("board.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("board.html.j2").render(
        board=board, now=now, largest=largest, script_digest=digest
    )


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
    """The stages in the order of the rules; other stages in the order that promotions took."""
    before = {name: set[str]() for name in sorted(logs)}
    for one, other in combinations(before, 2):
        ahead = _lead(logs, one, other)
        if ahead > 0:
            before[other].add(one)
        elif ahead < 0:
            before[one].add(other)
    try:
        order = list(TopologicalSorter(before).static_order())
    except CycleError:
        order = sorted(logs)
    return [*ruled, *(name for name in order if name not in ruled)]


def _lead(logs: Mapping[str, tuple[LogEntry, ...]], one: str, other: str) -> int:
    """How many promotions went from the stage `one` to `other`, less those the other way.

    Promotions name the stage they come from, if it was given. Where none does, a version went from the stage
    that it reached first.
    """
    to_other = sum(entry.state.source == one for entry in logs[other])
    to_one = sum(entry.state.source == other for entry in logs[one])
    if to_other or to_one:
        return to_other - to_one
    here, there = _arrivals(logs[one]), _arrivals(logs[other])
    both = here.keys() & there.keys()
    return sum((here[digest] < there[digest]) - (here[digest] > there[digest]) for digest in both)


def _arrivals(log: Iterable[LogEntry]) -> dict[str, datetime]:
    """When each artifact (by its sha256) first reached a stage, as far as these entries show."""
    newest_first = (entry.state for entry in log if entry.state.action == "promote")
    return {state.digest: state.at for state in newest_first}


def _stage(
    store: Store,
    policy: Policy,
    app: str,
    name: str,
    log: tuple[LogEntry, ...],
    counts: list[StageState],
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
    stay = [*takewhile(lambda state: state.digest == counts[0].digest, counts)]
    return StageCard(
        name=name,
        protected=name in policy.protected,
        entries=entries,
        state=counts[0] if counts else None,
        arrival=stay[-1] if stay else None,
        record=record,
        releases=_last_runs(store, app, name, stay) if stay and stay[0].digest else (),
        hosts=running(store.records.last_releases(app, name, _RUNS), store.records.hosts(app, name)),
        pending=pending,
    )


def _last_runs(store: Store, app: str, stage: str, stay: list[StageState]) -> tuple[ReleaseRecord, ...]:
    """The last run for each role that released the artifact of this stay."""
    runs = store.records.releases(app, stage, entries={0, *(state.number for state in stay)}, pass_over=True)
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
