"""The state of a host: one read-only step, and the frozen value parsed from its output."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from faprelease.config.target import Target
from faprelease.errors import FapError
from faprelease.hosts.host_json import (
    Digest,
    DigestOrNone,
    EntryNumber,
    LinkTarget,
    ReleaseId,
    ReleaseIdOrNone,
    decode,
)
from faprelease.steps.layout import is_release_id
from faprelease.steps.model import Step, host_script
from faprelease.steps.place import Place

T = TypeVar("T")
Verb = Literal["release", "rollback"]
_KEY = re.compile(r"[0-9a-f]{64}")


class Unpacked(msgspec.Struct, frozen=True, kw_only=True):
    """The file `<id>.artifact.json`: what was unpacked there. App, version and commit are empty for an
    archive that `fapbuild` did not make."""

    digest: Digest
    root: DigestOrNone = ""
    """The root that a host checked it by; empty if it read the whole."""
    app: str = ""
    version: str = ""
    commit: str = ""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The file `owner`: the deployment that a folder on a host belongs to."""

    app: str
    stage: str
    role: str

    def __str__(self) -> str:
        return f"{self.app} {self.stage} {self.role}"


class Freeze(msgspec.Struct, frozen=True, kw_only=True):
    """The file `frozen`: who froze releases, when (RFC 3339, UTC), and why."""

    who: str
    at: str
    why: str

    def __str__(self) -> str:
        return f"frozen by {self.who} at {self.at}: {self.why}"


State = Literal["preparing", "ready", "live", "retired", "failed", "bad"]
"""The state of a release. A `failed` one was never published; a `bad` one was, and then rolled back."""
FOLLOWING: Mapping[State, frozenset[State]] = {
    "preparing": frozenset(["ready", "failed", "bad"]),
    "ready": frozenset(["live", "failed", "bad"]),
    "live": frozenset(["retired", "bad"]),
    "retired": frozenset(["live", "bad"]),
    "failed": frozenset(["bad"]),
    "bad": frozenset(["live"]),
}
"""The states that may follow each state. The same state may be written again, by a run that finishes an
interrupted one; and a rollback makes the current release bad, whatever its state."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The last line of `<id>.jsonl`."""

    state: State
    previous: ReleaseIdOrNone = ""
    """The release that was live when this one was prepared; a rollback goes back to it."""
    by: str = ""
    at: str = ""
    """When it entered this state (RFC 3339, UTC)."""
    config: str = ""
    """The digest of its configuration (`config_digest`); empty if an earlier version released it."""
    left: bool = False
    """Whether someone rolled back from it by hand; it is bad then."""

    def changed(self, state: State, at: str, *, left: bool = False) -> "Record":
        """Return the record with another state since `at`. Raises ValueError if it can't follow this one."""
        if state != self.state and state not in FOLLOWING[self.state]:
            raise ValueError(f"a release that is {self.state} can't become {state}")
        return msgspec.structs.replace(self, state=state, at=at, left=left)


