"""What a plan's execution decides by itself."""

import threading
import time

import pytest

from faprelease.errors import ReleaseFailedError, VerificationError
from faprelease.report.report import Report
from faprelease.run import execute
from faprelease.steps.layout import Layout
from faprelease.steps.model import HostPlan, Phase, Plan, Step
from faprelease.steps.place import Place
from faprelease.steps.wire import Session
from faprelease.transports import local
from faprelease.transports.session import HostSession

DIGEST = "ab" * 32


class LocalSessions:
    """Each place has a shell of its own on this machine."""

    def __init__(self) -> None:
        self.opened: dict[Place, HostSession] = {}

    def of(self, plan: HostPlan) -> HostSession:
        if plan.place not in self.opened:
            self.opened[plan.place] = HostSession(local.connect(), Session("fap-mark", "token", ()))
        return self.opened[plan.place]

    def renew(self, plan: HostPlan) -> HostSession:
        raise AssertionError("no connection is lost here")


@pytest.mark.parametrize(
    ("facts", "passes"),
    [
        ((f"digest {DIGEST}", f"digest {DIGEST}"), True),
        ((f"digest {DIGEST}", f"digest {'cd' * 32}"), False),
        ((f"digest {DIGEST}", "digest none"), False),
        (("", f"digest {DIGEST}"), False),
        (("", ""), False),
    ],
)
def test_a_binding_step_needs_the_same_digest_on_all_hosts(facts: tuple[str, str], passes: bool) -> None:
    layout = Layout("/x", "/x/current", "/x/releases", "/x/shared")
    hosts = tuple(
        HostPlan(
            place=Place(f"web{number}", "web"),
            layout=layout,
            release="261130-000000",
            previous="",
            config="",
            prepare=(Phase("updating", (_step(fact),)), Phase("updated", (_step("", binding=False),))),
        )
        for number, fact in enumerate(facts)
    )
    sessions, plan = LocalSessions(), Plan("a plan", hosts)
    try:
        if passes:
            execute.run(plan, sessions, Report(), time.monotonic, threading.Event())
        else:
            with pytest.raises(VerificationError, match="compare with the other hosts"):
                execute.run(plan, sessions, Report(), time.monotonic, threading.Event())
    finally:
        for session in sessions.opened.values():
            session.close()


def _step(fact: str, *, binding: bool = True) -> Step:
    return Step(title="say", script=f"printf '\\r%s\\n' '{fact}'", trusted=True, binding=binding)


def test_hosts_that_failed_alike_share_their_lines_and_all_fit_on_a_screen() -> None:
    layout = Layout("/x", "/x/current", "/x/releases", "/x/shared")

    def failing(number: int, script: str) -> HostPlan:
        return HostPlan(
            place=Place(f"web{number}", "web"),
            layout=layout,
            release="261130-000000",
            previous="",
            config="",
            prepare=(Phase("updated", (Step(title="run preflight", script=script),)),),
        )

    loop = "for n in $(seq 100); do echo line $n of $$; done; exit 3"
    hosts = (*(failing(number, loop) for number in (1, 2, 3)), failing(4, "echo no database; exit 1"))
    sessions = LocalSessions()
    with pytest.raises(ReleaseFailedError) as failed:
        execute.run(Plan("a plan", hosts), sessions, Report(), time.monotonic, threading.Event())
    lines = failed.value.message.splitlines()
    assert lines[0] == "a plan: nothing was published"
    assert lines[1] == "  3 hosts (web1 (web), web2 (web), web3 (web)), updated: run preflight: exit 3"
    assert lines[-2:] == ["  web4 (web), updated: run preflight: exit 1", "    no database"]
    assert len(lines) < 24
    assert lines[-3].startswith("    line 100 of ")
    assert str(failed.value.hint).startswith("every host runs what it ran before; fix the problem")
    for session in sessions.opened.values():
        session.close()
