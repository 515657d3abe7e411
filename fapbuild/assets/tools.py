"""The programs that a step runs: a new version may make other files from the same inputs."""

import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from artifact_store.core.errors import FapError, UsageError
from fapbuild import command, isolation
from fapbuild.cache import sha256_of
from fapbuild.project.config import Assets

# These are small scripts that start a program elsewhere, and all run on node.
_MANAGERS = frozenset({"npm", "npx", "yarn", "pnpm", "corepack"})
_INSTALL = {
    "pnpm": "npm install --global pnpm",
    "yarn": "npm install --global yarn",
    "bun": "npm install --global bun",
    "corepack": "npm install --global corepack",
}
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def identities(step: Assets, env: Mapping[str, str], cwd: Path) -> tuple[str, ...]:
    """Return a line for each program: the sha256 of its file, or the output of its version command.

    These are the commands of `step.tools`, and the programs on the PATH that the step's commands start.
    Raises FapError if one of `step.tools` fails.
    """
    lines = [f"{line}: {_version(line, env, cwd, step.name)}" for line in step.tools]
    words = {word for line in step.run for word in first_words(line)}
    if words & _MANAGERS:
        words.add("node")
    for word in sorted(words):
        path = shutil.which(word, path=env.get("PATH", ""))
        if path is None or (step.venv and word.startswith(("python", "pip"))):
            continue
        if word in _MANAGERS:
            lines.append(f"{word}: {_version(f'{word} --version', env, cwd, step.name)}")
        else:
            lines.append(f"{word}: {sha256_of(Path(path))}")
    return tuple(lines)


def check_there(steps: Sequence[Assets], environ: Mapping[str, str]) -> None:
    """Raise UsageError if a package manager that a step starts is not installed."""
    for step in steps:
        path = step.environment.get("PATH", environ.get("PATH", ""))
        missing = [
            word
            for line in step.run
            for word in first_words(line)
            if word in (*_MANAGERS, "bun", "node") and shutil.which(word, path=path) is None
        ]
        if missing:
            raise UsageError(
                f"assets {step.name!r} starts {missing[0]}, which is not installed here",
                hint=f"install it: {_INSTALL.get(missing[0], 'https://nodejs.org')}",
            )


def first_words(line: str) -> tuple[str, ...]:
    """The programs that a line of shell starts, as far as its words show without a shell."""
    words = []
    for part in re.split(r"&&|\|\||[;|&\n()]", line):
        try:
            command_words = [word for word in shlex.split(part) if not _ASSIGNMENT.match(word)]
        except ValueError:
            command_words = part.split()
        words += command_words[:1]
    return tuple(words)


def _version(line: str, env: Mapping[str, str], cwd: Path, step: str) -> str:
    try:
        start = isolation.contained(env)
        out = command.run(["sh", "-c", line], start=start, cwd=cwd, env=env, clean=True)
    except FapError as error:
        raise FapError(f"assets {step!r}: {line!r} failed\n{error.message}", hint="install it") from error
    return out.decode("utf-8", "replace").strip()
