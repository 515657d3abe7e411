"""An app with the public packages that a folder of bench/apps locks, generated and packed."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from artifact_store.artifact.peek import open_source, peek
from bench.processes import BIN, output

LOCKED = Path(__file__).parent / "apps"
PYPROJECT = '[tool.fapbuild]\napp = "{}"\nbytecode = {}\n'
MODULES = 200


def make(repository: Path, app: str = "hundred", *, bytecode: bool = False) -> Path:
    """A new git repository with the lock of this folder and some code, committed."""
    shutil.copytree(LOCKED / app, repository)
    (repository / "pyproject.toml").write_text(PYPROJECT.format(app, str(bytecode).lower()))
    (repository / "shop").mkdir()
    for number in range(MODULES):
        functions = "".join(
            f"def f{index}(a, b={index}):\n    return a * {number} + b\n\n\n" for index in range(20)
        )
        (repository / "shop" / f"part{number}.py").write_text(functions)
    git(repository, "init", "--quiet", "--initial-branch=main")
    commit(repository)
    return repository


def commit(repository: Path) -> str:
    """Commit all that is there; the commit's name."""
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "A change")
    return output(["git", "rev-parse", "HEAD"], repository).strip()


def pack(repository: Path, into: Path) -> Path:
    """Pack the commit; the artifact's path."""
    said = output([BIN / "fapbuild", "pack", "--json", "-o", into], cwd=repository)
    return (repository / json.loads(said)["path"]).resolve()


def root_of(artifact: Path) -> str:
    """The root of an artifact."""
    with open_source(str(artifact)) as source:
        return peek(source).root


def unpack(artifact: Path, folder: Path) -> Path:
    """The artifact's files, in a new folder."""
    folder.mkdir(parents=True)
    subprocess.run(["tar", "xzf", artifact, "-C", folder], check=True)
    return folder


def git(repository: Path, *arguments: str) -> None:
    """Run git there, as somebody made up."""
    who = {"NAME": "bench", "EMAIL": "bench@example.com"}
    names = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
    output(["git", *arguments], cwd=repository, environment={**os.environ, **names})
