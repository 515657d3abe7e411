"""Commands that must work for a measurement to mean anything."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
"""Where the console scripts of this Python are."""

LINES = 20


class BenchError(Exception):
    """A command failed or did something else than asked, so there is nothing to compare."""


def output(argv: Sequence[str | Path], cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a command and return its standard output; raise BenchError with its last lines if it fails."""
    done = subprocess.run(
        [str(part) for part in argv],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-LINES:])
        raise BenchError(f"exit {done.returncode}: {' '.join(map(str, argv))}\n{said}")
    return done.stdout


@dataclass(frozen=True)
class Used:
    """What a process took: seconds, seconds of CPU, and the most memory in bytes."""

    seconds: float
    cpu: float
    memory: int


def used(argv: Sequence[str | Path], cwd: Path, environment: Mapping[str, str]) -> Used:
    """Run a command to its end; raise BenchError with what it complained of if it fails."""
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in argv],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        memory = 0
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            # what wait4 tells of memory counts this process too, before it became the other one
            memory = max(memory, _most_memory(process.pid))
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        said.seek(0)
        if process.returncode:
            lines = said.read().decode(errors="replace").splitlines()[-LINES:]
            raise BenchError(f"exit {process.returncode}: {' '.join(map(str, argv))}\n" + "\n".join(lines))
    return Used(seconds, ended[2].ru_utime + ended[2].ru_stime, memory)


def _most_memory(pid: int) -> int:
    """The most memory that a process has had so far, in bytes; 0 if it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
