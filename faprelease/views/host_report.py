"""The inspection of a host by `faprelease doctor`: one read-only step, and the value parsed from its
output."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from artifact_store.artifact.manifest import Manifest
from faprelease.config.target import Target
from faprelease.hosts.host_json import decode
from faprelease.steps.host_files import read_host_file
from faprelease.steps.model import Step, host_script

_NUMBER = re.compile(r"[0-9]{1,15}")
LOOK_SECONDS = 120
"""The time limit of an inspection, in seconds: it reads every file of the live release."""


class Contained(msgspec.Struct, frozen=True):
    """The file `<id>.install.json`: how an installer was contained, and what the host could not contain."""

    contained: str = ""
    open: str = ""


class Interpreter(NamedTuple):
    """The Python of a release."""

    release: str
    installed: str
    """The minor version (`3.11`) that the release was installed with."""
    now: str
    """The minor version that its `venv/bin/python` is now; empty if it does not start."""


@dataclass(frozen=True, kw_only=True)
class HostReport:
    """The facts of a host and of its live release."""

    time: int = 0
    """Its clock, in seconds since 1970."""
    machine: str = ""
    glibc: str = ""
    """The version of glibc; empty if the host has another C library."""
    pythons: tuple[str, ...] = ()
    """The installed versions; the one of python3 first."""
    system: str = ""
    """The name of its operating system."""
    interpreters: tuple[Interpreter, ...] = ()
    """The Pythons of all releases; without those that an artifact brought."""
    inodes: int | None = None
    """The number of free inodes; None if the file system has no inodes."""
    lacks: tuple[str, ...] = ()
    """Missing shared libraries that the artifact needs."""
    readable: tuple[str, ...] = ()
    """Linked files that every user of the host can read."""
    readable_environment: str = ""
    variables: frozenset[str] = frozenset()
    """Names in the environment file of the live release."""
    conf: str | None = None
    """The settings for stop and start of the program in supervisor's configuration."""
    restarted: tuple[float, float] | None = None
    """The duration of the last stop and start, in seconds, if a plugin measured them."""
    run: bool = False
    writable: bool = False
    contained: Contained | None = None
    logs: tuple[str, ...] = ()
    stale: tuple[tuple[str, int], ...] = ()
    """Processes that run from another release than the live one, as release id and process id."""
    closed: tuple[str, ...] = ()
    """Folders above the sockets that a web server of another user can't enter."""
    port: tuple[int, str] | None = None
    """The exit code and output of `processes.py`; 3 if nothing listens."""
    changed: tuple[str, ...] = ()
    """Files of the live release that changed since it was sealed."""
    sealed: bool = True


def step(target: Target, wanted: Manifest | None, ports: Sequence[int], conf: str) -> Step:
    """The step that inspects a host. `wanted` is the artifact that it should run, if known; `ports` are those
    on which it should answer; `conf` is the path of its process manager's configuration, if any."""
    layout = target.layout
    return host_script(
        "inspect the host for the doctor",
        "look/doctor",
        "look/changed",
        "look/compare_tree",
        stdin="\n".join(target.settings.linked_files),
        limit=LOOK_SECONDS,
        trusted=False,
        path=layout.path,
        current=layout.current,
        releases=layout.releases,
        shared=layout.shared,
        state=layout.state,
        environment_file=f"{layout.current}/{target.settings.environment_name}",
        port=str(next(iter(ports), "")),
        processes=read_host_file("programs/processes.py"),
        python=python_of(wanted),
        libraries=" ".join(wanted.libraries) if wanted else "",
        conf=conf,
        run=layout.run if target.settings.handover == "beside" else "",
        group=target.settings.run_group,
    )


def changed_files(target: Target) -> Step:
    """The step that lists changed files of the live release and of its packages, for `parse_changed`."""
    return host_script(
        "find files of the release that changed",
        "look/changed",
        "look/compare_tree",
        "look/compare_packages",
        limit=LOOK_SECONDS,
        trusted=False,
        current=target.layout.current,
        state=target.layout.state,
    )


def python_of(wanted: Manifest | None) -> str:
    """The Python version of an artifact, `3.11` for cp311; empty without an artifact."""
    tag = wanted.target.python.removeprefix("cp") if wanted else ""
    return f"{tag[0]}.{tag[1:]}" if tag.isdigit() else ""


def parse(output: str) -> HostReport:
    """Parse the output of `step`."""
    answers: dict[str, list[str]] = {}
    for line in output.splitlines():
        word, _, value = line.partition(" ")
        answers.setdefault(word, []).append(value)
    single = {word: values[0] for word, values in answers.items()}
    return HostReport(
        time=_number(single.get("time")) or 0,
        machine=single.get("machine", ""),
        glibc=single["libc"].partition(" ")[2] if single.get("libc", "").startswith("glibc ") else "",
        pythons=tuple(dict.fromkeys(filter(None, answers.get("python", ())))),
        system=single.get("system", ""),
        interpreters=tuple(_interpreter(line) for line in answers.get("venv", ())),
        inodes=_number(single.get("inodes")),
        lacks=tuple(answers.get("lacks", ())),
        readable=tuple(answers.get("readable", ())),
        readable_environment=single.get("readable_environment", ""),
        variables=frozenset(answers.get("variable", ())),
        conf=single.get("conf"),
        restarted=_restarted(single.get("restarted", "")),
        run="run" in answers,
        writable="writable" in answers,
        contained=_contained(single.get("contained")),
        logs=tuple(name.removeprefix("./") for name in answers.get("log", ())),
        stale=tuple(
            (name, number)
            for name, _, pid in (line.partition(" ") for line in answers.get("stale", ()))
            if (number := _number(pid)) is not None
        ),
        closed=tuple(answers.get("closed", ())),
        port=(port, single["port"].partition(" ")[2])
        if (port := _number(single.get("port"))) is not None
        else None,
        changed=parse_changed(output),
        sealed="no list" not in output.splitlines(),
    )


def parse_changed(output: str) -> tuple[str, ...]:
    """The paths in the output of compare_tree.sh, sorted. It lists a changed file twice."""
    paths = set()
    for line in output.splitlines():
        if line.startswith(("+ ", "- ")):
            name = line[2:]
            is_digest = len(name.partition("  ")[0].removeprefix("\\")) == 64
            paths.add(
                (name.partition("  ")[2] if is_digest else name.partition(" -> ")[0]).removeprefix("./")
            )
    return tuple(sorted(paths))


def _interpreter(line: str) -> Interpreter:
    release, installed, now, *_ = [*line.split(" "), "", ""]
    return Interpreter(release, installed, now)


def _number(text: str | None) -> int | None:
    first = (text or "").partition(" ")[0]
    return int(first) if _NUMBER.fullmatch(first) else None


def _restarted(line: str) -> tuple[float, float] | None:
    """Parse `stop start`, in hundredths of a second, to seconds; None for an incomplete line."""
    words = line.split()
    if len(words) != 2 or not all(map(_NUMBER.fullmatch, words)):
        return None
    return int(words[0]) / 100, int(words[1]) / 100


def _contained(line: str | None) -> Contained | None:
    try:
        return decode(line, Contained) if line else None
    except ValueError:
        return None