class Rollout(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The file `rollout.jsonl`, written just before `current` moves. Lines with the same id follow, for
    `passed` and `ended`; without `ended` the rollout was interrupted."""

    id: ReleaseId
    verb: Verb
    release: ReleaseId
    """The release that goes live."""
    previous: ReleaseIdOrNone = ""
    """The release to which this host rolls back; empty if faprelease made none."""
    foreign: LinkTarget = ""
    """What `current` pointed to, if not to a release."""
    by: str = ""
    copy_of: ReleaseIdOrNone = ""
    """The release whose artifact it copies, for a rollback with the current configuration."""
    entry: EntryNumber = 0
    """The number of the stage's log entry that is released; 0 for a URL or a rollback."""
    stage: str = ""
    """The stage whose log the host has seen. `seen` is the last entry of it that was released, by this
    rollout or an earlier one; `origin` is the origin of the log."""
    seen: EntryNumber = 0
    origin: str = ""
    hosts: tuple[Place, ...] = ()
    """Every place that takes part."""
    passed: bool = False
    """Whether the release was published on this host and passed its health check."""
    ended: Literal["", "finished", "undone", "kept"] = ""


class SeenEntry(NamedTuple):
    """The last entry of the stage's log that was released to a host; 0 if there is none."""

    number: int = 0
    origin: str = ""
    """The origin of the log; empty if unknown."""


class CommandRun(msgspec.Struct, frozen=True, kw_only=True):
    """The file `release_command.jsonl`: the last run of `release_command` on this host."""

    release: ReleaseId
    at: str
    by: str
    artifact: Unpacked | None = None
    exit: int | None = None
    """Its exit code; None if it was interrupted, so that its outcome is unknown."""


@dataclass(frozen=True)
class Release:
    """One release on one host. `artifact` is None until it is unpacked."""

    id: str
    record: Record
    artifact: Unpacked | None
    present: bool
    """Whether its folder exists."""

    @property
    def is_good(self) -> bool:
        """Whether a rollback may go back to it: its checks passed, it is not bad, and its folder exists."""
        return self.present and self.record.state in ("live", "retired")

    @property
    def is_bad(self) -> bool:
        """Whether it is marked bad and its folder exists."""
        return self.present and self.record.state == "bad"


@dataclass(frozen=True, kw_only=True)
class HostState:
    """The state of a host, from which plans are made."""

    current: str
    """The id of the release that `current` points to; empty if there is none."""
    link: str
    """What `current` points to if that is not a folder in `releases/`; otherwise empty."""
    blocked: str
    """The path of `current`, or of the link that will replace it, if it is not a link; otherwise empty."""
    releases: tuple[Release, ...]
    """The releases with a record, oldest first."""
    taken: tuple[str, ...]
    """Every release id on the host, with a folder or a record."""
    tools: frozenset[str]
    missing: tuple[str, ...]
    """Linked files that are missing in `shared/`."""
    free: int
    """Free disk space, in bytes."""
    unwritable: str
    """The folder that can't be written to; empty if all can."""
    locked: str
    """The holder of the lock; empty if it is free."""
    frozen: Freeze | None = None
    """The freeze of releases, if there is one."""
    manager: str = ""
    """The recorded manager; empty if none is recorded. See `plan.ownership`."""
    key: str = ""
    """The key for digests of configurations, in hexadecimal; empty before the first release."""
    rollout: Rollout | None = None
    """The last rollout that reached this host."""
    processes: str = ""
    """The process manager's configuration of the live release, if it is made from `processes`."""
    front: str = ""
    """The start that answers at run/web.sock (`handover: beside`); empty without one."""
    starts: tuple[str, ...] = ()
    """All starts in run/."""
    memory: int = 0
    """The memory of the processes of `front` that they don't share with others, in bytes."""
    available: int = 0
    """Available memory, in bytes; 0 if it was not read."""
    schedules: str = ""
    """What the live release has of schedules, as its files."""
    had_schedules: bool = False
    """Whether any release of the app had schedules on this host."""
    command: CommandRun | None = None
    """The last `release_command` that this host ran."""
    owner: Owner | None = None
    """The deployment that the folder belongs to; None before its first release."""
    problems: tuple[str, ...] = ()
    """Why a release would fail here, from the plugins that looked: each a message, and lines with what to
    do about it."""

    def release(self, release_id: str) -> Release | None:
        """The release with this id; None if the host has no record of it."""
        return next((release for release in self.releases if release.id == release_id), None)

    def seen(self, stage: str) -> SeenEntry:
        """The last entry of the log of `stage` that the host has seen. Rollouts of earlier versions name no
        stage."""
        last = self.rollout
        if last is None or last.stage not in ("", stage):
            return SeenEntry()
        return SeenEntry(last.seen or last.entry, last.origin)

    def last_good(self, *, before: str = "") -> Release | None:
        """The release to which a rollback from the release `before` (default: the current one) goes: the
        first good one in the chain of recorded previous releases. None if there is none."""
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
    """The step that reads the state of a host. It changes nothing."""
    layout = target.layout
    return host_script(
        "inspect the host",
        "look/probe",
        parsed=True,
        stdin="\n".join(target.settings.linked_files),
        path=layout.path,
        current=layout.current,
        releases=layout.releases,
        shared=layout.shared,
        state=layout.state,
    )


def parse(output: str) -> HostState:
    """Parse the output of `probe`. Raises FapError if a record on the host is damaged."""
    lines = [tuple(line.split(" ", 1)) for line in output.splitlines() if " " in line]
    single = {
        word: rest
        for word, rest in lines
        if word in ("current", "link", "blocked", "free", "unwritable", "locked", "frozen", "manager", "key")
        or word == "owner"
        or word in ("front", "memory", "available")
    }
    folders = {rest for word, rest in lines if word == "folder" and is_release_id(rest)}
    records = _by_id(lines, "record", Record)
    artifacts = _by_id(lines, "artifact", Unpacked)
    if "free" not in single:
        shown = output.replace(single.get("key") or "\0", "***")[-500:]
        raise FapError("the host's answer can't be read", hint=f"its shell printed: {shown or 'nothing'}")
    current = single.get("current", "")
    if current in folders:
        # A release that another tool published under such a name counts as live.
        records.setdefault(current, Record(state="live"))
    return HostState(
        current=current if is_release_id(current) else "",
        link=single.get("link", ""),
        blocked=single.get("blocked", ""),
        releases=tuple(
            Release(name, records[name], artifacts.get(name), name in folders) for name in sorted(records)
        ),
        taken=tuple(sorted(folders | set(records))),
        tools=frozenset(rest for word, rest in lines if word == "tool"),
        missing=tuple(rest for word, rest in lines if word == "missing"),
        free=_kib(single["free"]),
        unwritable=single.get("unwritable", ""),
        locked=single.get("locked", ""),
        frozen=read_freeze(single["frozen"]) if "frozen" in single else None,
        manager=single.get("manager", ""),
        key=key if _KEY.fullmatch(key := single.get("key", "")) else "",
        rollout=_rollout([rest for word, rest in lines if word == "rollout"]),
        processes="\n".join(rest for word, rest in lines if word == "process"),
        front=single.get("front", ""),
        starts=tuple(sorted(rest for word, rest in lines if word == "start")),
        memory=_kib(single.get("memory", "")),
        available=_kib(single.get("available", "")),
        schedules="\n".join(rest for word, rest in lines if word == "schedule"),
        had_schedules=any(word == "schedules" for word, _ in lines),
        owner=_owner(single.get("owner", "")),
        command=_command([rest for word, rest in lines if word == "command"]),
    )


def _kib(text: str) -> int:
    """Return a number of KiB as bytes; raises FapError for anything else."""
    if not re.fullmatch(r"\d{0,15}", text, re.ASCII):
        raise FapError(f"the host's answer can't be read: free {text[:60]!r}", hint="look at `df -Pk` there")
    return int(text or 0) * 1024


def read_freeze(line: str) -> Freeze:
    """Read the file of a freeze. A file that can't be read is a freeze too."""
    try:
        return decode(line, Freeze)
    except ValueError:
        return Freeze(who="someone", at="some time", why=line)


def _owner(line: str) -> Owner | None:
    try:
        return decode(line, Owner) if line else None
    except ValueError as error:
        raise FapError(
            f"the record of the folder's owner is damaged: {error}",
            hint="inspect .fap/owner on the host and move it away",
        ) from error


def _rollout(lines: list[str]) -> Rollout | None:
    try:
        first, *others = [decode(line, dict[str, Any]) for line in lines] or [{}]
        if "verb" not in first:
            return None
        for later in others:
            if later["id"] == first["id"]:
                first |= later
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
        values = {key: value for line in lines for key, value in decode(line, dict[str, Any]).items()}
        return msgspec.convert(values, CommandRun) if values else None
    except (msgspec.MsgspecError, ValueError) as error:
        raise FapError(
            f"the record of the last release_command is damaged: {error}",
            hint="inspect .fap/release_command.jsonl on the host and move it away",
        ) from error


def _by_id(lines: list[tuple[str, ...]], word: str, kind: type[T]) -> dict[str, T]:
    result = {}
    for name, rest in lines:
        if name != word:
            continue
        release_id, _, json = rest.partition(" ")
        if is_release_id(release_id):
            result[release_id] = _decode(release_id, json, kind)
    return result


def _decode(release_id: str, json: str, kind: type[T]) -> T:
    try:
        return decode(json, kind)
    except ValueError as error:
        raise FapError(
            f"the record of release {release_id} is damaged: {error}",
            hint=f"inspect .fap/releases/{release_id}.* on the host and move them away",
        ) from error
