"""The events of a run, as values. `--json-lines` prints them, and all outputs are made from them."""

from typing import Any, TypeVar

import click
import msgspec

from artifact_store.core import text
from artifact_store.records.releases import Outcome
from faprelease.plan.preview import Preview
from faprelease.report.waiting import LongStep
from faprelease.steps.place import Place

E = TypeVar("E", bound="RunEvent")


class RunEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """An event of a run; its kind is `event` in JSON."""


class HostEvent(RunEvent, frozen=True, kw_only=True):
    """An event on a host, in a role."""

    host: str
    role: str

    @property
    def place(self) -> Place:
        """The host and the role."""
        return Place(self.host, self.role)


class Connecting(RunEvent, frozen=True, kw_only=True, tag="connecting"):
    """The run connects to the hosts, locks and inspects them; each is given as `web1 (web)`."""

    hosts: tuple[str, ...]


class Planned(RunEvent, frozen=True, kw_only=True, tag="planned"):
    """A plan that is only shown; with its exact `scripts`, if they were requested."""

    plan: Preview
    scripts: tuple[str, ...] = ()


class Began(RunEvent, frozen=True, kw_only=True, tag="began"):
    """A plan begins on these hosts."""

    title: str
    hosts: tuple[str, ...]


class PhaseBegan(RunEvent, frozen=True, kw_only=True, tag="phase"):
    """A phase begins on all hosts of a plan, or of a batch."""

    phase: str


class PhaseEnded(RunEvent, frozen=True, kw_only=True, tag="phase_ended"):
    """A phase succeeded on every host."""

    phase: str
    seconds: float


class HostBegan(HostEvent, frozen=True, kw_only=True, tag="host"):
    """A host begins a phase, with this step."""

    phase: str
    step: str


class Fetched(HostEvent, frozen=True, kw_only=True, tag="fetched"):
    """The number of bytes that a host has fetched so far, about once a second."""

    bytes: int


class StepEnded(HostEvent, frozen=True, kw_only=True, tag="step"):
    """A step ended; `output` is the end of what it printed, without secrets; `next` is the step after it."""

    phase: str
    step: str
    code: int
    seconds: float
    output: str
    shown: bool = False
    """Show its output without -v too."""
    next: str = ""
    fetched: int = 0
    """The number of bytes that it fetched."""


class Waiting(RunEvent, frozen=True, kw_only=True, tag="waiting"):
    """Some hosts have been at one step for long; it is repeated every half minute."""

    steps: tuple[LongStep, ...]


class HostEnded(HostEvent, frozen=True, kw_only=True, tag="host_ended"):
    """The outcome of the rollout on a host, and the release that is live there now (empty: none, or
    unknown)."""

    outcome: Outcome
    release: str


class Said(RunEvent, frozen=True, kw_only=True, tag="said"):
    """A message for people."""

    text: str
    good: bool = False
    """It reports a success."""


class Ended(RunEvent, frozen=True, kw_only=True, tag="ended"):
    """The end of the run; `--json` prints only this."""

    verb: str
    title: str
    exit_code: int
    error: str
    hint: str
    hosts: tuple[HostEnded, ...]
    seconds: float
    plan: Preview | None
    """The plan, if the run only showed it."""
    log: str
    """The path of the full log; empty if there is none."""


def plain(event: E) -> E:
    """The event without colours and control characters: what hosts print never moves a terminal."""
    return msgspec.convert(_plain(msgspec.to_builtins(event)), type(event))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return text.plain(click.unstyle(value))
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
