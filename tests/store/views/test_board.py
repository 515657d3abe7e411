"""The stage board: what it tells, and that nothing in a store can make its page do anything."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from artifact_store.blobs.memory import MemoryBlobs
from artifact_store.core.actor import Actor
from artifact_store.core.errors import NotFoundError
from artifact_store.gc.references import Retention
from artifact_store.records.releases import HostOutcome, Outcome, ReleaseRecord
from artifact_store.stages.policy import Policy
from artifact_store.store.maintenance import plan_gc
from artifact_store.store.store import Store
from artifact_store.trust.rules import Trust
from artifact_store.views import board
from artifact_store.views.board import Board, StageCard
from tests.parts.fapstore_command import Cli
from tests.parts.git_clone import clone, commit
from tests.parts.records import HOST_RECORD
from tests.parts.signers import Signers
from tests.parts.tgz import tgz

__all__ = ["clone"]

NOW = datetime(2026, 11, 22, 18, 54, tzinfo=UTC)
HOSTILE = (
    "\"'></style></title><script>alert(1)</script><img src=x onerror=alert(1)>\N{RIGHT-TO-LEFT OVERRIDE}"
)


@dataclass
class Shop:
    """A store in memory in which an hour passes with every push."""

    folder: Path
    at: datetime = NOW - timedelta(days=2)
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(MemoryBlobs(), clock=lambda: self.at)

    def push(self, version: str, commit: str = "a" * 40, who: str = "ci", ci: str = "") -> None:
        self.at += timedelta(hours=1)
        self.store.artifacts.publish(tgz(self.folder, version=version, commit=commit), by=Actor(who, ci))

    def promote(self, version: str, stage: str, source: str = "", why: str = "", who: str = "ann") -> None:
        self.at += timedelta(hours=1)
        self.store.stages.promote("shop", version, stage, by=Actor(who), source=source, why=why)

    def released(self, stage: str, role: str, outcome: Outcome, release: str) -> None:
        state = self.store.stages.head("shop", stage)
        assert state
        self.at += timedelta(minutes=1)
        record = ReleaseRecord(
            app="shop",
            stage=stage,
            role=role,
            action="release",
            release=release,
            previous="",
            version=state.version,
            digest=state.digest,
            config="",
            entry=state.number,
            outcome=outcome,
            hosts=(HostOutcome(host="web1", outcome="healthy"), HostOutcome(host="web2", outcome="healthy")),
            who="ann",
            at=self.at,
            ci="",
            operation=release.replace("-", "0") * 2,
        )
        self.store.records.add_release(record)

    def board(self, policy: Policy | None = None, repository: Path = Path("/")) -> Board:
        return board.load(self.store, policy or Policy(), "shop", repository, check=False)

    def page(self) -> str:
        return board.page(self.board(), NOW)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, tag: str, name: str) -> list[str]:
        return [attrs[name] for found, attrs in self.elements if found == tag and name in attrs]


def named(found: Board, name: str) -> StageCard:
    return next(stage for stage in found.stages if stage.name == name)


def test_stages_stand_in_the_order_of_promotion(shop: Shop) -> None:
    shop.push("1")
    for stage, source in (("zero", ""), ("middle", "zero"), ("alpha", "middle")):
        shop.promote("1", stage, source)
    assert [stage.name for stage in shop.board().stages] == ["zero", "middle", "alpha"]
    ruled = shop.board(Policy(stages=("alpha", "beta"), protected=("beta",)))
    assert [stage.name for stage in ruled.stages] == ["alpha", "beta", "zero", "middle"]
    assert named(ruled, "beta").state is None
    assert named(ruled, "beta").protected


def test_stages_promoted_in_a_circle_stand_by_name(shop: Shop) -> None:
    shop.push("1")
    shop.promote("1", "b", "a")
    shop.promote("1", "a", "b")
    assert [stage.name for stage in shop.board().stages] == ["a", "b"]


def test_without_sources_stages_stand_in_the_order_that_versions_took(shop: Shop) -> None:
    for version in "123":
        shop.push(version)
        for stage in ("zero", "middle", "alpha"):
            shop.promote(version, stage)
    shop.push("4")
    shop.promote("4", "alpha")  # one hotfix the other way round
    shop.promote("4", "zero")
    assert [stage.name for stage in shop.board().stages] == ["zero", "middle", "alpha"]


def test_hosts_tell_what_they_really_run(shop: Shop) -> None:
    shop.push("1")
    shop.promote("1", "production")
    shop.released("production", "web", "healthy", "261120-120000")
    shop.push("2")
    shop.promote("2", "production")
    shop.at += timedelta(minutes=1)
    shop.store.records.add_release(
        msgspec.structs.replace(
            shop.store.records.releases("shop", "production")[0],
            version="2",
            digest="b" * 64,
            release="261120-130000",
            previous="261120-120000",
            entry=2,
            outcome="partly",
            hosts=(HostOutcome(host="web1", outcome="healthy"), HostOutcome(host="web2", outcome="undone")),
            at=shop.at,
            operation="2",
        )
    )
    for name, at, outcome in (("a", shop.at, "healthy"), ("b", shop.at, "undone")):
        shop.store.records.add_host(
            msgspec.structs.replace(
                HOST_RECORD, role="edge", host=name, version="2", at=at, outcome=outcome, operation=name
            )
        )
    found = named(shop.board(), "production")
    assert [(host.role, host.host, host.version, host.outcome) for host in found.hosts] == [
        ("edge", "a", "2", "healthy"),
        ("edge", "b", "", "undone"),
        ("web", "web1", "2", "healthy"),
        ("web", "web2", "1", "undone"),
    ]
    words = " ".join(Page(shop.page()).text.split())
    assert "2 of 4 hosts without this version" in words
    assert "web1 web: runs it" in words
    assert "web2 web: runs 1, 2: undone" in words
    assert f"b edge: runs release {HOST_RECORD.previous}, 2: undone" in words
    shop.released("production", "web", "healthy", "261120-140000")
    assert [host.host for host in named(shop.board(), "production").hosts_behind] == ["b"]


def test_times_are_dates_that_a_script_of_ours_makes_relative(shop: Shop) -> None:
    shop.push("1")
    shop.promote("1", "staging")
    text = shop.page()
    page = Page(text)
    assert "ago" not in page.text.replace(re.findall("<script>(.*)</script>", text, re.DOTALL)[0], "")
    assert page.values("time", "datetime")
    (script,) = re.findall("<script>(.*)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.values("meta", "content")[2]


def test_withdrawn_versions_are_marked(shop: Shop) -> None:
    shop.push("1")
    shop.promote("1", "staging")
    assert "withdrawn" not in Page(shop.page()).text
    shop.store.artifacts.withdraw("shop", "1", Actor("ann"), "CVE")
    assert Page(shop.page()).text.count("withdrawn") == 2


def test_a_freeze_is_no_arrival(shop: Shop) -> None:
    shop.push("1")
    shop.promote("1", "production")
    arrived = shop.at
    shop.at += timedelta(hours=3)
    shop.store.stages.freeze("shop", "production", by=Actor("bob"), why="until monday")
    found = named(shop.board(), "production")
    assert found.arrival
    assert found.arrival.at == arrived
    text = Page(shop.page()).text
    assert "Frozen by bob: until monday" in text
    assert "bob froze it at 1" in text


def test_what_waits_are_the_commits_between(shop: Shop, clone: Path) -> None:
    made = [commit(clone, f"Commit {number}") for number in (1, 2, 3, 4)]
    for number, id_ in enumerate(made, 1):
        shop.push(str(number), id_)
    shop.promote("3", "staging")
    shop.promote("1", "production", "staging")
    found = shop.board(repository=clone)
    assert [board.pending_text(stage) for stage in found.stages] == ["1 commit pending", "2 commits pending"]
    page = board.page(found, NOW)
    assert page.index("Commit 3") < page.index("Commit 2")
    assert "Commit 1" not in page
    without = shop.board()
    assert [board.pending_text(stage) for stage in without.stages] == [
        "1 version pending",
        "2 versions pending",
    ]


def test_a_stage_that_is_up_to_date_waits_for_nothing(shop: Shop) -> None:
    shop.push("1")
    shop.promote("1", "staging")
    assert [board.pending_text(stage) for stage in shop.board().stages] == [""]


def test_the_last_run_of_each_role_is_told(shop: Shop) -> None:
    shop.push("1")
    shop.promote("1", "production")
    shop.released("production", "web", "undone", "261120-120000")
    shop.released("production", "web", "healthy", "261120-130000")
    shop.released("production", "worker", "partly", "261120-140000")
    found = named(shop.board(), "production")
    assert [(run.role, run.outcome) for run in found.releases] == [("web", "healthy"), ("worker", "partly")]
    words = " ".join(Page(shop.page()).text.split())
    assert "web: healthy on 2 hosts" in words
    assert "worker: partly on 2 hosts" in words
    shop.push("2")
    shop.promote("2", "production")
    assert named(shop.board(), "production").releases == ()


def test_versions_tell_where_they_run(shop: Shop) -> None:
    shop.push("1")
    shop.push("2")
    shop.promote("1", "production")
    shop.promote("2", "staging")
    found = shop.board()
    assert [(record.version, found.stages_with(record.version)) for record in found.versions] == [
        ("2", ("staging",)),
        ("1", ("production",)),
    ]


def test_only_the_last_versions_are_told(shop: Shop) -> None:
    for number in range(45):
        shop.push(str(number))
    found = shop.board()
    assert (found.versions[0].version, len(found.versions), found.more) == ("44", 40, 5)
    assert "and 5 older" in board.page(found, NOW)


def test_an_app_without_stages_has_a_page_that_says_what_to_type(shop: Shop) -> None:
    shop.push("1")
    assert "fapstore promote shop 1 STAGE" in Page(shop.page()).text


def test_an_app_without_versions_has_none(shop: Shop) -> None:
    with pytest.raises(NotFoundError, match="contains no version of shop"):
        shop.board()


def hostile(shop: Shop) -> Iterator[str]:
    shop.push("1", who=HOSTILE, ci="javascript:alert(1)")
    shop.promote("1", "staging", why=HOSTILE, who=HOSTILE)
    yield shop.page()
    shop.store.stages.freeze("shop", "staging", by=Actor(HOSTILE, "javascript:alert(1)"), why=HOSTILE)
    yield shop.page()


def test_no_text_of_others_becomes_part_of_the_page(shop: Shop) -> None:
    for text in hostile(shop):
        page = Page(text)
        tags = {tag for tag, _ in page.elements}
        (script,) = re.findall("<script.*?</script>", text, re.DOTALL)
        assert "alert" not in script
        assert not tags & {"img", "iframe", "object", "embed", "link", "base", "form"}
        assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
        assert "alert(1)" in page.text
        assert "javascript:" not in text
        assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in text


def test_the_page_needs_nothing_else(shop: Shop) -> None:
    shop.push("1", ci="https://ci.example.com/1")
    shop.promote("1", "staging")
    page = Page(shop.page())
    assert page.values("a", "href") == ["https://ci.example.com/1"]
    assert not [1 for tag in ("img", "script", "link", "use") for _ in page.values(tag, "src")]
    assert "default-src 'none'" in page.values("meta", "content")[2]
    assert "url(" not in shop.page()


def test_the_same_store_and_time_give_the_same_page(shop: Shop) -> None:
    shop.push("1")
    shop.promote("1", "staging")
    assert shop.page() == shop.page()


def test_the_command_writes_a_file_or_prints(tmp_path: Path) -> None:
    cli = Cli(tmp_path, f"file://{tmp_path}/store")
    cli.out("push", tgz(tmp_path, version="1"))
    cli.out("promote", "shop", "1", "staging")
    assert cli.out("board", "shop", "-o", tmp_path / "board.html") == ""
    assert (tmp_path / "board.html").read_text().startswith("<!doctype html>")
    assert cli.out("board", "shop").startswith("<!doctype html>")
    told = json.loads(cli.out("board", "shop", "--json"))
    assert told["stages"][0]["entries"][0]["state"]["version"] == "1"
    assert not list(tmp_path.glob(".board.html*"))


def test_strangers_objects_end_no_board(shop: Shop) -> None:
    shop.push("1")
    shop.promote("1", "staging")
    shop.store.blobs.create("shop/stages/Odd Name/x", b"junk")
    assert plan_gc(shop.store, "shop", Retention()).kept == 1
    shop.store.blobs.create("shop/releases/staging/web/20260101T000000Z-00000000-ab.json", b"junk")
    (stage,) = shop.board().stages
    assert (stage.name, stage.state and stage.state.version, stage.releases) == ("staging", "1", ())


def test_an_unsigned_entry_is_not_shown_as_the_state(tmp_path: Path) -> None:
    signers = Signers(tmp_path)
    policy = Policy(require_signatures=True)
    trust = Trust(policy=policy, signers=signers.path, key=signers.allow("ann"))
    store = Store(MemoryBlobs(), trust=trust)
    for version in "12":
        store.artifacts.publish(tgz(tmp_path, version=version), by=Actor("ci"))
        store.artifacts.sign("shop", version, by=Actor("ci"))
    store.stages.promote("shop", "1", "staging", by=Actor("ann"))
    Store(store.blobs).stages.promote("shop", "2", "staging", by=Actor("eve"))
    (stage,) = board.load(Store(store.blobs, trust=trust), policy, "shop", tmp_path, check=True).stages
    assert (stage.state and stage.state.version, stage.record and stage.record.version) == ("1", "1")
    forged, real = stage.entries
    assert (forged.state.version, forged.signed != real.signed) == ("2", True)
