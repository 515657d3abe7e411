"""What a plan's execution decides by itself."""

import threading
import time

import pytest

from faprelease.errors import VerificationError
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
