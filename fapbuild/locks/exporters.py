"""Reads and writes `uv.lock` and `poetry.lock` with the tools they belong to."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artifact_store.core.errors import FapError
from fapbuild import command, isolation
from fapbuild.isolation.variables import of_lock_tools


@dataclass(frozen=True)
class Tool:
    """A tool with a lock of its own."""

    name: str
    install: str
    export: tuple[str, ...]
    pylock: bool
    """Whether it exports a `pylock.toml`; otherwise it exports hashed requirements."""
    extra: str
    group: str
    lock: tuple[str, ...]
    upgrade: tuple[str, ...]


TOOLS = {
    "uv.lock": Tool(
        name="uv",
        install="pip install 'uv>=0.7'",
        export=(
            *("export", "--quiet", "--frozen", "--format=pylock.toml", "--no-header", "--no-annotate"),
            *("--no-emit-project", "--no-default-groups"),
        ),
        pylock=True,
        extra="--extra",
        group="--group",
        lock=("lock", "--quiet"),
        upgrade=("--upgrade",),
    ),
    "poetry.lock": Tool(
        name="poetry",
        install="pip install 'poetry>=2' 'poetry-plugin-export>=1.10'",
        # For a pylock.toml, Poetry would ask the index about every package again.
        export=("export", "--no-interaction", "--no-ansi", "--format=requirements.txt"),
        pylock=False,
        extra="--extras",
        group="--with",
        lock=("lock", "--no-interaction", "--no-ansi"),
        upgrade=("--regenerate",),
    ),
}
# Neither tool may fetch an interpreter or make a virtual environment, just to read a file.
_ENV = {"UV_PYTHON_DOWNLOADS": "never", "POETRY_VIRTUALENVS_CREATE": "false"}


def tool_of(lock: str) -> Tool | None:
    """The tool that a lock of this name belongs to."""
    return TOOLS.get(Path(lock).name)


def export(lock: str, folder: Path, extras: Sequence[str], groups: Sequence[str]) -> str:
    """Export the packages that the committed lock selects, in the tool's format. Nothing is resolved.

    Raises FapError if the tool is not installed, or fails.
    """
    tool = TOOLS[Path(lock).name]
    argv = [*_program(tool, lock), *tool.export]
    argv += [f"{tool.extra}={extra}" for extra in extras] + [f"{tool.group}={group}" for group in groups]
    out = command.run(
        argv,
        cwd=folder,
        env=_ENV,
        hint=f"update {tool.name} ({tool.install}) and the lock ({tool.name} lock)",
    )
    return out.decode("utf-8", "replace")


def renew(lock: str, folder: Path, *, upgrade: bool) -> None:
    """Let the tool write its lock; with `upgrade` every package may get its newest version.

    Raises FapError if the tool is not installed, or fails.
    """
    tool = TOOLS[Path(lock).name]
    argv = [*_program(tool, lock), *tool.lock, *(tool.upgrade if upgrade else ())]
    env = {**of_lock_tools(os.environ), **_ENV}
    hint = "fix the problem above, then run `fapbuild lock`"
    command.run(argv, start=isolation.contained(env), cwd=folder, env=env, clean=True, hint=hint)


def _program(tool: Tool, lock: str) -> list[str]:
    """The tool on the PATH, or else the one beside this interpreter."""
    if path := shutil.which(tool.name):
        return [path]
    if importlib.util.find_spec(tool.name):
        return [sys.executable, "-m", tool.name]
    raise FapError(f"{lock} can only be read with {tool.name}, which is not installed", hint=tool.install)
