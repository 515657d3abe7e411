"""Reads the Procfile: the processes of an app, one `name: command` per line."""

import re
from pathlib import Path

from artifact_store.core.errors import UsageError
from fapbuild.project.git_tree import read_text

_LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")


def read(folder: Path) -> dict[str, str]:
    """Return the commands by name, in the order of the file; empty without a Procfile.

    Raises UsageError, naming the line, for a line that is not a process or repeats a name.
    """
    if not (folder / "Procfile").is_file():
        return {}
    processes: dict[str, str] = {}
    for number, raw in enumerate(read_text(folder, "Procfile").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if not match or match[1] in processes:
            why = "repeats the name of a process" if match else "is not `name: command`"
            raise UsageError(
                f"Procfile line {number} {why}: {line}", hint="write it as: web: gunicorn shop.wsgi"
            )
        processes[match[1]] = match[2]
    return processes
