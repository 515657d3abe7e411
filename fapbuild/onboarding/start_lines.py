"""Reads how a project starts itself: lines of its Dockerfile, scripts and sources that start a web server."""

import ast
import posixpath
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from fapbuild.onboarding.applications import Application, Kind

_FILES = re.compile(
    r"(^|/)([Dd]ockerfile[\w.-]*|[\w.-]*\.dockerfile|[\w.-]*compose[\w.-]*\.ya?ml|supervisor[\w.-]*\.conf"
    r"|[\w.-]*\.(sh|service)|Makefile|Justfile|run|start|entrypoint|web)$"
)
_NOT_FOR_HOSTS = re.compile(r"(^|/|[-_.])(dev|develop|development|tests?|e2e|ci)([-_./]|$)")
_SERVERS: dict[str, Kind] = {
    **dict.fromkeys(("gunicorn", "waitress-serve"), "wsgi"),
    **dict.fromkeys(("uvicorn", "hypercorn", "daphne", "granian"), "asgi"),
}
_REFERENCE = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.\w+)*)(?::(?P<name>[A-Za-z_]\w*)(?P<call>\(\))?)?")
_RUN = re.compile(r"\brun\w*$|\bserve$|\bGranian$")


def prefer_named(
    found: list[Application], files: Collection[str], read: Callable[[str], str]
) -> list[Application]:
    """The applications, first the one that the project's own lines name; unchanged if they name several."""
    named = {*_of_scripts(files, read), *_of_sources(files, read)}
    if configured := [one for one in named if one.kind == "paste"]:
        named = {one for one in configured if "prod" in one.module or len(configured) == 1}
    if len(named) != 1:
        return found
    one = next(iter(named))
    same = [
        other
        for other in found
        if other.module.endswith(one.module) and (other.name == one.name or not one.name)
    ]
    first = replace((same or [one])[0], named=True)
    return [first, *(other for other in found if other not in same[:1])]


def _of_scripts(files: Collection[str], read: Callable[[str], str]) -> Iterator[Application]:
    for path in sorted(files):
        if _FILES.search(path) and not _NOT_FOR_HOSTS.search(path):
            for line in re.sub(r"\\\n", " ", read(path)).splitlines():
                yield from _of_line(line, files)


def _of_line(line: str, files: Collection[str]) -> Iterator[Application]:
    words = re.sub(r"""[\[\]"',;]+""", " ", re.sub(r"^\s*\w+\s*=", "", line.partition("#")[0])).split()
    starts = [number for number, word in enumerate(words) if posixpath.basename(word) in _SERVERS]
    for number in starts[-1:]:
        server, options = posixpath.basename(words[number]), words[number + 1 :]
        asynchronous = "asgi" in options or any("uvicorn" in word.lower() for word in options)
        kind: Kind = "asgi" if asynchronous else "wsgi" if "wsgi" in options else _SERVERS[server]
        if "--paste" in options[:-1] and (ini := options[options.index("--paste") + 1]) in files:
            yield Application(".", ini, "", "paste")
            break
        for word, before in zip(options[::-1], [*options[-2::-1], ""], strict=False):
            match = _REFERENCE.fullmatch(word)
            is_value = before.startswith("-") and "=" not in before
            if match and (match["name"] or not is_value) and (place := _place(match["module"], files)):
                factory = bool(match["call"]) or "--factory" in options
                name = match["name"] or "application"
                yield Application(place, match["module"], name, kind, factory=factory)
                break


def _of_sources(files: Collection[str], read: Callable[[str], str]) -> Iterator[Application]:
    """Those that a module gives to a server by name: `uvicorn.run("shop.main:app")`."""
    for path in sorted(files):
        if not path.endswith(".py") or _NOT_FOR_HOSTS.search(path) or path.count("/") > 3:
            continue
        text = read(path)
        if not re.search(r"[\"']\w+(\.\w+)*:\w+[\"']", text):
            continue
        try:
            calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for call in calls:
            called = ast.unparse(call.func)
            if _RUN.search(called) and call.args and isinstance(call.args[0], ast.Constant):
                match = _REFERENCE.fullmatch(str(call.args[0].value))
                if match and match["name"] and (place := _place(match["module"], files)):
                    factory = any(one.arg == "factory" for one in call.keywords)
                    yield Application(place, match["module"], match["name"], "asgi", factory=factory)


def _place(module: str, files: Collection[str]) -> str:
    """The folder of the project in which a module is imported; empty if it is not there."""
    path = module.replace(".", "/")
    for end in (f"{path}.py", f"{path}/__init__.py"):
        places = [name for name in files if name == end or name.endswith(f"/{end}")]
        if places:
            return min(places, key=len).removesuffix(end).strip("/") or "."
    return ""
