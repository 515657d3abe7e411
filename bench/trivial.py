"""An app of two files whose install script does next to nothing: what is left is the price of releasing."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BIN, output

PYPROJECT = """\
[tool.fapbuild]
app = "trivial"
installer = "own"
"""

INSTALL = """\
#!/bin/sh
set -eu
cp number installed
"""


@dataclass(frozen=True)
class Artifact:
    """One packed commit of the app."""

    path: Path
    sha256: str
    number: str
    """What `install.sh` leaves in the file `installed`."""


def pack(folder: Path, count: int) -> Iterator[Artifact]:
    """Commit the app `count` times in a new git repository in `folder`, and pack each commit."""
    repository = folder / "repository"
    repository.mkdir(parents=True)
    _git(repository, "init", "--quiet", "--initial-branch=main")
    (repository / "pyproject.toml").write_text(PYPROJECT)
    (repository / "install.sh").write_text(INSTALL)
    (repository / "install.sh").chmod(0o755)
    for number in range(1, count + 1):
        (repository / "number").write_text(f"{number}\n")
        _git(repository, "add", "--all")
        _git(repository, "commit", "--quiet", "--message", f"Number {number}")
        said = output([BIN / "fapbuild", "pack", "--json", "-o", folder], cwd=repository)
        packed = json.loads(said)
        yield Artifact((folder / packed["path"]).resolve(), packed["digest"], str(number))


def _git(repository: Path, *arguments: str) -> None:
    who = {"NAME": "bench", "EMAIL": "bench@example.com"}
    names = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
    output(["git", *arguments], cwd=repository, environment={**os.environ, **names})
