"""What gc removes, what it keeps, and that a promotion at the same moment loses nothing."""

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artifact_store.artifact.ids import ArtifactId
from artifact_store.blobs.memory import MemoryBlobs
from artifact_store.blobs.open import open_blobs
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.actor import Actor, Stamp
from artifact_store.core.errors import FapError, NotFoundError, PolicyViolationError, StoreError, UsageError
from artifact_store.gc.collect import GcPlan, GcResult
from artifact_store.gc.references import Retention
from artifact_store.records import artifacts, keys, removals
from artifact_store.records.artifacts import ArtifactRecord, Published
from artifact_store.records.releases import HostOutcome, Outcome, ReleaseRecord
from artifact_store.stages.policy import Policy
from artifact_store.store.maintenance import plan_gc, run_gc
from artifact_store.store.store import Store
from artifact_store.trust.rules import NO_RULES
from artifact_store.views import audit, board, wording
from tests.parts.fapstore_command import FAPSTORE, Cli
from tests.parts.tgz import tgz

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=60)
DIGESTS = {str(number): f"{number:064x}" for number in range(10_000)}


def archive_key(version: str, operation: str | None = None) -> str:
    """Where `push`, or another push, has put the bytes of a version."""
    return keys.archive(ArtifactId("shop", version), DIGESTS[version], operation or version)


def push(blobs: Blobs, version: str, size: int = 10) -> None:
    """A version without the work of packing it."""
    artifact = ArtifactId("shop", version)
    blobs.create(archive_key(version), b"x" * size)
    blobs.create(keys.evidence(archive_key(version), ".sbom.cdx.json"), b"{}")
    said = ArtifactRecord(
        app="shop",
        version=version,
        digest=DIGESTS[version],
        size=size,
        commit="a" * 40,
        who="ann",
        at=NOW,
        ci="",
        operation=version,
    )
    blobs.create(keys.record(artifact), artifacts.encode(said))


def store_on(blobs: Blobs, at: datetime = LATER) -> Store:
    return Store(blobs, clock=lambda: at)


def filled(versions: int) -> MemoryBlobs:
    blobs = MemoryBlobs()
    for number in range(1, versions + 1):
        push(blobs, str(number))
    return blobs


def promoted(blobs: Blobs, *versions: str, stage: str = "production") -> None:
    for version in versions:
        store_on(blobs).stages.promote("shop", version, stage, by=Actor("ann"))


def released(blobs: Blobs, version: str, outcome: Outcome = "healthy", *, minute: int = 0) -> None:
    store_on(blobs).records.add_release(
        ReleaseRecord(
            app="shop",
            stage="production",
            role="web",
            action="release",
            release="261122-185409",
            previous="",
            version=version,
            digest=DIGESTS[version],
            config="",
            entry=0,
            outcome=outcome,
            hosts=(HostOutcome(host="web1", outcome=outcome),),
            who="ann",
            at=NOW + timedelta(minutes=minute),
            ci="",
            operation=f"{minute:032x}",
        )
    )


def gc(blobs: Blobs, rules: Retention | None = None, wait: Callable[[], None] = lambda: None) -> GcResult:
    store = store_on(blobs)
    return run_gc(store, plan_gc(store, "shop", rules or Retention(keep=2)), by=Actor("gc"), wait=wait)


def planned(blobs: Blobs, at: datetime = LATER, **rules: Any) -> GcPlan:
    return plan_gc(store_on(blobs, at), "shop", Retention(**{"keep": 2, **rules}))


def there(blobs: Blobs) -> set[str]:
    """The versions that have their bytes."""
    return {key.split("/")[2] for key in blobs.keys("shop/artifacts/") if key.endswith(".tgz")}


def test_what_nothing_refers_to_is_removed_and_stays_on_record() -> None:
    blobs = filled(3)
    promoted(blobs, "2")
    done = gc(blobs)
    assert (done.removed, done.spared, done.size) == (("1", "3"), (), 20)
    assert there(blobs) == {"2"}
    store = store_on(blobs)
    assert [found.version for found in store.artifacts.list("shop")] == ["1", "2", "3"]
    assert blobs.size(keys.evidence(archive_key("1"), ".sbom.cdx.json")) == 2
    assert planned(blobs).is_empty


