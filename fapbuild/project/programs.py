"""What the processes of a Procfile start: a program, and maybe a module of Python. Pure."""

import posixpath
import re
import shlex
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise

from artifact_store.core.errors import UsageError

PACKAGES = {
    **{name: name for name in ("gunicorn", "uvicorn", "hypercorn", "daphne", "granian", "uwsgi", "celery")},
    **{name: name for name in ("dramatiq", "flask", "alembic", "streamlit", "sanic", "litestar", "rq")},
    "waitress-serve": "waitress",
    "django-admin": "django",
    "fastapi": "fastapi-cli",
    "rqworker": "rq",
    "huey_consumer": "huey",
    "huey_consumer.py": "huey",
    "pserve": "pyramid",
    "arq": "arq",
}
"""Programs of Python packages, and the package that brings each."""
_SERVERS = ("gunicorn", "uvicorn", "hypercorn", "daphne", "granian", "waitress-serve")
_SYSTEM = frozenset(
    (
        *("sh", "bash", "dash", "env", "exec", "test", "[", "echo", "printf", "sleep", "trap", "wait", "cat"),
        *("mkdir", "rm", "cp", "mv", "ln", "ls", "true", "false", "export", "set", "ulimit", "umask", "nice"),
        *("timeout", "sed", "grep", "awk", "tail", "head", "tee", "if", "while", "for", "case", "until"),
        *("{", "(", "!", "."),
    )
)
_REFERENCE = re.compile(r"(?P<module>[A-Za-z_]\w*(\.\w+)*)(:[A-Za-z_][\w.]*(\(.*\))?)?")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_FOLDER_OPTIONS = ("--chdir", "--app-dir", "--pythonpath")


@dataclass(frozen=True)
class Started:
    """What a process starts."""

    program: str
    module: str = ""
    """The module that a web server, or `python -m`, imports; empty if none was seen."""
    folders: tuple[str, ...] = (".",)
    """Folders of the project in which it is imported."""


def started(command: str) -> Started | None:
    """What a command of a Procfile starts; None if the shell decides."""
    folder = "."
    last = re.split(r"&&|;", command)
    for part in last[:-1]:
        words = _words(part)
        if len(words) == 2 and words[0] == "cd":
            folder = posixpath.normpath(posixpath.join(folder, words[1]))
    words = _words(last[-1])
    while words and (words[0] in ("exec", "env") or _ASSIGNMENT.match(words[0])):
        words = words[1:]
    if not words or any(sign in words[0] for sign in "$`|<>"):
        return None
    program, options = words[0], words[1:]
    folders = [folder]
    for option, value in pairwise([*options, ""]):
        name, _, given = option.partition("=")
        if name in _FOLDER_OPTIONS:
            folders.append(posixpath.normpath(posixpath.join(folder, given or value)))
    if re.fullmatch(r"python[\d.]*", program) and options[:1] == ["-m"] and len(options) > 1:
        program, *options = options[1:]
        if program not in _SERVERS:
            return Started("python", program, tuple(folders))
    return Started(program, _module(program, options), tuple(folders))


def _module(program: str, options: list[str]) -> str:
    if program not in _SERVERS:
        return ""
    matches = [match for word in options if (match := _REFERENCE.fullmatch(word)) and ":" in word]
    if matches:
        return matches[-1]["module"]
    if (
        program == "gunicorn"
        and options
        and (len(options) == 1 or not options[-2].startswith("-") or "=" in options[-2])
    ):
        match = _REFERENCE.fullmatch(options[-1])
        return match["module"] if match else ""
    return ""


def check(
    processes: Mapping[str, str],
    files: Collection[str],
    scripts: Collection[str],
    modules: Collection[str],
) -> list[str]:
    """Raise UsageError for a process whose program or module is not in the artifact; return warnings.

    `files` are the project's, `scripts` and `modules` the names of programs and top modules in the wheels.
    """
    warnings = []
    for name, command in processes.items():
        one = started(command)
        if one is None:
            continue
        program = one.program
        if program in PACKAGES and program not in scripts:
            raise UsageError(
                f"process {name} starts {program}, which no package in the artifact brings",
                hint=f"add {PACKAGES[program]} to the requirements, lock again, and commit the lock",
            )
        python = re.fullmatch(r"python[\d.]*", program)
        if "/" not in program and not python and program not in scripts and program not in _SYSTEM:
            warnings.append(
                f"process {name} starts {program}, which the host has to have: no package brings it"
            )
        if one.module and not _is_there(one, files, modules):
            raise UsageError(
                f"process {name} imports {one.module}, which is in no committed file and in no package",
                hint=f"check the name in the Procfile: {name}: {command}",
            )
    return warnings


def _is_there(one: Started, files: Collection[str], modules: Collection[str]) -> bool:
    top = one.module.partition(".")[0]
    if top in modules or top in sys.stdlib_module_names:
        return True
    for folder in one.folders:
        place = posixpath.normpath(posixpath.join(folder, one.module.replace(".", "/")))
        if any(path.startswith((f"{place}.py", f"{place}/")) for path in files):
            return True
    return False


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
