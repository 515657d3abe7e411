"""The rules of a stage's log: values in, values out."""

import hashlib
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifact_store.core import text
from artifact_store.core.actor import Stamp
from artifact_store.core.errors import NotFoundError, StoreError, VerificationError
from artifact_store.records.envelope import Envelope
from artifact_store.stages import log_rules
from artifact_store.stages.log_rules import Action, LogEntry, StageRequest, StageState, decide, version_before
from artifact_store.views import wording

AT = datetime(2026, 11, 22, 18, 54, 9, tzinfo=UTC)


def request(
    action: Action, version: str = "", *, source: str = "", who: str = "ann", why: str = "", ci: str = ""
) -> StageRequest:
    digest = hashlib.sha256(version.encode()).hexdigest() if version else ""
    return StageRequest(
        action=action,
        version=version,
        digest=digest,
        source=source,
        why=why,
        by=Stamp(who=who, at=AT, ci=ci, operation="op"),
    )


def after(*requests: StageRequest) -> list[LogEntry]:
    entries: list[LogEntry] = []
    for wanted in requests:
        state = decide(entries[-1] if entries else None, "shop", "production", wanted)
        entries.append(log_rules.decode(log_rules.encode(state), "shop", "production", len(entries) + 1))
    return entries


def test_the_first_entry() -> None:
    state = decide(None, "shop", "production", request("promote", "1", source="staging", ci="https://ci/7"))
    assert state == StageState(
        format="fapkit-stage/2",
        app="shop",
        stage="production",
        number=1,
        action="promote",
        version="1",
        digest=hashlib.sha256(b"1").hexdigest(),
        frozen=False,
        source="staging",
        who="ann",
        why="",
        at=AT,
        operation="op",
        origin="op",
        previous="",
        ci="https://ci/7",
        bad=(),
    )


def test_the_next_entry_names_the_bytes_of_the_one_before() -> None:
    first, second = after(request("promote", "1"), request("promote", "2"))
    assert second.state.number == 2
    assert second.state.previous == first.sha256
    assert first.sha256 == hashlib.sha256(log_rules.encode(first.state)).hexdigest()


def test_what_is_so_already_stays_the_same_state() -> None:
    (entry,) = after(request("promote", "1"))
    assert decide(entry, "shop", "production", request("promote", "1", who="bob")) is entry.state
    assert decide(entry, "shop", "production", request("unfreeze")) is entry.state


def test_freezing_keeps_the_version() -> None:
    entries = after(request("promote", "1"), request("freeze", why="sale"), request("unfreeze"))
    assert [(e.state.version, e.state.frozen) for e in entries] == [("1", False), ("1", True), ("1", False)]
    assert len({e.state.digest for e in entries}) == 1


@pytest.mark.parametrize("action", ["promote", "rollback"])
def test_a_frozen_stage_refuses_with_the_reason(action: Action) -> None:
    *_, frozen = after(request("promote", "1"), request("freeze", why="sale", who="bob"))
    with pytest.raises(StoreError, match="production is frozen by bob: sale") as error:
        decide(frozen, "shop", "production", request(action, "2"))
    assert "fapstore unfreeze shop production" in error.value.hint


def test_a_frozen_stage_is_content_with_the_version_it_has() -> None:
    *_, frozen = after(request("promote", "1"), request("freeze", why="sale"))
    assert decide(frozen, "shop", "production", request("promote", "1")) is frozen.state


def test_there_is_nothing_to_freeze() -> None:
    with pytest.raises(NotFoundError, match="has no version yet"):
        decide(None, "shop", "production", request("freeze", why="sale"))


def test_an_entry_is_an_envelope_that_keeps_the_bytes_of_its_statement() -> None:
    state = decide(None, "shop", "production", request("promote", "1"))
    data = log_rules.encode(state)
    envelope = msgspec.json.decode(data, type=Envelope)
    assert bytes(envelope.statement) in data
    assert msgspec.json.decode(envelope.statement, type=StageState) == state
    assert envelope.signatures == ()
    assert msgspec.json.decode(envelope.statement)["at"] == "2026-11-22T18:54:09Z"


def test_a_later_version_may_state_more() -> None:
    data = log_rules.encode(decide(None, "shop", "production", request("promote", "1")))
    more = data.replace(b'"frozen"', b'"approvals":["bob"],"frozen"')
    assert log_rules.decode(more, "shop", "production", 1).sha256 == hashlib.sha256(more).hexdigest()