@pytest.mark.parametrize(
    ("log", "keep", "kept"),
    [
        (["1", "2", "3", "4"], 2, {"3", "4"}),
        (["1", "2", "3", "4"], 1, {"3", "4"}),
        (["1", "2", "1", "2", "3"], 2, {"2", "3"}),
        (["1", "2", "3", "back"], 1, {"1", "2"}),
        (["1", "2", "3", "4", "back", "back"], 2, {"1", "2", "3"}),
        (["1", "2", "3", "4", "freeze"], 2, {"3", "4"}),
        (["1"], 1, {"1"}),
        ([], 1, set()),
    ],
)
def test_the_last_versions_of_a_stage_and_the_one_to_go_back_to_are_kept(
    log: list[str], keep: int, kept: set[str]
) -> None:
    blobs = filled(4)
    store = store_on(blobs)
    for step in log:
        if step == "back":
            store.stages.rollback("shop", "production", by=Actor("ann"))
        elif step == "freeze":
            store.stages.freeze("shop", "production", by=Actor("ann"), why="sale")
        else:
            promoted(blobs, step)
    gc(blobs, Retention(keep=keep))
    assert there(blobs) == kept


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["1", "2", "3", "4", "back"]), max_size=12), st.integers(1, 3))
def test_after_gc_a_stage_can_go_back(log: list[str], keep: int) -> None:
    blobs = filled(4)
    for step in log:
        try:
            if step == "back":
                store_on(blobs).stages.rollback("shop", "production", by=Actor("ann"))
            else:
                promoted(blobs, step)
        except (NotFoundError, PolicyViolationError):  # a rollback removed it
            continue
    gc(blobs, Retention(keep=keep))
    state = store_on(blobs).stages.head("shop", "production")
    assert (state.version if state else None) in {*there(blobs), None}
    with suppress(NotFoundError):  # nothing was ever before
        store_on(blobs).stages.rollback("shop", "production", by=Actor("ann"))


def test_what_was_released_is_kept_back_to_the_last_healthy_one() -> None:
    blobs = filled(6)
    released(blobs, "1", minute=1)
    released(blobs, "2", minute=2)
    for number in (3, 4, 5):
        released(blobs, str(number), "undone", minute=number)
    gc(blobs)
    assert there(blobs) == {"2", "3", "4", "5"}


def test_what_was_approved_lately_is_kept(tmp_path: Path) -> None:
    blobs = open_blobs(f"file://{tmp_path}")
    push(blobs, "1")
    push(blobs, "2")
    for path in (tmp_path / "shop").rglob("*.*"):
        os.utime(path, (0, 0))
    blobs.create(f"{keys.all_approvals('shop', 'production')}{DIGESTS['2']}/{'0' * 64}.sig", b"signed")
    assert [found.version for found in planned(blobs, at=NOW).unused] == ["1"]
    assert [found.version for found in planned(blobs, at=LATER).unused] == ["1", "2"]


def test_what_is_young_is_kept() -> None:
    blobs = filled(2)
    assert planned(blobs, at=NOW + timedelta(days=29), grace=timedelta(days=30)).is_empty
    assert len(planned(blobs, at=NOW + timedelta(days=31), grace=timedelta(days=30)).unused) == 2


def test_leftovers_of_killed_pushes_are_removed_after_the_grace_period() -> None:
    blobs = filled(1)
    promoted(blobs, "1")
    whole = ArtifactId("shop", "1")
    lone = ArtifactId("shop", "2")
    lost = keys.archive(whole, DIGESTS["9"], "lost")
    killed = archive_key("1", "killed")
    orphan = archive_key("2", "1")
    for key in (lost, killed, orphan):
        blobs.create(key, b"12345")
    assert planned(blobs, at=NOW).is_empty
    plan = planned(blobs)
    assert {blob.key for blob in plan.leftovers} == {lost, killed, orphan}
    push_meanwhile = artifacts.encode(
        artifacts.decode(
            blobs.get(keys.record(whole))
            .replace(b'"version":"1"', b'"version":"2"')
            .replace(DIGESTS["1"].encode(), DIGESTS["2"].encode()),
            lone,
        )
    )
    blobs.create(keys.record(lone), push_meanwhile)
    done = run_gc(store_on(blobs), plan, by=Actor("gc"), wait=lambda: None)
    assert done.size == 10
    assert blobs.size(lost) is None
    assert blobs.size(killed) is None
    assert blobs.size(orphan) == 5
    assert there(blobs) == {"1", "2"}


