"""The values of a plan. Plugins return steps; only `execute` runs them."""

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from faprelease.steps.host_files import needs_of, read_host_file, read_program, with_libraries
from faprelease.steps.layout import Layout
from faprelease.steps.place import Place

VERIFICATION_FAILED = 65
"""The exit code (EX_DATAERR of sysexits.h) of a step that found wrong bytes."""
CAN_NOT_CREATE = 73
"""The exit code (EX_CANTCREAT) of a step that could not create the folder of the app."""
LOCK_HELD = 75
"""The exit code (EX_TEMPFAIL) of a step that found the lock held by another run."""
SAME_FOLDER = 78
"""The exit code (EX_CONFIG) of a step that found the lock held by this run, under another host's name."""
FROZEN = 77
"""The exit code (EX_NOPERM) of a step that found releases frozen."""


@dataclass(frozen=True)
class Secret:
    """Text for a step's stdin that no plan, log or argument list may show; `redacted` is shown instead.

    `secrets` are the parts to redact in the output of a host.
    """

    value: str = field(repr=False)
    redacted: str = "(secret)"
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Program:
    """The Python modules that a step's script reads before its `stdin`. The host keeps them in the file
    `place`, so that they are sent only once; if that is empty, they are sent each time."""

    text: str = field(repr=False)
    place: str


Kind = Literal["other", "processes", "schedules", "remove", "note"]
"""The kind of a step, for views of a plan: `processes` writes the process manager's configuration (on its
stdin), `schedules` writes the schedules (on its stdin), sets or checks them, `remove` removes releases (one
id per line on its stdin), `note` only records something on the host."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One POSIX sh script on one host, run as a process of its own, with `stdin` as its standard input.

    `limit` is its timeout in seconds, enforced on the host. A `trusted` script is part of faprelease: it ends
    by itself, prints little and leaves no process behind. The host starts it with two processes less, and
    only the controller enforces its limit.
    """

    title: str
    script: str
    stdin: str | Secret = ""
    program: Program | None = None
    limit: int = 60
    trusted: bool = False
    kind: Kind = "other"
    binding: bool = False
    """Its `digest` must be the same on all hosts; otherwise nothing is published."""
    shown: bool = False
    """Show its output without -v too."""
    parsed: bool = False
    """Its output is parsed and never shown, so nothing in it is redacted: a word of it may equal a secret."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The strings to redact in all output."""
        return self.stdin.secrets if isinstance(self.stdin, Secret) else ()


@dataclass(frozen=True)
class Phase:
    """The steps of one host between two signals."""

    name: str
    steps: tuple[Step, ...]


def legs_of(phases: Sequence[Phase]) -> list[list[Phase]]:
    """The phases of a host, split where it waits for the other hosts: after a binding step, whose digests
    must agree."""
    legs: list[list[Phase]] = []
    waits = True
    for phase in phases:
        if waits:
            legs.append([])
        legs[-1].append(phase)
        waits = any(step.binding for step in phase.steps)
    return legs


def joined(phases: Sequence[Phase]) -> Phase:
    """Join phases into one: one script, one round trip."""
    return Phase(", ".join(phase.name for phase in phases), tuple(s for phase in phases for s in phase.steps))


@dataclass(frozen=True, kw_only=True)
class HostPlan:
    """Everything that happens on one host for one role, decided before the first step runs.

    `prepare` does not touch the live release; `publish` moves `current`, restarts, and checks the health;
    `finish` cleans up.
    """

    place: Place
    layout: Layout
    release: str
    previous: str
    config: str
    """The digest of the release's configuration."""
    batch: int = 0
    """The number of its batch, from 0."""
    prepare: tuple[Phase, ...] = ()
    once: tuple[Phase, ...] = ()
    """Runs on this host only, for all hosts, when every host is prepared."""
    publish: tuple[Phase, ...] = ()
    explain: tuple[Phase, ...] = ()
    """Runs if `publish` failed, and shows why."""
    finish: tuple[Phase, ...] = ()
    if_unpublished: tuple[Phase, ...] = ()
    if_published: tuple[Phase, ...] = ()
    if_kept: tuple[Phase, ...] = ()
    """Runs if the release failed and is kept (`on_failure: keep`)."""


def restarts(plan: HostPlan) -> bool:
    """Whether a plugin does something after `current` has moved."""
    return any(phase.name == "published" for phase in plan.publish)