@pytest.mark.parametrize(
    "place", [("blog", "production", 1), ("shop", "staging", 1), ("shop", "production", 2)]
)
def test_an_entry_is_of_one_place(place: tuple[str, str, int]) -> None:
    data = log_rules.encode(decide(None, "shop", "production", request("promote", "1")))
    with pytest.raises(VerificationError, match="belongs to entry 1 of shop production"):
        log_rules.decode(data, *place)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"version":"1"', b'"version":"1; reboot"'),
        (b'"version":"1"', b'"version":"../2"'),
        (b'"digest":"', b'"digest":"x'),
    ],
)
def test_an_entry_names_nothing_that_could_be_typed_to_harm(before: bytes, after: bytes) -> None:
    data = log_rules.encode(decide(None, "shop", "production", request("promote", "1")))
    assert before in data
    with pytest.raises(VerificationError, match="entry 1 of shop production: "):
        log_rules.decode(data.replace(before, after), "shop", "production", 1)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"statement": {}}', b"<html>", b'{"statement": 1}'])
def test_what_is_no_entry(data: bytes) -> None:
    with pytest.raises(VerificationError, match="can't be read"):
        log_rules.decode(data, "shop", "production", 1)


def test_a_changed_entry_breaks_the_chain() -> None:
    first, second = after(request("promote", "1"), request("promote", "2"))
    log_rules.check_chain([first, second])
    with pytest.raises(VerificationError, match="before entry 2 was changed"):
        log_rules.check_chain([LogEntry(first.state, "0" * 64, first.sealed), second])


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", None),
        ("1", None),
        ("1 2", "1"),
        ("1 2 3", "2"),
        ("1 2 3 -2", "1"),
        ("1 2 3 -2 -1", None),
        ("1 2 3 -1", None),
        ("1 2 3 -2 4", "2"),
        ("1 2 3 -2 4 -2", "1"),
        ("1 2 1", "2"),
        ("1 f u 2 f u", "1"),
        ("1 2 f u -1", None),
    ],
)
def test_where_a_rollback_goes(log: str, expected: str | None) -> None:
    requests = []
    for word in log.split():
        if word in "fu":
            requests.append(request("freeze" if word == "f" else "unfreeze"))
        elif word.startswith("-"):
            requests.append(request("rollback", word[1:]))
        else:
            requests.append(request("promote", word))
    assert version_before(entry.state for entry in reversed(after(*requests))) == expected


def by_a_stack(words: list[str]) -> str | None:
    """What `version_before` is to give, by the whole log from its start; `0` is nothing at all."""
    stack: list[str] = []
    for word in words:
        version = word[-1]
        if version == "0":
            stack.clear()
        elif word[0] == "-" and version in stack:
            while stack[-1] != version:
                stack.pop()
        elif not stack or stack[-1] != version:
            stack.append(version)
    return stack[-2] if len(stack) > 1 else None


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.sampled_from(["1", "2", "3", "4", "-1", "-2", "-3", "-4", "-0"]), max_size=14))
def test_read_backwards_a_log_says_the_same(words: list[str]) -> None:
    first = decide(None, "shop", "production", request("promote", "1"))
    log = [
        msgspec.structs.replace(
            first,
            number=number,
            action="rollback" if word[0] == "-" else "promote",
            version=word[-1].replace("0", ""),
            digest="" if word[-1] == "0" else first.digest,
        )
        for number, word in enumerate(words, 1)
    ]
    assert version_before(reversed(log)) == by_a_stack(words)


def test_of_a_long_log_the_end_is_enough() -> None:
    log = [entry.state for entry in after(*(request("promote", str(n)) for n in range(9)))]
    unread = iter(log[::-1])
    assert version_before(unread) == "7"
    assert [state.version for state in unread] == list("6543210")


@pytest.mark.parametrize(
    ("past", "words"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(hours=3, minutes=59), "3 hours ago"),
        (timedelta(days=40), "40 days ago"),
        (timedelta(days=-3), "just now"),
    ],
)
def test_how_long_ago(past: timedelta, words: str) -> None:
    assert text.ago(AT - past, AT) == words


def test_history_reads_as_sentences() -> None:
    promoted, frozen = after(
        request("promote", "1", source="staging", why="the sale"), request("freeze", why="sale", who="bob")
    )
    assert wording.sentence(promoted.state) == "ann promoted 1 from staging: the sale"
    assert wording.sentence(frozen.state) == "bob froze it at 1: sale"
