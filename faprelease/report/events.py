"""What happens in a run, as values: `--json-lines` prints them, and every face is made from them."""

from typing import Any, TypeVar

import msgspec

from artifact_store.core import text
from artifact_store.records.releases import Outcome
from faprelease.plan.preview import Preview
from faprelease.steps.place import Place

E = TypeVar("E", bound="RunEvent")


class RunEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """One thing that happened; its kind is `event` in JSON."""


class HostEvent(RunEvent, frozen=True, kw_only=True):
    """Something that happened on a host, in a role."""

    host: str
    role: str

    @property
    def place(self) -> Place:
        """The host and the role."""
        return Place(self.host, self.role)


class Connecting(RunEvent, frozen=True, kw_only=True, tag="connecting"):
    """The hosts are connected to, locked and looked at; each as `web1 (web)`."""

    hosts: tuple[str, ...]


class Planned(RunEvent, frozen=True, kw_only=True, tag="planned"):
    """What would be done; `scripts` are the very ones, where they were asked for."""

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
    """Every host is through with it, and well."""

    phase: str
    seconds: float


class HostBegan(HostEvent, frozen=True, kw_only=True, tag="host"):
    """A host begins a phase, with this step."""

    phase: str
    step: str


class Fetched(HostEvent, frozen=True, kw_only=True, tag="fetched"):
    """A host is fetching, and has so many bytes by now; about once a second."""

    bytes: int


class StepEnded(HostEvent, frozen=True, kw_only=True, tag="step"):
    """A step ended; `output` is the end of what it printed, without secrets; `next` is the step after it."""

    phase: str
    step: str
    code: int
    seconds: float
    output: str
    shown: bool = False
    """What it printed is shown without -v too."""
    next: str = ""
    fetched: int = 0
    """How many bytes it fetched."""


class HostEnded(HostEvent, frozen=True, kw_only=True, tag="host_ended"):
    """What became of the rollout on a host, which runs `release` now (empty: nothing, or nobody knows)."""

    outcome: Outcome
    release: str


class Said(RunEvent, frozen=True, kw_only=True, tag="said"):
    """Something for people."""

    text: str
    good: bool = False
    """It reports a success."""


class Ended(RunEvent, frozen=True, kw_only=True, tag="ended"):
    """The whole run: `--json` prints this alone."""

    verb: str
    title: str
    exit_code: int
    error: str
    hint: str
    hosts: tuple[HostEnded, ...]
    seconds: float
    plan: Preview | None
    """What would be done, where that was asked for."""
    log: str
    """Where all that was said and done is kept."""


def plain(event: E) -> E:
    """The event without control characters: what hosts print and record never moves a terminal."""
    return msgspec.convert(_plain(msgspec.to_builtins(event)), type(event))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return text.plain(value)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