def test_an_unfinished_upload_in_a_folder(tmp_path: Path) -> None:
    blobs = open_blobs(f"file://{tmp_path}/store")
    push(blobs, "1")
    incoming = tmp_path / "store" / ".incoming" / "shop"
    incoming.mkdir(parents=True, exist_ok=True)
    (incoming / "killed").write_bytes(b"123")
    assert planned(blobs, at=NOW).is_empty
    promoted(blobs, "1")
    assert gc(blobs).size == 3
    assert not (incoming / "killed").exists()


def test_a_removed_version_is_refused_everywhere(tmp_path: Path) -> None:
    artifact = tgz(tmp_path, version="1")
    blobs = MemoryBlobs()
    store = store_on(blobs)
    store.artifacts.publish(artifact, by=Actor("ann"))
    gc(blobs)
    for use in (
        lambda: store.stages.promote("shop", "1", "production", by=Actor("ann")),
        lambda: store.artifacts.fetch("shop", "1", tmp_path / "got.tgz"),
        lambda: store.artifacts.publish(artifact, by=Actor("ann")),
    ):
        with pytest.raises(StoreError, match="was removed with `fapstore gc` by gc at 20") as error:
            use()
        assert "a new --version" in error.value.hint
    assert store.stages.head("shop", "production") is None


def test_a_removed_version_is_no_problem_to_an_auditor() -> None:
    blobs = filled(3)
    promoted(blobs, "2", "3")
    gc(blobs)
    (check,) = audit.everything(store_on(blobs), NO_RULES, "shop", "1")
    assert check.result.startswith("removed with gc by gc at 20")
    assert not check.problems
    blobs.delete(archive_key("2"))
    (missing,) = audit.everything(store_on(blobs), NO_RULES, "shop", "2")
    assert missing.problems


def test_a_reference_without_bytes_is_told() -> None:
    blobs = filled(2)
    promoted(blobs, "1")
    blobs.delete(archive_key("1"))
    assert planned(blobs).missing == ("1",)


def test_a_log_that_cannot_be_read_stops_it() -> None:
    blobs = filled(2)
    promoted(blobs, "1")
    blobs.create(keys.entry("shop", "production", 2), b"{}")
    with pytest.raises(FapError, match="can't be read"):
        gc(blobs)
    assert there(blobs) == {"1", "2"}


# The same moment: gc and promotions, step by step.


class Hooked(MemoryBlobs):
    """Calls `before` at each operation, and a hook once before the operation it is for."""

    def __init__(self) -> None:
        super().__init__()
        self.hooks: dict[str, Callable[[], object]] = {}
        self.before: Callable[[str], None] = lambda what: None
        self.written_at: datetime | None = None
        """When what is created from now on was written, if not really now."""

    def back_to(self, key: str, at: datetime) -> None:
        """Let what is at `key` be as old as that."""
        self._modified[key] = at

    def _step(self, what: str) -> None:
        hook = self.hooks.pop(what, None)
        if hook:
            hook()
        self.before(what)

    def get(self, key: str) -> bytes:
        self._step(f"get {key}")
        return super().get(key)

    def create(self, key: str, *rest: Any, **options: Any) -> None:
        self._step(f"create {key}")
        super().create(key, *rest, **options)
        if self.written_at:
            self._modified[key] = self.written_at

    def delete(self, key: str) -> None:
        self._step(f"delete {key}")
        super().delete(key)

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        self._step(f"keys {prefix}")
        return iter(tuple(super().keys(prefix, after)))


class KilledError(BaseException):
    """Stands for SIGKILL: nothing of ours catches it and goes on writing, as the store refuses."""


