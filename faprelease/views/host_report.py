"""What `faprelease doctor` asks of a host: one read-only step, and the frozen value its answer becomes."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from artifact_store.artifact.manifest import Manifest
from faprelease.config.target import Target
from faprelease.steps.host_files import read_host_file
from faprelease.steps.model import Step, host_script

"""The process type that gets requests, as everywhere where there are Procfiles."""
LOOK_SECONDS = 120
"""How long a look may take: it reads every file of the release that is live."""


class Contained(msgspec.Struct, frozen=True):
    """`<id>.install.json`: how far an installer was contained, and what this host left open."""

    contained: str = ""
    open: str = ""


@dataclass(frozen=True, kw_only=True)
class HostReport:
    """What a host offers, and what became of its live release."""

    time: int = 0
    """Its clock, in seconds since 1970."""
    machine: str = ""
    glibc: str = ""
    """Empty where it has another C library."""
    pythons: tuple[str, ...] = ()
    """The versions that were found; python3's own first."""
    inodes: int | None = None
    """Free; None where the file system has no such number."""
    lacks: tuple[str, ...] = ()
    """Shared libraries that the wanted artifact needs."""
    readable: tuple[str, ...] = ()
    """Linked files that every user of the host can read."""
    readable_environment: str = ""
    variables: frozenset[str] = frozenset()
    """Names in the environment file of the live release."""
    conf: str | None = None
    """What supervisor's program says of stopping and starting."""
    restarted: tuple[float, float] | None = None
    """How long the last stop and start took, in seconds, where a plugin measured them."""
    run: bool = False
    writable: bool = False
    contained: Contained | None = None
    logs: tuple[str, ...] = ()
    stale: tuple[tuple[str, int], ...] = ()
    """Processes that run in another release than the live one: its id, and theirs."""
    port: tuple[int, str] | None = None
    """How `listeners.py` ended, and what it said; 3 where nothing listens."""
    changed: tuple[str, ...] = ()
    """Files of the live release that are not what they were when it was sealed."""
    sealed: bool = True


def step(target: Target, wanted: Manifest | None, ports: Sequence[int], conf: str) -> Step:
    """The step that looks at a host, for the artifact that it should run where one is known; `ports` are
    those on which it should answer, `conf` is the path of its process manager's configuration, if any."""
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
        listeners=read_host_file("programs/listeners.py"),
        python=python_of(wanted),
        libraries=" ".join(wanted.libraries) if wanted else "",
        conf=conf,
    )


def changed_files(target: Target) -> Step:
    """The step that tells which files of the live release changed, for `parse_changed`."""
    return host_script(
        "find files of the release that changed",
        "look/changed",
        "look/compare_tree",
        limit=LOOK_SECONDS,
        trusted=False,
        current=target.layout.current,
        state=target.layout.state,
    )


def python_of(wanted: Manifest | None) -> str:
    """`3.11` for an artifact of cp311, empty for none."""
    tag = wanted.target.python.removeprefix("cp") if wanted else ""
    return f"{tag[0]}.{tag[1:]}" if tag.isdigit() else ""


def parse(output: str) -> HostReport:
    """Read what `step` printed."""
    said: dict[str, list[str]] = {}
    for line in output.splitlines():
        word, _, value = line.partition(" ")
        said.setdefault(word, []).append(value)
    one = {word: values[0] for word, values in said.items()}
    return HostReport(
        time=_number(one.get("time")) or 0,
        machine=one.get("machine", ""),
        glibc=one["libc"].partition(" ")[2] if one.get("libc", "").startswith("glibc ") else "",
        pythons=tuple(dict.fromkeys(filter(None, said.get("python", ())))),
        inodes=_number(one.get("inodes")),
        lacks=tuple(said.get("lacks", ())),
        readable=tuple(said.get("readable", ())),
        readable_environment=one.get("readable_environment", ""),
        variables=frozenset(said.get("variable", ())),
        conf=one.get("conf"),
        restarted=_restarted(one.get("restarted", "")),
        run="run" in said,
        writable="writable" in said,
        contained=_contained(one.get("contained")),
        logs=tuple(name.removeprefix("./") for name in said.get("log", ())),
        stale=tuple((name, int(pid)) for name, _, pid in (s.partition(" ") for s in said.get("stale", ()))),
        port=(int(one["port"].partition(" ")[0]), one["port"].partition(" ")[2]) if "port" in one else None,
        changed=parse_changed(output),
        sealed="no list" not in output.splitlines(),
    )


def parse_changed(output: str) -> tuple[str, ...]:
    """The paths in what compare_tree.sh printed, sorted; a file that changed is there twice."""
    found = set()
    for line in output.splitlines():
        if line.startswith(("+ ", "- ")):
            name = line[2:]
            is_digest = len(name.partition("  ")[0].removeprefix("\\")) == 64
            found.add(
                (name.partition("  ")[2] if is_digest else name.partition(" -> ")[0]).removeprefix("./")
            )
    return tuple(sorted(found))


def _number(text: str | None) -> int | None:
    first = (text or "").partition(" ")[0]
    return int(first) if first.isdigit() else None


def _restarted(line: str) -> tuple[float, float] | None:
    """`stop start`, in hundredths of a second; one that a kill cut short is none."""
    words = line.split()
    if len(words) != 2 or not all(word.isdigit() for word in words):
        return None
    return int(words[0]) / 100, int(words[1]) / 100


def _contained(line: str | None) -> Contained | None:
    try:
        return msgspec.json.decode(line, type=Contained) if line else None
    except msgspec.MsgspecError:
        return None
