"""What a host says of itself: one read-only step, and the frozen value its answer becomes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from faprelease.config.target import Target
from faprelease.errors import FapError
from faprelease.steps.layout import is_release_id
from faprelease.steps.model import Step, host_script
from faprelease.steps.place import Place

T = TypeVar("T")
Verb = Literal["release", "rollback"]
_KEY = re.compile(r"[0-9a-f]{64}")


class Unpacked(msgspec.Struct, frozen=True, kw_only=True):
    """`<id>.artifact.json`: what a host found in the file it unpacked. The names are empty for an archive
    that `fapbuild` did not make."""

    digest: str
    app: str = ""
    version: str = ""
    commit: str = ""


class Freeze(msgspec.Struct, frozen=True, kw_only=True):
    """`frozen`: who keeps everybody from releasing, since when (RFC 3339, UTC), and why."""

    who: str
    at: str
    why: str

    def __str__(self) -> str:
        return f"frozen by {self.who} at {self.at}: {self.why}"


State = Literal["preparing", "ready", "live", "retired", "failed", "bad"]
"""How far a release came. `failed` was never published; `bad` was, and was left by a rollback or an undo."""
FOLLOWING: Mapping[State, frozenset[State]] = {
    "preparing": frozenset(["ready", "failed", "bad"]),
    "ready": frozenset(["live", "failed", "bad"]),
    "live": frozenset(["retired", "bad"]),
    "retired": frozenset(["live", "bad"]),
    "failed": frozenset(["bad"]),
    "bad": frozenset(["live"]),
}
"""What may follow each state. Each may also be written again, by a run that finishes what another one began;
and whatever `current` names is bad once a rollback leaves it."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The last line of `<id>.jsonl`."""

    state: State
    previous: str = ""
    """The release that was live when this one was prepared: where a rollback goes."""
    by: str = ""
    at: str = ""
    """Since when it has been in this state (RFC 3339, UTC)."""
    config: str = ""
    """The digest of its configuration (`config_digest`); empty for what an earlier version released."""

    def changed(self, state: State, at: str) -> "Record":
        """The record with a new state since `at`; raises ValueError for one that can't follow."""
        if state != self.state and state not in FOLLOWING[self.state]:
            raise ValueError(f"a release that is {self.state} can't become {state}")
        return msgspec.structs.replace(self, state=state, at=at)