class Turns:
    """Lets threads take turns at the store, one operation each, in a given order."""

    def __init__(self, blobs: Hooked, order: Iterator[str]) -> None:
        self._order = order
        self._running: dict[str, bool] = {}
        self._next = ""
        self._changed = threading.Condition()
        self.results: dict[str, object] = {}
        blobs.before = self._wait

    def run(self, **actors: Callable[[], object]) -> dict[str, object]:
        self._running = dict.fromkeys(actors, True)
        with self._changed:
            self._advance()
        threads = [
            threading.Thread(target=self._act, args=(name, act), name=name) for name, act in actors.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        return self.results

    def _act(self, name: str, act: Callable[[], object]) -> None:
        try:
            self.results[name] = act()
        except FapError as error:
            self.results[name] = error
        finally:
            with self._changed:
                self._running[name] = False
                self._advance()

    def _wait(self, what: str) -> None:
        name = threading.current_thread().name
        if name not in self._running:
            return
        with self._changed:
            while self._next != name:
                assert self._changed.wait(20)
            self._advance()

    def _advance(self) -> None:
        alive = [name for name, running in self._running.items() if running]
        wanted = next(self._order, "")
        self._next = wanted if wanted in alive else (alive[0] if alive else "")
        self._changed.notify_all()


def race(order: Iterator[str], *, collectors: int) -> tuple[Hooked, dict[str, object]]:
    blobs = Hooked()
    for version in "123":
        push(blobs, version)
    promoted(blobs, "1", "2")
    blobs.written_at = LATER  # by the clock of these gcs a mark of another one is new, and no killed one's
    turns = Turns(blobs, order)
    actors: dict[str, Callable[[], object]] = {
        f"gc{number}": lambda: gc(blobs, Retention(keep=2)) for number in range(collectors)
    }
    results = turns.run(
        promoter=lambda: store_on(blobs).stages.promote("shop", "3", "production", by=Actor("ann")), **actors
    )
    blobs.before = lambda what: None
    return blobs, results


def check(blobs: Hooked, results: dict[str, object]) -> None:
    state = store_on(blobs).stages.head("shop", "production")
    assert state
    assert state.version in there(blobs)
    if isinstance(results["promoter"], FapError):
        assert state.version == "2"
        assert "was removed with `fapstore gc`" in results["promoter"].message
    else:
        assert state.version == "3"
        assert not list(blobs.keys(keys.removals(ArtifactId("shop", "3"))))
    for name, done in results.items():
        assert name == "promoter" or isinstance(done, GcResult)


@pytest.mark.parametrize("first", range(26))
def test_a_promotion_at_the_same_moment_as_gc(first: int) -> None:
    """gc goes `first` steps, the promotion some, gc to its end, and the promotion the rest."""
    for some in range(12):
        order = iter(["gc0"] * first + ["promoter"] * some + ["gc0"] * 100)
        check(*race(order, collectors=1))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 3))
def test_promotions_and_any_number_of_gcs_in_any_order(seed: int, collectors: int) -> None:
    draw = random.Random(seed)
    names = ["promoter", *(f"gc{number}" for number in range(collectors))]

    def order() -> Iterator[str]:
        while True:
            yield from [draw.choice(names)] * draw.randint(1, 12)

    check(*race(order(), collectors=collectors))


@pytest.mark.parametrize("first", range(12))
def test_a_first_promotion_that_loses_against_gc_is_taken_back_to_nothing(first: int) -> None:
    """As above, where nothing was on the stage before."""
    for some in range(8):
        blobs = Hooked()
        push(blobs, "1")
        order = iter(["gc0"] * first + ["promoter"] * some + ["gc0"] * 100)
        results = Turns(blobs, order).run(
            promoter=lambda: store_on(blobs).stages.promote("shop", "1", "production", by=Actor("ann")),  # noqa: B023
            gc0=lambda: gc(blobs),  # noqa: B023
        )
        blobs.before = lambda what: None
        assert isinstance(results["gc0"], GcResult)
        store = store_on(blobs)
        if isinstance(results["promoter"], FapError):
            assert "was removed with `fapstore gc`" in results["promoter"].message
            assert store.stages.head("shop", "production") is None
            assert store.stages.head_with_link("shop", "production") is None
        else:
            assert there(blobs) == {"1"}
            assert not list(blobs.keys(keys.removals(ArtifactId("shop", "1"))))
        assert planned(blobs).missing == ()


def test_a_stage_that_was_taken_back_to_nothing_goes_on(tmp_path: Path) -> None:
    blobs = Hooked()
    push(blobs, "1")
    push(blobs, "2")
    blobs.hooks[f"create {keys.entry('shop', 'production', 1)}"] = lambda: gc(blobs)
    store = store_on(blobs)
    with pytest.raises(StoreError, match="was removed"):
        store.stages.promote("shop", "1", "production", by=Actor("ann"))
    says = [wording.sentence(entry.state) for entry in store.stages.history("shop", "production")]
    assert says == [
        "ann promoted 1",
        "ann rolled back to no version: gc by gc was removing 1 at the same time",
    ]
    assert wording.state(store.stages.last_entries("shop")[0].state, LATER).startswith("no version  ")
    with pytest.raises(NotFoundError, match="shop production has no version yet"):
        store.stages.freeze("shop", "production", by=Actor("ann"), why="sale")
    with pytest.raises(NotFoundError, match="has no previous version"):
        store.stages.rollback("shop", "production", by=Actor("ann"))
    shown = board.page(board.load(store, Policy(), "shop", tmp_path, check=False), LATER)
    assert ">no version</span>" in shown
    assert not [check for check in audit.everything(store, NO_RULES, "shop") if check.problems]
    push(blobs, "3")
    assert store.stages.promote("shop", "3", "production", by=Actor("ann")).state.number == 3
    with pytest.raises(NotFoundError, match="has no previous version"):
        store.stages.rollback("shop", "production", by=Actor("ann"))


