"""Finds the process of a project that serves no port: a bot, or another program that runs for long."""

import json
import posixpath
import re
import shlex
from collections.abc import Callable, Collection

Read = Callable[[str], str]

_BOTS = {
    *("discord-py", "py-cord", "nextcord", "disnake", "pydis-core", "hikari", "interactions-py"),
    *("python-telegram-bot", "aiogram", "pytelegrambotapi", "telethon", "pyrogram", "kurigram"),
    *(
        "slack-bolt",
        "slack-sdk",
        "slackclient",
        "matrix-nio",
        "simplematrixbotlib",
        "twitchio",
        "irc",
        "slixmpp",
    ),
}
"""Packages that keep a connection to a chat service."""
_DOCKERFILE = re.compile(r"(^|/)[Dd]ockerfile$")
_NOT_OURS = re.compile(
    r"(^|/)(tests?|docs?|examples?|scripts|tools|migrations)/|(^|/)(test_|conftest|setup\.py)"
)
_MAIN = re.compile(r"^if __name__ == [\"']__main__[\"']", re.MULTILINE)
_WRAPPERS = {"exec", "tini", "dumb-init", "/sbin/tini", "--", "-g", "poetry", "uv", "pipenv", "pdm", "run"}
_ENDS = {"--help", "-h", "--version"}
"""With these, a program only prints something."""
_SHELL = re.compile(r"[|&;<>$`()%\\'\"\s]")
"""What makes a word more than a plain one."""


def find(files: Collection[str], read: Read, packages: Collection[str], scripts: Collection[str]) -> str:
    """The command of the process; empty if it is not sure.

    It is what the Dockerfile starts, or else the one program of a project that has a library for bots.
    `scripts` are the project's own commands that hosts will have.
    """
    images = [path for path in sorted(files) if _DOCKERFILE.search(path)]
    started = {line for path in images if (line := _started(read(path), files, scripts))}
    if len(started) == 1:
        return started.pop()
    if started or not _BOTS & {*packages}:
        return ""
    programs = [*scripts] or _programs(files, read)
    return programs[0] if len(programs) == 1 else ""


def _started(text: str, files: Collection[str], scripts: Collection[str]) -> str:
    """The command that an image starts, if it is a program of the project."""
    last = {
        word: value.strip()
        for word, value in re.findall(r"^(ENTRYPOINT|CMD)\s+(.+)$", re.sub(r"\\\n", " ", text), re.M | re.I)
    }
    words = [part for word in ("ENTRYPOINT", "CMD") if word in last for part in _words(last[word])]
    whole = len(words)
    while words and (words[0] in _WRAPPERS or (words[0].startswith("-") and len(words) < whole)):
        words.pop(0)
    if not words or any(map(_SHELL.search, words)) or not _ENDS.isdisjoint(words):
        return ""
    line = shlex.join(words)
    match words:
        case [python, "-m", module, *_] if re.fullmatch(r"python[\d.]*", python):
            place = module.replace(".", "/")
            own = {f"{place}.py", f"{place}/__main__.py", f"src/{place}/__main__.py"} & {*files}
            return f"python {line.partition(' ')[2]}" if own else ""
        case [python, *rest] if re.fullmatch(r"python[\d.]*", python):
            own = {posixpath.normpath(word) for word in rest} & {*files}
            return f"python {line.partition(' ')[2]}" if own else ""
        case [command, *_] if command in scripts:
            return line
    return ""


def _words(value: str) -> list[str]:
    """The words of a CMD or ENTRYPOINT, in its form as JSON or as a line of the shell."""
    try:
        words = json.loads(value) if value.startswith("[") else shlex.split(value)
    except ValueError:
        return []
    return [str(word) for word in words]


def _programs(files: Collection[str], read: Read) -> list[str]:
    """The commands of packages with a `__main__` and of modules at the top that are programs."""
    packages = [
        f"python -m {posixpath.dirname(path)}"
        for path in sorted(files)
        if re.fullmatch(r"\w+/__main__\.py", path) and not _NOT_OURS.search(path)
    ]
    modules = [
        f"python {path}"
        for path in sorted(files)
        if re.fullmatch(r"[\w-]+\.py", path) and not _NOT_OURS.search(path) and _MAIN.search(read(path))
    ]
    return packages or modules
