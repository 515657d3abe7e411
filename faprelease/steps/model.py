"""The values a plan is made of. Plugins and strategies return steps; only `execute` runs them."""

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from faprelease.steps.host_files import needs_of, read_host_file, with_libraries
from faprelease.steps.layout import Layout
from faprelease.steps.place import Place

VERIFICATION_FAILED = 65
"""A step that exits with this (EX_DATAERR of sysexits.h) found bytes that are not what they should be."""
CAN_NOT_CREATE = 73
"""A step that exits with this (EX_CANTCREAT) could not make the app's folder."""
LOCK_HELD = 75
"""A step that exits with this (EX_TEMPFAIL) found the lock held by someone else."""
FROZEN = 77
"""A step that exits with this (EX_NOPERM) found that someone keeps everybody from releasing."""


@dataclass(frozen=True)
class Secret:
    """Text for a step's stdin that no plan, log or argument list may show; `redacted` stands in for it.

    `secrets` are the parts to redact wherever a host's output repeats them.
    """

    value: str = field(repr=False)
    redacted: str = "(secret)"
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Program:
    """The Python modules that a step's script reads before its `stdin`. A host that has them in the file
    `place` is not sent them again; where that is empty, it keeps none."""

    text: str = field(repr=False)
    place: str


Kind = Literal["other", "processes", "remove", "note"]
"""What a step is to those who show a plan: it writes what the process manager runs (as text on its stdin),
removes releases (an id a line on its stdin), only notes something on the host, or any other."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One POSIX sh script on one host, run as a process of its own, with `stdin` as its standard input.

    `limit` is the time it may take, in seconds; the host stops it then. A `trusted` script is one of our own
    that ends by itself, says little and leaves no job behind: it costs the host two processes less, and its
    limit is only how long the controller waits.
    """

    title: str
    script: str
    stdin: str | Secret = ""
    program: Program | None = None
    limit: int = 60
    trusted: bool = False
    kind: Kind = "other"
    binding: bool = False
    """The `digest` that it hands over must be the same on all hosts, or nothing is published."""
    shown: bool = False
    """What it prints is shown without -v too."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not appear in any output."""
        return self.stdin.secrets if isinstance(self.stdin, Secret) else ()


@dataclass(frozen=True)
class Phase:
    """The steps of one host between two signals."""

    name: str
    steps: tuple[Step, ...]


def legs_of(phases: Sequence[Phase]) -> list[list[Phase]]:
    """The phases of a host, parted where it waits for the others: where they have to agree on what a step
    printed."""
    legs: list[list[Phase]] = []
    waits = True
    for phase in phases:
        if waits:
            legs.append([])
        legs[-1].append(phase)
        waits = any(step.binding for step in phase.steps)
    return legs


def joined(phases: Sequence[Phase]) -> Phase:
    """Some phases as one: one script, one round trip."""
    return Phase(", ".join(phase.name for phase in phases), tuple(s for phase in phases for s in phase.steps))


@dataclass(frozen=True, kw_only=True)
class HostPlan:
    """All that happens on one host for one role, decided before the first step runs.

    `prepare` changes nothing that runs; `publish` moves `current`, restarts, and sees the release run;
    `finish` tidies up.
    """

    place: Place
    layout: Layout
    release: str
    previous: str
    config: str
    """The digest of the release's configuration."""
    batch: int = 0
    """Which batch publishes on it, counted from 0."""
    prepare: tuple[Phase, ...] = ()
    once: tuple[Phase, ...] = ()
    """What this host alone does for all, once every host is prepared."""
    publish: tuple[Phase, ...] = ()
    explain: tuple[Phase, ...] = ()
    """What shows why `publish` failed."""
    finish: tuple[Phase, ...] = ()
    if_unpublished: tuple[Phase, ...] = ()
    if_published: tuple[Phase, ...] = ()
    if_kept: tuple[Phase, ...] = ()
    """What is written down where a release that failed is kept."""


@dataclass(frozen=True)
class Plan:
    """A whole rollout, as data: what `--dry-run` prints is what runs."""

    title: str
    hosts: tuple[HostPlan, ...]
    batch_wait: int = 0
    """Seconds between two batches."""
    keep: bool = False
    """Where a batch fails, it and those before it stay on the new release."""

    @property
    def batches(self) -> tuple[tuple[HostPlan, ...], ...]:
        """The hosts that publish together, the first batch first."""
        numbers = sorted({host.batch for host in self.hosts})
        return tuple(tuple(host for host in self.hosts if host.batch == number) for number in numbers)


@dataclass(frozen=True)
class Result:
    """What a step did: its output (stdout and stderr in order; of one that is not trusted the last 64 KiB),
    exit code and seconds."""

    step: Step
    code: int
    output: str
    seconds: float
    facts: Mapping[str, str] = field(default_factory=dict)
    """What a trusted step handed over beside its output: `fetched` (bytes), `digest` (sha256)."""


def command(title: str, *argv: str, cwd: str = "", limit: int = 60) -> Step:
    """A step that runs one command, with every word quoted."""
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
    **variables: str,
) -> Step:
    """A step that runs the named scripts of `faprelease/host/`, in order, with `variables` set before them.

    They are trusted unless they run code that is not ours. Raises TypeError unless the variables are exactly
    those that the scripts need.
    """
    scripts = with_libraries(names)
    needed = needs_of(scripts)
    if needed != variables.keys():
        missing, unused = needed - variables.keys(), variables.keys() - needed
        raise TypeError(f"{', '.join(names)}: missing {sorted(missing)}, unused {sorted(unused)}")
    lines = [f"{key}={shlex.quote(value)}" for key, value in variables.items()]
    script = "\n".join([*lines, *(script.text for script in scripts)])
    return Step(title=title, script=script, stdin=stdin, limit=limit, trusted=trusted, kind=kind, shown=shown)


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
    """A step that runs the first of some modules of `faprelease/host/programs/`, which may load the others.

    `arguments` are words of sh. Its `parts["input"]` is the `stdin`. The host keeps it, and what it has
    compiled of it, in the folder `state`, unless that is empty. With `when`, a condition in sh, it runs where
    that holds. It is trusted unless it runs code that is not ours.
    """
    start = shlex.quote(read_host_file("programs/start.py"))
    text = "".join(f"\n#### {name}\n{read_host_file(f'programs/{name}.py')}" for name in modules)
    folder, digest = f"{state}/code" if state else "", hashlib.sha256(text.encode()).hexdigest()
    words = (host_path(folder), digest, modules[0], *arguments)
    script = f"exec python3 -I -S -c {start} {' '.join(words)}"
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


def host_path(path: str) -> str:
    """A path on a host as a word of sh; `~/` is the home of the user there."""
    return f'"$HOME"/{shlex.quote(path[2:])}' if path.startswith("~/") else shlex.quote(path)
