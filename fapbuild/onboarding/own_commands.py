"""Finds a command of the project's own that serves it: it has an option for the port, or reads PORT."""

import ast
import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from fapbuild.project.config import subtable

_READS_PORT = re.compile(
    r"""environ(\.get)?\s*[\[(]\s*["']PORT["']|\b(getenv|config|env(\.\w+)?)\(\s*["']PORT["']"""
)
_SCRIPT = re.compile(r"""(?:["']|^\s*)([\w.-]+)\s*=\s*([\w.]+):\w+""", re.MULTILINE)
_TESTS = re.compile(r"(^|/)(tests?|docs?|examples?)/|(^|/)(test_|conftest)")
_SERVE = ("serve", "run", "start", "runserver", "run-server", "server", "web", "up")
"""The usual names of subcommands that serve; any other name counts if it is the only one with a port."""
_MAINS = ("main.py", "app.py", "server.py", "run.py", "web.py")


def scripts(
    pyproject: Mapping[str, Any], files: Collection[str], read: Callable[[str], str]
) -> dict[str, str]:
    """The console scripts of a project, each with the module that it calls."""
    project, poetry = subtable(pyproject, "project"), subtable(subtable(pyproject, "tool"), "poetry")
    found = {**subtable(project, "scripts"), **subtable(poetry, "scripts")}
    modules = {name: str(place).partition(":")[0] for name, place in found.items()}
    for path in ("setup.cfg", "setup.py"):
        if path in files and (texts := re.split(r"console_scripts\b", read(path))[1:]):
            modules.update((match[1], match[2]) for match in _SCRIPT.finditer(texts[0]))
    return modules


def serving(
    scripts: Mapping[str, str], files: Collection[str], read: Callable[[str], str], *, alone: bool
) -> str:
    """The command line of a script, package or (if `alone`) module of the project that serves at a port.

    Empty if there is none, or more than one.
    """
    lines = [
        line
        for name, module in scripts.items()
        if (path := _path(module, files)) and (line := _line(name, path, files, read))
    ]
    if lines:
        return lines[0] if len(lines) == 1 else ""
    for path in sorted(name for name in files if re.fullmatch(r"(src/)?\w+/__main__\.py", name)):
        folder, package = posixpath.split(posixpath.dirname(path))
        if not _TESTS.search(path) and (line := _line(f"python -m {package}", path, files, read)):
            lines.append(f"cd {folder} && exec {line}" if folder else line)
    if not lines and alone:
        mains = [name for name in _MAINS if name in files and "__main__" in read(name)]
        lines = [line for name in mains if (line := _line(f"python {name}", name, (name,), read))]
    return lines[0] if len(lines) == 1 else ""


def _path(module: str, files: Collection[str]) -> str:
    place = module.replace(".", "/")
    for top in ("", "src/"):
        for path in (f"{top}{place}.py", f"{top}{place}/__init__.py"):
            if path in files:
                return path
    return ""


def _line(command: str, path: str, files: Collection[str], read: Callable[[str], str]) -> str:
    """The command with what makes it listen at $PORT; empty if nothing does."""
    text = read(path)
    if words := _with_click(text):
        return " ".join((command, *words))
    package = posixpath.dirname(path)
    near = [path] if not package else [one for one in files if posixpath.dirname(one) == package]
    texts = [text, *(read(one) for one in near if one.endswith(".py") and not _TESTS.search(one))]
    if any("--port" in _arguments(one) for one in texts):
        return f"{command} {' '.join(_options(set().union(*map(_arguments, texts))))}"
    return command if any(map(_READS_PORT.search, texts)) else ""


def _with_click(text: str) -> list[str]:
    """The subcommand and options of a function that click or Typer makes a command, if it has a port."""
    found = {}
    for node in ast.walk(_tree(text)) if "--port" in text else ():
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        calls = [one for one in node.decorator_list if isinstance(one, ast.Call)]
        options = {name for call in calls if _last(call) == "option" for name in _strings(call)}
        commands = [call for call in calls if _last(call) == "command"]
        if "--port" in options and commands:
            group = ast.unparse(commands[0].func).rpartition(".")[0]
            name = next(_strings(commands[0]), node.name.replace("_", "-"))
            found["" if group == "click" else name] = options
    name = next((name for name in ("", *_SERVE) if name in found), next(iter(found), ""))
    if not found or (name not in ("", *_SERVE) and len(found) > 1):
        return []
    return [*filter(None, [name]), *_options(found[name])]


def _arguments(text: str) -> set[str]:
    """The options that a module gives to argparse."""
    if "add_argument" not in text or "--port" not in text:
        return set()
    calls = (one for one in ast.walk(_tree(text)) if isinstance(one, ast.Call))
    return {name for call in calls if _last(call) == "add_argument" for name in _strings(call)}


def _options(known: Collection[str]) -> list[str]:
    host = [f"{name} 0.0.0.0" for name in ("--host", "--bind", "--address", "--interface") if name in known]
    return [*host[:1], "--port $PORT"]


def _tree(text: str) -> ast.AST:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _last(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _strings(call: ast.Call) -> Iterator[str]:
    return (one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str))