def test_an_auditor_is_told_of_a_stage_whose_version_was_removed() -> None:
    """As a promoter leaves it that is killed between its entry and its look for marks."""
    blobs = filled(1)
    promoted(blobs, "1")
    by = Stamp(who="gc", at=NOW, ci="", operation="f" * 32)
    mark = removals.encode(removals.Removal(app="shop", version="1", by=by))
    blobs.create(keys.removal(ArtifactId("shop", "1"), "f" * 32), mark)
    blobs.delete(archive_key("1"))
    store = store_on(blobs)
    found = [problem for check in audit.everything(store, NO_RULES, "shop") for problem in check.problems]
    assert found == ["gc removed its version 1: promote another one"]
    with pytest.raises(StoreError, match="was removed"):
        store.stages.head_with_link("shop", "production")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1 << 32), st.integers(1, 3))
def test_a_push_of_what_a_killed_one_left_loses_nothing_to_gc(one: Path, seed: int, collectors: int) -> None:
    """Whatever the order of the two, of whom one removes the very bytes that the other stores."""
    draw = random.Random(seed)
    names = ["pusher", *(f"gc{number}" for number in range(collectors))]

    def order() -> Iterator[str]:
        while True:
            yield from [draw.choice(names)] * draw.randint(1, 6)

    blobs = Hooked()
    store = store_on(blobs, NOW)
    digest = store.artifacts.publish(one, by=Actor("ann")).digest
    blobs.delete(keys.record(ArtifactId("shop", "1")))
    (left,) = blobs.keys("shop/")
    blobs.back_to(left, NOW - timedelta(days=60))
    collector = lambda: run_gc(store, plan_gc(store, "shop", Retention()), by=Actor("gc"), wait=lambda: None)  # noqa: E731
    results = Turns(blobs, order()).run(
        pusher=lambda: store.artifacts.publish(one, by=Actor("bob")),
        **{f"gc{number}": collector for number in range(collectors)},
    )
    blobs.before = lambda what: None
    pushed = results["pusher"]
    assert isinstance(pushed, Published)
    assert pushed.created
    assert blobs.get(artifacts.archive_key(pushed)) == one.read_bytes()
    assert pushed.digest == digest
    collector()
    assert there(blobs) == {"1"}
    assert blobs.size(left) is None


