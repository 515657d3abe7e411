"""The steps that hosts are at, and since when. Pure."""

from dataclasses import dataclass

import msgspec

from faprelease.steps.model import Phase, Result, Step
from faprelease.steps.place import Place

LOST_SECONDS = 60
"""How long after its time limit a step is no longer waited for, in seconds: its host was lost."""
UNLIMITED = 86400
"""A time limit from which on a step has none that people would wait for, in seconds."""


class LongStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step that has run for some time on some hosts, given as `web1 (web)`. `at_most` is its time limit, or
    how long the stop of a program may take, in seconds; 0 if that is not known."""

    hosts: tuple[str, ...]
    step: str
    seconds: int
    at_most: int

    def __str__(self) -> str:
        limit = f" of at most {self.at_most} s" if self.at_most else ""
        return f"{', '.join(self.hosts)}: {self.step}, {self.seconds} s{limit}"


@dataclass(frozen=True)
class _Running:
    steps: tuple[Step, ...]
    """This step, and those after it in its phase."""
    began: float
    stop: int


class Waiting:
    """What each host of a run waits for."""

    def __init__(self) -> None:
        self._running: dict[Place, _Running] = {}

    def begin(self, place: Place, phase: Phase, now: float) -> None:
        """A host begins a phase at the time `now`, in seconds of a clock."""
        self._running[place] = _Running(phase.steps, now, 0)

    def end_step(self, place: Place, result: Result, now: float) -> None:
        """A host ended a step of its phase."""
        running = self._running.pop(place, None)
        if running and len(running.steps) > 1 and result.code == 0:
            stop = int(result.facts.get("stop", 0))
            self._running[place] = _Running(running.steps[1:], now, stop)

    def end(self, place: Place) -> None:
        """A host does nothing more in this run."""
        self._running.pop(place, None)

    def longer_than(self, seconds: float, now: float) -> tuple[LongStep, ...]:
        """The steps that have run for so long; hosts that are at the same step share one."""
        groups: dict[tuple[str, int], list[tuple[str, float]]] = {}
        for place, running in self._running.items():
            step = running.steps[0]
            at_most = running.stop or (step.limit if step.limit < UNLIMITED else 0)
            if seconds <= now - running.began <= step.limit + LOST_SECONDS:
                groups.setdefault((step.title, at_most), []).append((str(place), running.began))
        return tuple(
            LongStep(
                hosts=tuple(sorted(place for place, _ in hosts)),
                step=title,
                seconds=int(now - min(began for _, began in hosts)),
                at_most=at_most,
            )
            for (title, at_most), hosts in groups.items()
        )
