"""Commands that must work for a measurement to mean anything."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
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
