"""Times in cron's syntax, and the same times for systemd, with systemd itself as the judge."""

import re
import subprocess
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faprelease.config import cron

NOW = datetime(2026, 11, 30, 15, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("0 3 * * *", ["*-*-* 03:00:00 UTC"]),
        ("  0   3 * * * ", ["*-*-* 03:00:00 UTC"]),
        ("@daily", ["*-*-* 00:00:00 UTC"]),
        ("@Weekly", ["Sun *-*-* 00:00:00 UTC"]),
        ("@annually", ["*-01-01 00:00:00 UTC"]),
        ("* * * * *", ["*-*-* *:*:00 UTC"]),
        ("*/15 8-18 * * MON-fri", ["Mon..Fri *-*-* 08..18:00,15,30,45:00 UTC"]),
        ("0 0 * jan,mar-jul/2 7", ["Sun *-01,03,05,07-* 00:00:00 UTC"]),
        ("0 0 * * 5-7", ["Fri..Sun *-*-* 00:00:00 UTC"]),
        ("0 9,10 * * 0,1", ["Mon,Sun *-*-* 09,10:00:00 UTC"]),
        ("0 0 */2 * *", ["*-*-01,03,05,07,09,11,13,15,17,19,21,23,25,27,29,31 00:00:00 UTC"]),
        # Cron runs on a day that matches either; one event of systemd would need both.
        ("5 4 1,15 * sun", ["Sun *-*-* 04:05:00 UTC", "*-*-01,15 04:05:00 UTC"]),
        ("0 0 1-31 * 1", ["*-*-* 00:00:00 UTC"]),
        ("0 0 29 2 *", ["*-02-29 00:00:00 UTC"]),
    ],
)
def test_a_time_is_the_same_for_systemd(at: str, expected: list[str]) -> None:
    assert list(cron.calendars(cron.fields(at), "UTC")) == expected


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("@reboot", "'@reboot' is not a time"),
        ("", "is not a time in cron's syntax"),
        ("0 3 * *", "is not a time in cron's syntax"),
        ("0 0 3 * * *", "is not a time in cron's syntax"),
        ("0 0 L * *", "is not a time in cron's syntax"),
        ("0 0 * * 1#2", "is not a time in cron's syntax"),
        ("0 0 ? * 1", "is not a time in cron's syntax"),
        ("5/15 * * * *", "is not a time in cron's syntax"),
        ("0 3 * * *\n* * * * * evil", "is not a time in cron's syntax"),
        ("0\n3 * * * * rm", "is not a time in cron's syntax"),
        ("٣ 3 * * *", "is not a time in cron's syntax"),
        ("60 * * * *", "is not a time: bad minute"),
        ("*/0 * * * *", "is not a time: bad minute"),
        ("0 0 * * fri-mon", "is not a time: bad day-of-week"),
        ("0 0 * foo *", "is not a time: bad month"),
        ("0 0 31 feb,apr *", "is not a time: bad day-of-month"),
        ("0 0 */2 * 1", "implementations of cron disagree"),
        ("0 0 1 * */2", "implementations of cron disagree"),
    ],
)
def test_what_one_of_them_can_not_say_is_refused(at: str, message: str) -> None:
    with pytest.raises(cron.CronError, match=re.escape(message)) as refused:
        cron.fields(at)
    assert refused.value.hint


def test_a_word_is_five_fields() -> None:
    for word in cron.WORDS:
        assert len(cron.fields(word).split()) == 5


def field(least: int, most: int) -> st.SearchStrategy[str]:
    number = st.integers(least, most)
    pair = st.tuples(number, number).map(sorted)
    step = st.integers(1, 20)
    item = st.one_of(
        number.map(str),
        pair.map(lambda two: f"{two[0]}-{two[1]}"),
        st.tuples(pair, step).map(lambda three: f"{three[0][0]}-{three[0][1]}/{three[1]}"),
    )
    return st.one_of(
        st.just("*"), step.map(lambda n: f"*/{n}"), st.lists(item, min_size=1, max_size=3).map(",".join)
    )


TIMES = st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7)).map(" ".join)


@settings(deadline=None, max_examples=5)
@given(st.lists(TIMES, min_size=40, max_size=40))
def test_the_next_run_is_that_of_systemd(times: list[str]) -> None:
    wanted = {}
    for at in times:
        try:
            wanted[cron.fields(at)] = cron.calendars(cron.fields(at), "UTC")
        except cron.CronError:
            continue
    events = [event for each in wanted.values() for event in each]
    command = ["systemd-analyze", "calendar", f"--base-time={NOW:%Y-%m-%d %H:%M:%S} UTC", *events]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env={"TZ": "UTC"}).stdout
    found = dict(zip(events, re.findall("Next elapse: (.*)", said), strict=True))
    for text, each in wanted.items():
        by_systemd = min(datetime.strptime(found[event], "%a %Y-%m-%d %H:%M:%S UTC") for event in each)
        assert cron.next_run(text, "UTC", NOW).replace(tzinfo=None) == by_systemd, (text, each)


def test_the_next_run_goes_by_its_time_zone() -> None:
    assert cron.next_run("0 3 * * *", "Europe/Berlin", NOW).isoformat() == "2026-12-01T03:00:00+01:00"
