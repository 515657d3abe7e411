"""Reads and writes the locks of uv, Poetry, PDM and Pipenv with the tools they belong to."""

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from artifact_store.core import toml_text
from artifact_store.core.errors import FapError, UsageError
from fapbuild import command, isolation
from fapbuild.isolation.variables import of_lock_tools
from fapbuild.locks import pipfile
from fapbuild.locks.pins import Pin, indexes, normalized


class StaleLockError(UsageError):
    """The tool of a lock says that it is stale, or can't be read."""


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
    check: tuple[str, ...] = ()
    """Fails if the lock does not fit the project; empty if `export` does that, or we compare them."""
    no_groups: tuple[str, ...] = ()
    """Options of `export` if no group is chosen."""
    keep: tuple[str, ...] = ()
    """Options of `lock` that keep versions which still fit."""
    keeps: bool = True
    """Whether `lock` can keep them."""


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
    "pdm.lock": Tool(
        name="pdm",
        install="pip install 'pdm>=2.20'",
        export=("export", "--quiet", "--format=requirements"),
        pylock=False,
        extra="--group",
        group="--group",
        lock=("lock", "--quiet", "--strategy=inherit_metadata"),
        upgrade=(),
        check=("lock", "--quiet", "--check"),
        no_groups=("--prod",),
        keep=("--update-reuse",),
    ),
    "Pipfile.lock": Tool(
        name="pipenv",
        install="pip install 'pipenv>=2024'",
        export=("requirements", "--hash"),
        pylock=False,
        extra="",
        group="--categories",
        lock=("lock",),
        upgrade=(),
        check=("verify",),
        keeps=False,
    ),
}
ENV = {
    "UV_PYTHON_DOWNLOADS": "never",
    "POETRY_VIRTUALENVS_CREATE": "false",
    "PDM_USE_VENV": "0",
    "PDM_IGNORE_SAVED_PYTHON": "1",
    "PDM_CHECK_UPDATE": "0",
    "PDM_IGNORE_ACTIVE_VENV": "1",
    "PIPENV_IGNORE_VIRTUALENVS": "1",
    "PIPENV_NOSPIN": "1",
    "PIPENV_VERBOSITY": "-1",
}


def tool_of(lock: str) -> Tool | None:
    """The tool that a lock of this name belongs to."""
    return TOOLS.get(Path(lock).name)


def export(lock: str, folder: Path, extras: Sequence[str], groups: Sequence[str]) -> str:
    """Export the packages that the committed lock selects, in the tool's format. Nothing is resolved.

    Raises FapError if the tool is not installed, or fails.
    """
    tool = TOOLS[Path(lock).name]
    if extras and not tool.extra:
        raise UsageError(f"{lock} has no extras", hint=f"write them as groups: groups = [{_quoted(extras)}]")
    start = _program(tool, lock)
    fits = tool.name == "pipenv" and _names_its_pipfile(folder / lock)
    if tool.check and not fits:
        hint = f"update the lock, and commit it: {' '.join((tool.name, *tool.lock[:1]))} && git add {lock}"
        try:
            with _without_leftovers(folder):
                command.run([*start, *tool.check], cwd=folder, env=ENV)
        except FapError as error:
            raise StaleLockError(f"{lock} is stale, or can't be read\n{error.message}", hint=hint) from error
    argv = [*start, *tool.export, *([] if groups else tool.no_groups)]
    if lock == "Pipfile.lock" and groups:  # one option, which replaces the default packages
        groups = [" ".join(("packages", *groups))]
    argv += [f"{tool.extra}={extra}" for extra in extras] + [f"{tool.group}={group}" for group in groups]
    hint = f"update {tool.name} ({tool.install}) and the lock ({tool.name} lock)"
    try:
        with _without_leftovers(folder):
            out = command.run(argv, cwd=folder, env=ENV, hint=hint)
    except command.ProgramError as error:
        if "re-generate the lock" in error.output:  # PDM of a lock that an old version wrote
            raise StaleLockError(f"{lock} is stale, or can't be read\n{error.message}", hint=hint) from error
        raise
    return out.decode("utf-8", "replace")


def _names_its_pipfile(path: Path) -> bool:
    """Whether a Pipfile.lock has the hash of its Pipfile in the form of older versions of Pipenv.

    Raises StaleLockError if it has none: `pipenv verify` accepts that.
    """
    try:
        digest = json.loads(path.read_text(encoding="utf-8"))["_meta"]["hash"]["sha256"]
    except (OSError, ValueError, LookupError, TypeError):
        digest = ""
    if not digest:
        raise StaleLockError(f"{path.name} can't be read", hint=f"pipenv lock && git add {path.name}")
    source = path.with_name("Pipfile")
    return source.is_file() and pipfile.digest(source.read_text(encoding="utf-8")) == digest


def with_indexes(pins: Sequence[Pin], lock: str, folder: Path) -> tuple[Pin, ...]:
    """The pins that were exported from `lock`, each with the one index that the lock names for it.

    The requirements that tools export name all indexes, and pip would look for each package in all of them.
    """
    text = (folder / lock).read_text(encoding="utf-8")
    match Path(lock).name:
        case "poetry.lock":
            urls = _of_poetry(toml_text.loads(text))
        case "Pipfile.lock":
            urls = _of_pipenv(json.loads(text))
        case _:
            return tuple(pins)
    return tuple(
        pin
        if pin.origin
        else replace(pin, indexes=(), index=next(iter(indexes([urls.get(pin.name, "")])), ""))
        for pin in pins
    )


def _of_poetry(lock: dict[str, Any]) -> dict[str, str]:
    """By package: the URL of its source of the kind `legacy`, which is a simple index."""
    sources = {normalized(package["name"]): package.get("source", {}) for package in lock.get("package", [])}
    return {name: source["url"] for name, source in sources.items() if source.get("type") == "legacy"}


def _of_pipenv(lock: dict[str, Any]) -> dict[str, str]:
    """By package: the URL of the source that it names, or else of the first (`_meta.sources`)."""
    sources = lock["_meta"].get("sources", [])
    by_name = {source.get("name"): source["url"] for source in sources}
    first = sources[0]["url"] if sources else ""
    return {
        normalized(name): by_name.get(entry.get("index"), first)
        for key, entries in lock.items()
        if key != "_meta"
        for name, entry in entries.items()
    }


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def renew(lock: str, folder: Path, *, upgrade: bool) -> None:
    """Let the tool write its lock; with `upgrade` every package may get its newest version.

    Raises FapError if the tool is not installed, or fails.
    """
    tool = TOOLS[Path(lock).name]
    argv = [*_program(tool, lock), *tool.lock, *(tool.upgrade if upgrade else tool.keep)]
    env = {**of_lock_tools(os.environ), **ENV}
    hint = "fix the problem above, then run `fapbuild lock`"
    with _without_leftovers(folder):
        command.run(argv, start=isolation.contained(env), cwd=folder, env=env, clean=True, hint=hint)


@contextmanager
def _without_leftovers(folder: Path) -> Iterator[None]:
    """Remove the file in which PDM notes the Python that it ran with, unless it was there before."""
    noted = folder / ".pdm-python"
    before = noted.exists()
    try:
        yield
    finally:
        if not before:
            noted.unlink(missing_ok=True)


def _program(tool: Tool, lock: str) -> list[str]:
    """The tool on the PATH, or else the one beside this interpreter."""
    if path := shutil.which(tool.name):
        return [path]
    if importlib.util.find_spec(tool.name):
        return [sys.executable, "-m", tool.name]
    raise FapError(f"{lock} can only be read with {tool.name}, which is not installed", hint=tool.install)