class Rollout(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`rollout.jsonl`: what is to become of this host, written just before `current` moves. Lines with the
    same id follow, for `passed` and `ended`; without an end the rollout was cut off."""

    id: str
    verb: Verb
    release: str
    """The release that all hosts are to run."""
    previous: str = ""
    """What this host goes back to, empty if there is no release of ours to go back to."""
    foreign: str = ""
    """What `current` said instead of that."""
    by: str = ""
    copy_of: str = ""
    """The release of this host that it is a rollback to, with a configuration of its own."""
    entry: int = 0
    """The number of the stage's log entry that is released; 0 for a URL, and for a rollback."""
    stage: str = ""
    """The stage whose log the host knows; below the entry of it that was released last, by this rollout or by
    one before it, and the log's origin."""
    seen: int = 0
    origin: str = ""
    hosts: tuple[Place, ...] = ()
    """Every host and role that takes part."""
    passed: bool = False
    """The release was published on this host, and its gate was passed."""
    ended: Literal["", "finished", "undone", "kept"] = ""


class SeenEntry(NamedTuple):
    """The last entry of its stage's log that was released to a host; 0 for none."""

    number: int = 0
    origin: str = ""
    """The origin of the log; empty if it is not known."""


class CommandRun(msgspec.Struct, frozen=True, kw_only=True):
    """`release_command.jsonl`: the last run of a release's own command on this host."""

    release: str
    at: str
    by: str
    artifact: Unpacked | None = None
    exit: int | None = None
    """None where it was cut off: nobody knows how far it came."""


@dataclass(frozen=True)
class Release:
    """One release on one host; `artifact` is None until something was unpacked."""

    id: str
    record: Record
    artifact: Unpacked | None
    present: bool
    """Its folder is there."""

    @property
    def is_good(self) -> bool:
        """Its checks passed, it was not left as bad, and its folder is there: a rollback may go to it."""
        return self.present and self.record.state in ("live", "retired")

    @property
    def is_bad(self) -> bool:
        """It was left as bad, and its folder is there."""
        return self.present and self.record.state == "bad"


@dataclass(frozen=True, kw_only=True)
class HostState:
    """All that a plan is decided from."""

    current: str
    """The id that `current` names, empty if it names nothing."""
    link: str
    """What `current` says where it names no folder in `releases/`, empty otherwise."""
    blocked: str
    """What stands where `current` should be and is no link, empty if nothing does."""
    releases: tuple[Release, ...]
    """Those with a record, oldest first."""
    taken: tuple[str, ...]
    """Every release id in use on the host, with a folder or a record."""
    tools: frozenset[str]
    missing: tuple[str, ...]
    """Linked files that are not in `shared/`."""
    free: int
    """Free disk space, in bytes."""
    unwritable: str
    """The folder that should be written to and can't, empty if it can."""
    locked: str
    """Who holds the lock, empty if nobody does."""
    frozen: Freeze | None = None
    """Who keeps everybody from releasing."""
    manager: str = ""
    """Who managed it last, where that was written down; see `managing`."""
    key: str = ""
    """The key for digests of configurations, in hexadecimal; empty before the first release."""
    rollout: Rollout | None = None
    """The last rollout that reached this host."""
    processes: str = ""
    """What the live release tells its process manager to run, where `processes` says it."""
    command: CommandRun | None = None
    """The last `release_command` that this host ran."""

    def release(self, release_id: str) -> Release | None:
        """The release of that id, if the host has a record of it."""
        return next((release for release in self.releases if release.id == release_id), None)

    def seen(self, stage: str) -> SeenEntry:
        """What the host knows of the log of `stage`. A rollout of an earlier version names no stage."""
        last = self.rollout
        if last is None or last.stage not in ("", stage):
            return SeenEntry()
        return SeenEntry(last.seen or last.entry, last.origin)

    def last_good(self, *, before: str = "") -> Release | None:
        """Where a rollback from the release `before` (default: the current one) goes: what it recorded as
        its previous one, and so on back, to the first that was live and is still there."""
        seen: set[str] = set()
        leaving = self.release(before or self.current)
        while leaving and leaving.record.previous and leaving.id not in seen:
            seen.add(leaving.id)
            candidate = self.release(leaving.record.previous)
            if candidate and candidate.is_good and candidate.id not in seen:
                return candidate
            leaving = candidate
        return None


def probe(target: Target) -> Step:
    """The step that reads a host; it changes nothing."""
    layout = target.layout
    return host_script(
        "inspect the host",
        "look/probe",
        stdin="\n".join(target.settings.linked_files),
        path=layout.path,
        current=layout.current,
        releases=layout.releases,
        shared=layout.shared,
        state=layout.state,
    )


def parse(output: str) -> HostState:
    """Read the answer of `probe`; raises FapError if a record on the host is damaged."""
    lines = [tuple(line.split(" ", 1)) for line in output.splitlines() if " " in line]
    one = {
        word: rest
        for word, rest in lines
        if word in ("current", "link", "blocked", "free", "unwritable", "locked", "frozen", "manager", "key")
    }
    folders = {rest for word, rest in lines if word == "folder" and is_release_id(rest)}
    records = _by_id(lines, "record", Record)
    artifacts = _by_id(lines, "artifact", Unpacked)
    if "free" not in one:
        said = output.replace(one.get("key") or "\0", "***")[-500:]
        raise FapError("the host's answer can't be read", hint=f"its shell printed: {said or 'nothing'}")
    current = one.get("current", "")
    if current in folders:
        # What another tool published under such a name is taken over as it stands.
        records.setdefault(current, Record(state="live"))
    return HostState(
        current=current if is_release_id(current) else "",
        link=one.get("link", ""),
        blocked=one.get("blocked", ""),
        releases=tuple(
            Release(name, records[name], artifacts.get(name), name in folders) for name in sorted(records)
        ),
        taken=tuple(sorted(folders | set(records))),
        tools=frozenset(rest for word, rest in lines if word == "tool"),
        missing=tuple(rest for word, rest in lines if word == "missing"),
        free=_kib(one["free"]),
        unwritable=one.get("unwritable", ""),
        locked=one.get("locked", ""),
        frozen=read_freeze(one["frozen"]) if "frozen" in one else None,
        manager=one.get("manager", ""),
        key=key if _KEY.fullmatch(key := one.get("key", "")) else "",
        rollout=_rollout([rest for word, rest in lines if word == "rollout"]),
        processes="\n".join(rest for word, rest in lines if word == "process"),
        command=_command([rest for word, rest in lines if word == "command"]),
    )


def _kib(text: str) -> int:
    """Return a number of KiB as bytes; raises FapError for anything else."""
    if not re.fullmatch(r"\d{0,15}", text, re.ASCII):
        raise FapError(f"the host's answer can't be read: free {text[:60]!r}", hint="look at `df -Pk` there")
    return int(text or 0) * 1024


def read_freeze(line: str) -> Freeze:
    """Read the file of a freeze; one that can't be read keeps everybody from releasing too."""
    try:
        return msgspec.json.decode(line, type=Freeze)
    except msgspec.MsgspecError:
        return Freeze(who="someone", at="some time", why=line)


def _rollout(lines: list[str]) -> Rollout | None:
    try:
        first, *others = [msgspec.json.decode(line, type=dict[str, Any]) for line in lines] or [{}]
        if "verb" not in first:
            return None
        for each in others:
            if each["id"] == first["id"]:
                first |= each
        rollout = msgspec.convert(first, Rollout)
        ids = (rollout.release, *filter(None, (rollout.previous, rollout.copy_of)))
        if not all(map(is_release_id, ids)):
            raise ValueError(f"{', '.join(ids)}: not the ids of releases")
        return rollout
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise FapError(
            f"the record of the last rollout is damaged: {error}",
            hint="inspect .fap/rollout.jsonl on the host and move it away",
        ) from error


def _command(lines: list[str]) -> CommandRun | None:
    try:
        said = {
            key: value
            for line in lines
            for key, value in msgspec.json.decode(line, type=dict[str, Any]).items()
        }
        return msgspec.convert(said, CommandRun) if said else None
    except msgspec.MsgspecError as error:
        raise FapError(
            f"the record of the last release_command is damaged: {error}",
            hint="inspect .fap/release_command.jsonl on the host and move it away",
        ) from error


def _by_id(lines: list[tuple[str, ...]], word: str, kind: type[T]) -> dict[str, T]:
    found = {}
    for name, rest in lines:
        if name != word:
            continue
        release_id, _, json = rest.partition(" ")
        if is_release_id(release_id):
            found[release_id] = _decode(release_id, json, kind)
    return found


def _decode(release_id: str, json: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(json, type=kind)
    except msgspec.MsgspecError as error:
        raise FapError(
            f"the record of release {release_id} is damaged: {error}",
            hint=f"inspect .fap/releases/{release_id}.* on the host and move them away",
        ) from error