@dataclass(frozen=True)
class Plan:
    """A rollout, as data. `--dry-run` prints exactly the scripts that would run."""

    title: str
    hosts: tuple[HostPlan, ...]
    batch_wait: int = 0
    """Seconds between two batches."""
    keep: bool = False
    """If a batch fails, it and those before it stay on the new release."""

    @property
    def batches(self) -> tuple[tuple[HostPlan, ...], ...]:
        """The hosts of each batch, in order."""
        numbers = sorted({host.batch for host in self.hosts})
        return tuple(tuple(host for host in self.hosts if host.batch == number) for number in numbers)


@dataclass(frozen=True)
class Result:
    """The result of a step. Its output is stdout and stderr in order, of an untrusted step the last 64
    KiB."""

    step: Step
    code: int
    output: str
    seconds: float
    facts: Mapping[str, str] = field(default_factory=dict)
    """Values that a trusted step reported beside its output: `fetched` (bytes), `digest` (sha256),
    `stop` (how long the stop of a program may take, in seconds)."""


def command(title: str, *argv: str, cwd: str = "", limit: int = 60) -> Step:
    """Return a step that runs one command, with every word quoted."""
    script = f"exec {shlex.join(argv)}"
    return Step(title=title, script=f"cd {shlex.quote(cwd)} &&\n{script}" if cwd else script, limit=limit)


def host_script(
    title: str,
    *names: str,
    stdin: str | Secret = "",
    limit: int = 60,
    trusted: bool = True,
    kind: Kind = "other",
    shown: bool = False,
    parsed: bool = False,
    **variables: str,
) -> Step:
    """Return a step that runs the named scripts of `faprelease/host/`, in order, after setting `variables`.

    They are trusted unless they run code of others. Raises TypeError unless the variables are exactly those
    that the scripts need.
    """
    scripts = with_libraries(names)
    needed = needs_of(scripts)
    if needed != variables.keys():
        missing, unused = needed - variables.keys(), variables.keys() - needed
        raise TypeError(f"{', '.join(names)}: missing {sorted(missing)}, unused {sorted(unused)}")
    lines = [f"{key}={shlex.quote(value)}" for key, value in variables.items()]
    script = "\n".join([*lines, *(script.text for script in scripts)])
    return Step(
        title=title,
        script=script,
        stdin=stdin,
        limit=limit,
        trusted=trusted,
        kind=kind,
        shown=shown,
        parsed=parsed,
    )


def host_program(
    title: str,
    *modules: str,
    arguments: Sequence[str],
    state: str = "",
    stdin: Secret | None = None,
    limit: int,
    trusted: bool = True,
    binding: bool = False,
    shown: bool = False,
    when: str = "",
) -> Step:
    """Return a step that runs the first of some Python modules for hosts (`read_program`); it may load the
    others.

    `arguments` are words of sh. Its `parts["input"]` is the `stdin`. The host keeps the modules, and their
    bytecode, in the folder `state`, unless that is empty. With `when`, a condition in sh, it runs only if
    that is true. It is trusted unless it runs code of others.
    """
    text = "".join(f"\n#### {name}\n{read_program(name)}" for name in modules)
    folder, digest = f"{state}/code" if state else "", hashlib.sha256(text.encode()).hexdigest()
    script = _start(folder, digest, modules[0], arguments)
    return Step(
        title=title,
        script=f"{when} || exit 0\n{script}" if when else script,
        stdin=stdin or "",
        program=Program(text, f"{folder}/{modules[0]}.{digest}.txt" if folder else ""),
        limit=limit,
        trusted=trusted,
        binding=binding,
        shown=shown,
    )


def keep_program(step: Step) -> Step:
    """Return a step that has the host keep the program of another step, which then runs without its text.
    Raises ValueError if no program of that one is kept."""
    folder, _, file = (step.program.place if step.program else "").rpartition("/")
    name, digest, _ = file.split(".")
    script = _start(folder, digest, name, ["--keep"])
    return Step(title="keep the program", script=script, program=step.program, limit=60)


def _start(folder: str, digest: str, name: str, arguments: Sequence[str]) -> str:
    start = shlex.quote(read_host_file("programs/start.py"))
    return f"exec python3 -I -S -c {start} {' '.join((host_path(folder), digest, name, *arguments))}"


NOTHING = Step(title="nothing", script=":", trusted=True)
"""A step that does nothing."""


def words(options: Mapping[str, str]) -> list[str]:
    """Return options of a host program as words of sh, each `NAME=VALUE`."""
    return [shlex.quote(f"{name}={value}") for name, value in options.items()]


def host_path(path: str) -> str:
    """Return a path on a host as a word of sh; `~/` is the home folder of the user there."""
    return f'"$HOME"/{shlex.quote(path[2:])}' if path.startswith("~/") else shlex.quote(path)
