"""Which steps have taken long, on which hosts."""

from faprelease.report.waiting import LongStep, Waiting
from faprelease.steps.model import Phase, Result, Step
from faprelease.steps.place import Place

READ = Step(title="read", script=":", limit=60)
RESTART = Step(title="restart shop", script=":", limit=86400)
CHECK = Step(title="check it", script=":", limit=120)
PHASE = Phase("published", (READ, RESTART, CHECK))
WEB1, WEB2 = Place("web1", "web"), Place("web2", "web")


def step(*hosts: str, title: str = "restart shop", seconds: int, at_most: int = 0) -> LongStep:
    return LongStep(hosts=hosts, step=title, seconds=seconds, at_most=at_most)


def test_hosts_at_one_step_share_a_line() -> None:
    waiting = Waiting()
    for place, at in ((WEB2, 0), (WEB1, 2)):
        waiting.begin(place, PHASE, at)
        waiting.end_step(place, Result(READ, 0, "", 1, {"stop": "600"}), at + 1)
    assert waiting.longer_than(30, 30) == ()
    assert waiting.longer_than(30, 31.5) == (step("web2 (web)", seconds=30, at_most=600),)
    (both,) = waiting.longer_than(30, 96)
    assert both == step("web1 (web)", "web2 (web)", seconds=95, at_most=600)
    assert str(both) == "web1 (web), web2 (web): restart shop, 95 s of at most 600 s"


def test_the_limit_of_a_step_is_shown_unless_it_has_none() -> None:
    waiting = Waiting()
    waiting.begin(WEB1, PHASE, 0)
    assert waiting.longer_than(30, 40) == (step("web1 (web)", title="read", seconds=40, at_most=60),)
    waiting.end_step(WEB1, Result(READ, 0, "", 40), 40)
    (restart,) = waiting.longer_than(30, 80)
    assert str(restart) == "web1 (web): restart shop, 40 s"
    waiting.end_step(WEB1, Result(RESTART, 0, "", 50), 90)
    assert waiting.longer_than(30, 100) == ()
    assert waiting.longer_than(30, 130) == (step("web1 (web)", title="check it", seconds=40, at_most=120),)


def test_nobody_waits_for_what_ended_or_failed() -> None:
    waiting = Waiting()
    waiting.begin(WEB1, Phase("checking", (CHECK,)), 0)
    waiting.begin(WEB2, PHASE, 0)
    waiting.end_step(WEB1, Result(CHECK, 0, "", 1), 1)
    waiting.end_step(WEB2, Result(READ, 1, "", 1), 1)
    assert waiting.longer_than(0, 30) == ()
    waiting.begin(WEB1, PHASE, 0)
    waiting.end(WEB1)
    assert waiting.longer_than(0, 30) == ()


def test_a_host_that_was_lost_is_not_waited_for() -> None:
    """It ends no step, and answers nothing within the limit of the one that it was at."""
    waiting = Waiting()
    waiting.begin(WEB1, PHASE, 0)
    assert waiting.longer_than(30, 110) != ()
    assert waiting.longer_than(30, 200) == ()
