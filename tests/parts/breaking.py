"""The command `faprelease`, with a fault put into one step of its plan.

`main` takes HOST NUMBER FAULT before faprelease's own words: the NUMBERth step, counted from 0, of all that a
release has for HOST.
"""

import sys
from dataclasses import dataclass, replace
from typing import Any

from faprelease import cli
from faprelease.run.run import ConnectedHosts, Run
from faprelease.steps.model import HostPlan, Phase, Plan, Step
from faprelease.transports import session

PARTS = ("prepare", "once", "publish", "finish")
HANG_SECONDS = 1
"""How long a step that hangs may take, and how much longer its controller waits."""


@dataclass(frozen=True)
class Fault:
    """What becomes of a step. `{step}` stands for what it does; where that is missing, it never runs."""

    script: str
    limit: int = 0
    """How long it may take instead of its own limit, in seconds."""
    cuts: str = ""
    """Whose power is cut once the step is `held`: the host's, or the controller's."""

    def put_into(self, step: Step) -> Step:
        limit = self.limit or step.limit
        if "{step}" not in self.script:
            return replace(step, script=self.script, stdin="", limit=limit)
        return replace(step, script=self.script.replace("{step}", f"(\n{step.script}\n)"), limit=limit)


HELD = "held"
"""The file in its home by which a host says that a step is held."""
_FAIL = "exit 9"
# The parent of the session's shell is the sshd that holds the connection.
_CUT = 'set -- $(sed "s/.*) //" "/proc/$FAP_SESSION/stat") && kill -9 "$2" && sleep 5'
_HANG = "exec sleep 3388"
_HOLD = f'touch "$HOME/{HELD}" && {_HANG}'
_FILL = 'mkdir "$HOME/ballast"; cat /dev/zero >"$HOME/ballast/zeros" 2>/dev/null'
_FILL_NAMES = 'mkdir "$HOME/ballast"; ( cd "$HOME/ballast" && seq 99999 | xargs touch ) 2>/dev/null'
FAULTS = {
    "fails": Fault(_FAIL),
    "fails after it ran": Fault(f"{{step}}\n{_FAIL}"),
    "is cut off": Fault(_CUT),
    "is cut off after it ran": Fault(f"{{step}}\n{_CUT}"),
    "hangs": Fault(_HANG, limit=HANG_SECONDS),
    "hangs after it ran": Fault(f"{{step}}\n{_HANG}", limit=HANG_SECONDS),
    "loses its host": Fault(_HOLD, cuts="host"),
    "loses its host after it ran": Fault(f"{{step}}\n{_HOLD}", cuts="host"),
    "loses its controller": Fault(_HOLD, cuts="controller"),
    "loses its controller after it ran": Fault(f"{{step}}\n{_HOLD}", cuts="controller"),
    "finds the disk full": Fault(f"{_FILL}\n{{step}}"),
    "finds no inode left": Fault(f"{_FILL_NAMES}\n{{step}}"),
}


def steps_of(host: HostPlan) -> list[Step]:
    """All steps that a release that goes well has for a host, in order."""
    return [step for part in PARTS for phase in getattr(host, part) for step in phase.steps]


def breaking(plan: Plan, host: str, number: int, fault: Fault) -> Plan:
    """The plan with the fault in one step of one host."""

    def changed(each: HostPlan) -> HostPlan:
        if each.place.host != host:
            return each
        count, parts = -1, {}
        for part in PARTS:
            phases = []
            for phase in getattr(each, part):
                steps = []
                for step in phase.steps:
                    count += 1
                    steps.append(fault.put_into(step) if count == number else step)
                phases.append(Phase(phase.name, tuple(steps)))
            parts[part] = tuple(phases)
        return replace(each, **parts)

    return replace(plan, hosts=tuple(changed(each) for each in plan.hosts))


def main() -> None:
    """Run the command that is named in the arguments."""
    host, number, name = sys.argv[1:4]
    del sys.argv[1:4]
    fault, execute = FAULTS[name], Run.execute
    if fault.limit:
        session.ANSWER_SECONDS = HANG_SECONDS

    def carry_out_broken(run: Run, plan: Plan, connected: ConnectedHosts, *rest: Any) -> None:
        execute(run, breaking(plan, host, int(number), fault), connected, *rest)

    Run.execute = carry_out_broken  # type: ignore[method-assign]
    cli.main()