def killed_after(blobs: Hooked, steps: int, act: Callable[[], object]) -> bool:
    """Run `act`, killed before its operation number `steps`; whether it got so far."""
    left = [steps]

    def count(what: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KilledError

    blobs.before = count
    try:
        act()
    except KilledError:
        return True
    finally:
        blobs.before = lambda what: None
    return False


def test_gc_killed_at_any_step_is_finished_by_the_next() -> None:
    steps = 0
    while True:
        blobs = Hooked()
        for version in "1234":
            push(blobs, version)
        promoted(blobs, "1", "2")
        was_killed = killed_after(blobs, steps, lambda: gc(blobs))  # noqa: B023
        state = store_on(blobs).stages.head("shop", "production")
        assert state
        assert state.version in there(blobs)
        if was_killed:
            gc(blobs)
        assert there(blobs) == {"1", "2"}
        assert planned(blobs).is_empty
        if not was_killed:
            break
        steps += 1
    assert steps > 15


def test_a_mark_of_a_killed_gc_on_a_version_in_use_is_taken_away_in_time() -> None:
    blobs = filled(2)
    promoted(blobs, "1")
    mark = keys.removal(ArtifactId("shop", "1"), "0" * 32)
    blobs.create(mark, b"{}")
    assert planned(blobs, at=NOW).is_empty
    assert [blob.key for blob in planned(blobs).marks] == [mark]
    gc(blobs)
    assert blobs.size(mark) is None
    assert there(blobs) == {"1"}


def test_an_error_before_anything_is_deleted_takes_the_marks_back() -> None:
    blobs = filled(2)

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gc(blobs, wait=fail)
    assert there(blobs) == {"1", "2"}
    assert not [key for key in blobs.keys("shop/") if "/removed/" in key]


def test_five_thousand_versions_take_less_than_a_second_of_cpu_each() -> None:
    """Our own: in memory there is no client library. 1 s is several times what it takes."""
    blobs = filled(5000)
    promoted(blobs, *(str(number) for number in range(4000, 4050)))
    start = time.process_time()
    assert len(store_on(blobs).artifacts.list("shop")) == 5000
    listed = time.process_time() - start
    plan = planned(blobs)
    assert len(plan.unused) == 4998
    assert listed < 1
    assert time.process_time() - start - listed < 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", pytest.param("s3", marks=pytest.mark.s3)])
def test_from_the_command_line(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = request.getfixturevalue("s3_url") if kind == "s3" else f"file://{tmp_path}/store"
    cli = Cli(tmp_path, url)
    for version in "123":
        cli.out("push", tgz(tmp_path, version=version))
    cli.out("promote", "shop", "2", "production")
    assert "nothing to remove; versions kept: 3" in cli("gc", "shop").stderr
    time.sleep(1.1)
    rules = ("--grace", "0s", "--wait", "0s")
    dry = cli("gc", "shop", "--dry-run", *rules)
    first, third = (Path(tmp_path / f"shop-{version}.tgz").stat().st_size for version in "13")
    assert [line.split("  ")[:2] for line in dry.stdout.splitlines()] == [
        ["shop 1", f"{first / 1000:.1f} kB"],
        ["shop 3", f"{third / 1000:.1f} kB"],
    ]
    total = first + third
    assert f"would remove {total / 1000:.1f} kB of shop; versions kept: 1\n" in dry.stderr
    assert cli.json("gc", "shop", "--dry-run", *rules)["size"] == total
    done = cli("gc", "shop", "--json", *rules)
    assert json.loads(done.stdout)["done"] == {"removed": ["1", "3"], "spared": [], "size": total}
    refused = cli("promote", "shop", "3", "production")
    assert refused.returncode == 1
    assert "was removed with `fapstore gc` by ann@desk" in refused.stderr
    cli.out("fetch", "shop", "2")
    assert cli("gc", "blog").returncode == 1


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_gc_that_is_ended_takes_its_marks_back(tmp_path: Path, sent: signal.Signals) -> None:
    cli = Cli(tmp_path, f"file://{tmp_path}/store")
    for version in "12":
        cli.out("push", tgz(tmp_path, version=version))
    cli.out("promote", "shop", "1", "production")
    time.sleep(1.1)  # a grace of 0 s spares what is of this second
    words = [str(FAPSTORE), "gc", "shop", "--grace", "0s", "--wait", "60s"]
    with subprocess.Popen(words, env=cli.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as gc:
        until = time.monotonic() + 30
        while not list((tmp_path / "store").rglob("removed/*.json")) and time.monotonic() < until:
            time.sleep(0.05)
        gc.send_signal(sent)
        assert gc.wait(timeout=30) == (130 if sent == signal.SIGINT else 128 + sent)
    assert list((tmp_path / "store").rglob("removed/*.json")) == []
    cli.out("promote", "shop", "2", "staging")
    cli.out("fetch", "shop", "2", "-o", "got.tgz")


def test_nothing_is_removed_while_no_stage_can_be_seen(tmp_path: Path) -> None:
    cli = Cli(tmp_path, f"file://{tmp_path}/store")
    cli.out("push", tgz(tmp_path, version="1"))
    time.sleep(1.1)
    rules = ("--grace", "0s", "--wait", "0s")
    refused = cli("gc", "shop", *rules)
    assert refused.returncode == 1
    assert "shows no stage of shop, so every version would count as unused" in refused.stderr
    cli.out("fetch", "shop", "1", "-o", "got.tgz")
    assert "removed" in cli.out("gc", "shop", "--no-stages", *rules)


def marked(blobs: Blobs, version: str, until: datetime | None) -> None:
    """A mark as a run of gc leaves it that was killed."""
    by = Stamp(who="gc", at=NOW, ci="", operation="f" * 32)
    mark = removals.encode(removals.Removal(app="shop", version=version, by=by, until=until))
    blobs.create(keys.removal(ArtifactId("shop", version), "f" * 32), mark)


@pytest.mark.parametrize("version", ["1", "2"])
def test_marks_of_a_killed_gc_count_for_nothing_when_its_time_is_over(version: str) -> None:
    blobs = filled(2)
    promoted(blobs, "1")
    marked(blobs, version, NOW + timedelta(hours=1))
    store = store_on(blobs, NOW)
    assert store.artifacts.link("shop", version).url == f"memory:{archive_key(version)}"
    (check,) = audit.everything(store, NO_RULES, "shop", version)
    assert "removed" not in check.result
    with pytest.raises(
        StoreError, match="is being removed, or was removed with `fapstore gc` by gc"
    ) as error:
        store.stages.promote("shop", version, "staging", by=Actor("ann"))
    assert "fapstore gc shop --take-back" in error.value.hint
    assert plan_gc(store, "shop", Retention()).marked == (version,)
    later = store_on(blobs, NOW + timedelta(hours=2))
    assert [blob.key.split("/")[2] for blob in plan_gc(later, "shop", Retention()).marks] == [version]
    assert later.stages.promote("shop", version, "staging", by=Actor("ann")).changed


def test_a_gc_deletes_nothing_when_its_time_is_over() -> None:
    blobs = filled(3)
    promoted(blobs, "1")
    clock = LATER
    store = Store(blobs, clock=lambda: clock)

    def long_wait() -> None:
        nonlocal clock
        clock += timedelta(hours=1)

    plan = plan_gc(store, "shop", Retention())
    with pytest.raises(StoreError, match=r"longer than 1:00:00, and stopped after 0 of 2 versions"):
        run_gc(store, plan, Actor("gc"), long_wait)
    assert there(blobs) == {"1", "2", "3"}
    assert not [key for key in blobs.keys("shop/") if "/removed/" in key]


def test_a_gc_that_was_killed_in_its_wait(tmp_path: Path) -> None:
    """By SIGKILL: what it marked can be fetched, and one command takes the marks back."""
    cli = Cli(tmp_path, f"file://{tmp_path}/store")
    for version in "12":
        cli.out("push", tgz(tmp_path, version=version))
    cli.out("promote", "shop", "1", "production")
    time.sleep(1.1)
    words = [str(FAPSTORE), "gc", "shop", "--grace", "0s", "--wait", "60s"]
    with subprocess.Popen(words, env=cli.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as gc:
        until = time.monotonic() + 30
        while not list((tmp_path / "store").rglob("removed/*.json")) and time.monotonic() < until:
            time.sleep(0.05)
        gc.kill()
    cli.out("fetch", "shop", "2", "-o", "got.tgz")
    assert "removed" not in cli.out("list", "shop")
    refused = cli("promote", "shop", "2", "staging")
    assert refused.returncode == 1
    assert "gc shop --take-back" in refused.stderr
    assert "warning: another gc is removing 2" in cli("gc", "shop").stderr
    assert "marks taken back: 1" in cli("gc", "shop", "--take-back").stderr
    cli.out("promote", "shop", "2", "staging")


def test_a_version_is_removed_when_its_bytes_are(tmp_path: Path) -> None:
    cli = Cli(tmp_path, f"file://{tmp_path}/store")
    for version in "12":
        cli.out("push", tgz(tmp_path, version=version))
    cli.out("promote", "shop", "1", "production")
    time.sleep(1.1)
    cli.out("gc", "shop", "--grace", "0s", "--wait", "0s")
    one, two = cli.out("list", "shop").splitlines()
    assert not one.endswith("removed")
    assert two.endswith(", removed")
    listed = cli.json("list", "shop")
    assert isinstance(listed, list)
    assert [each["removed"] for each in listed] == [False, True]
    for command in ("fetch", "url"):
        assert "shop 2 was removed with `fapstore gc` by ann@desk" in cli(command, "shop", "2").stderr
    next((tmp_path / "store" / "shop" / "artifacts" / "1").rglob("*.tgz")).unlink()
    for command in ("fetch", "url"):
        refused = cli(command, "shop", "1")
        assert refused.returncode == 1
        assert "the bytes of shop 1 are missing" in refused.stderr
    cli.out("push", tmp_path / "shop-1.tgz")
    cli.out("url", "shop", "1")


def test_a_gc_leaves_the_mark_of_another_one_that_may_still_run() -> None:
    """Also if the mark is older than the grace period."""
    blobs = Hooked()
    for version in "12":
        push(blobs, version)
    promoted(blobs, "1", "2")
    blobs.written_at = LATER
    marked(blobs, "1", LATER + timedelta(minutes=10))
    plan = planned(blobs, grace=timedelta(minutes=5))
    assert (plan.marks, plan.marked) == ((), ("1",))
    assert planned(blobs, at=LATER + timedelta(hours=1)).marks


def test_a_gc_that_is_ended_while_it_deletes_takes_back_the_marks_of_untouched_versions() -> None:
    blobs = Hooked()
    for version in "1234":
        push(blobs, version)
    promoted(blobs, "4")

    def end() -> None:
        raise SystemExit(143)

    blobs.hooks[f"delete {archive_key('2')}"] = end
    with pytest.raises(SystemExit):
        gc(blobs)
    marks = [key.split("/")[2] for key in blobs.keys("shop/") if "/removed/" in key]
    assert (there(blobs), marks) == ({"2", "3", "4"}, ["1", "2"])
    promoted(blobs, "3")


@pytest.mark.parametrize("name", ["", "x.json", "notes"])
def test_a_stranger_s_object_among_the_marks_stops_nobody(name: str) -> None:
    blobs = filled(2)
    promoted(blobs, "1", "2")
    blobs.create(f"{keys.removals(ArtifactId('shop', '1'))}{name}", b"")
    assert store_on(blobs).stages.rollback("shop", "production", by=Actor("ann")).state.version == "1"


@pytest.mark.parametrize("until", ["", ',"until":"9999-12-31T23:59:59Z"'])
def test_a_mark_counts_for_a_day_whatever_it_says(until: str) -> None:
    """An older fapkit wrote no time into its marks, and a stranger may write any."""
    blobs = Hooked()
    for version in "12":
        push(blobs, version)
    promoted(blobs, "1", "2")
    by = '{"who":"eve","at":"2026-01-01T00:00:00Z","ci":"","operation":"1"}'
    mark = keys.removal(ArtifactId("shop", "1"), "f" * 32)
    blobs.written_at = NOW
    blobs.create(mark, f'{{"app":"shop","version":"1","by":{by}{until}}}'.encode())
    with pytest.raises(StoreError, match="is being removed"):
        store_on(blobs, NOW).stages.promote("shop", "1", "production", by=Actor("ann"))
    later = store_on(blobs, NOW + timedelta(days=1, hours=1))
    assert [blob.key for blob in plan_gc(later, "shop", Retention()).marks] == [mark]
    assert later.stages.rollback("shop", "production", by=Actor("ann")).state.version == "1"


def test_a_mark_with_a_time_without_zone_is_a_stranger_s() -> None:
    blobs = filled(2)
    promoted(blobs, "1", "2")
    by = '{"who":"eve","at":"2026-01-01T00:00:00Z","ci":"","operation":"1"}'
    text = f'{{"app":"shop","version":"1","by":{by},"until":"9999-12-31T23:59:59"}}'
    blobs.create(keys.removal(ArtifactId("shop", "1"), "f" * 32), text.encode())
    assert store_on(blobs).stages.rollback("shop", "production", by=Actor("ann")).state.version == "1"


def test_a_gc_whose_marks_would_not_count_to_its_end_does_nothing() -> None:
    blobs = filled(2)
    promoted(blobs, "1")
    store = store_on(blobs)
    plan = plan_gc(store, "shop", Retention(grace=timedelta(0)))
    with pytest.raises(UsageError, match="marks count for 1 day"):
        run_gc(store, plan, Actor("gc"), lambda: None, timedelta(days=2))
    assert there(blobs) == {"1", "2"}


def test_a_rollback_goes_past_the_mark_of_a_gc_with_a_reason() -> None:
    blobs = filled(2)
    promoted(blobs, "1", "2")
    marked(blobs, "1", NOW + timedelta(hours=1))
    store = store_on(blobs, NOW)
    with pytest.raises(PolicyViolationError, match=r"1 is being removed by a gc that gc began at ") as error:
        store.stages.rollback("shop", "production", by=Actor("ann"))
    assert "fapstore gc shop --take-back" in error.value.hint
    assert "--override 'REASON'" in error.value.hint
    state = store.stages.rollback("shop", "production", by=Actor("ann"), override="2 is down").state
    assert (state.version, state.overrode, state.reason) == ("1", ("gc",), "2 is down")
    last = store.stages.head("shop", "production")
    assert last
    assert last.number == state.number
