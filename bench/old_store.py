"""The commands of fapstore in an old store: thousands of versions, and a log of thousands of entries."""

import os
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from pathlib import Path

import msgspec

from artifact_store.blobs.memory import MemoryBlobs
from artifact_store.blobs.open import make_store, open_blobs
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.actor import Actor, Stamp
from artifact_store.records import keys
from artifact_store.stages import log_rules
from artifact_store.stages.log_rules import LogEntry, StageRequest
from artifact_store.store.store import Store
from artifact_store.trust.rules import Trust, load
from bench.processes import BIN, used
from tests.parts.seaweed import seaweed
from tests.parts.signers import Signers
from tests.parts.tgz import tgz

BUCKET = "bench"
APP = "shop"
STAGES = ("staging", "production")
"""The log of the first one is short."""
ANN = Actor(who="ann", ci="")
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_WRITERS = 16
_SIGNED = 40
"""The number of versions with a signature, of which a signed log is made."""

COMMANDS = (
    ("list", "list", APP),
    ("list --all", "list", APP, "--all"),
    ("show", "show", APP, "1"),
    ("stages", "stages", APP),
    ("history", "history", APP, STAGES[1]),
    ("history --all", "history", APP, STAGES[1], "--all"),
    ("board", "board", APP, "-o", "board.html"),
    ("verify", "verify", APP),
    ("gc --dry-run", "gc", APP, "--dry-run"),
    ("promote", "promote", APP, "NEXT", STAGES[1]),
    ("rollback", "rollback", APP, STAGES[1]),
)
"""The title of each command, and its arguments. NEXT is another version each time."""


@dataclass(frozen=True)
class Row:
    """One command in one store; medians."""

    command: str
    seconds: float
    cpu: float
    memory: int
    """In bytes, the most of all turns."""


def measure_bucket(folder: Path, versions: int, entries: int, runs: int, *, signed: bool) -> Iterator[Row]:
    """Run each command in a bucket with so many versions, and entries in the log of one stage."""
    with seaweed(folder / "server") as server:
        server.make_bucket(BUCKET)
        os.environ.update(server.env)
        yield from _measure(folder, f"s3://{BUCKET}/old", versions, entries, runs, signed=signed)


def measure_folder(folder: Path, versions: int, entries: int, runs: int, *, signed: bool) -> Iterator[Row]:
    """As `measure_bucket`, in a folder."""
    url = (folder / "store").as_uri()
    folder.mkdir(parents=True, exist_ok=True)
    yield from _measure(folder, url, versions, entries, runs, signed=signed)


def _measure(
    folder: Path, url: str, versions: int, entries: int, runs: int, *, signed: bool
) -> Iterator[Row]:
    rules = _rules(folder, signed=signed)
    _fill(url, folder, versions, entries, rules)
    home = folder / "home"
    home.mkdir()
    environment = {**os.environ, "FAP_STORE": url, "FAP_WHO": "ann", "HOME": str(home)}
    environment |= {"FAP_SIGNING_KEY": str(folder / "ann")} if signed else {}
    following = count(1)
    for title, *arguments in COMMANDS:
        turns = []
        for _ in range(runs):
            argv = [str(next(following)) if part == "NEXT" else part for part in arguments]
            turns.append(used([BIN / "fapstore", *argv], rules, environment))
        yield Row(
            title,
            statistics.median(turn.seconds for turn in turns),
            statistics.median(turn.cpu for turn in turns),
            max(turn.memory for turn in turns),
        )


def _rules(folder: Path, *, signed: bool) -> Path:
    """A folder with the app's rules; the key of ann signs, if entries are `signed`."""
    rules = folder / "app"
    rules.mkdir()
    text = f'app = "{APP}"\n'
    if signed:
        Signers(folder).allow("ann")
        text += 'signers = "../allowed_signers"\nrequire_signatures = true\n'
    (rules / "fapstore.toml").write_text(text)
    return rules


def _fill(url: str, folder: Path, versions: int, entries: int, rules: Path) -> None:
    """Make the objects in memory, as pushes and promotions make them, and copy them to the store."""
    trust = load(rules, key=folder / "ann" if (folder / "ann").exists() else None)
    blobs = MemoryBlobs()
    store = Store(blobs, trust=trust)
    made = folder / "made"
    made.mkdir()
    for number in range(1, versions + 1):
        store.artifacts.publish(tgz(made, APP, f"{number}"), ANN)
    signed = store.artifacts.list(APP)[: _SIGNED if trust.key else 0]
    for record in signed:
        store.artifacts.sign(APP, record.version, ANN)
    versions_of_log = [record.version for record in signed] or [*store.artifacts.versions(APP)]
    for stage, length in zip(STAGES, (min(entries, 20), entries), strict=True):
        _write_log(blobs, store, stage, length, versions_of_log, trust)
    if url.startswith("file:"):
        make_store(url)
    target = open_blobs(url)
    with ThreadPoolExecutor(_WRITERS) as pool:
        for _ in pool.map(lambda key: target.create(key, blobs.get(key)), blobs.keys(f"{APP}/")):
            pass


def _write_log(
    blobs: Blobs, store: Store, stage: str, length: int, versions: Sequence[str], trust: Trust
) -> None:
    """Write a log of promotions one after another, without the checks that each would take."""
    blobs.create(keys.entry(APP, stage, 0), b"")
    last: LogEntry | None = None
    for number, version in zip(range(1, length + 1), cycle(versions), strict=False):
        digest = store.artifacts.get(APP, version).digest
        by = Stamp(who=ANN.who, at=_BEGIN + timedelta(minutes=number), ci="", operation=f"{number:032x}")
        request = StageRequest(action="promote", version=version, digest=digest, why="", by=by)
        state = log_rules.decide(last, APP, stage, request)
        state = msgspec.structs.replace(state, policy=trust.policy_digest)
        data = log_rules.encode(state, store.notary.sign_entry(state))
        blobs.create(keys.entry(APP, stage, number), data)
        last = log_rules.decode(data, APP, stage, number)
