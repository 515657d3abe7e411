"""Finds the web application in the source of a project: its module, its name, and which servers speak to it.

The source is parsed, and never run.
"""

import ast
import posixpath
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["wsgi", "asgi", "sanic", "aiohttp", "paste"]
"""What speaks to it: WSGI (PEP 3333) or ASGI, the framework's own server, or an ini file of PasteDeploy."""
_FRAMEWORKS: dict[str, Kind] = {
    **dict.fromkeys(("Flask", "APIFlask", "OpenAPI", "Bottle", "FlaskApp", "get_wsgi_application"), "wsgi"),
    **dict.fromkeys(("make_wsgi_app", "falcon.App", "falcon.API", "WSGIApplication"), "wsgi"),
    **dict.fromkeys(("FastAPI", "Starlette", "Litestar", "Quart", "BlackSheep", "AsyncApp"), "asgi"),
    **dict.fromkeys(("get_asgi_application", "ProtocolTypeRouter", "ASGIApp", "falcon.asgi.App"), "asgi"),
    "asgineer.to_asgi": "asgi",
    "Sanic": "sanic",
    "web.Application": "aiohttp",
}
"""By the name that is called."""
_SIGNATURES: dict[tuple[str, ...], Kind] = {
    ("environ", "start_response"): "wsgi",
    ("scope", "receive", "send"): "asgi",
}
_WORTH = re.compile(
    "|".join(rf"\b{re.escape(name.rpartition('.')[2])}\b" for name in _FRAMEWORKS)
    + r"|\b(environ, *start_response|scope, *receive, *send)\b|^application\b|^\s*from .* import .*\bapp",
    re.MULTILINE,
)
_FACTORY = re.compile(
    r"(create|make|get|build|init)_(\w+_)?(app|application|wsgi|asgi|server|api)|app_factory"
)
_NOT_OURS = re.compile(
    r"(^|/)(node_modules|vendor|third_party|docs?|examples?|tests?|e2e|migrations|scripts|\.[^/]+)/|(^|/)(test_|conftest)"
)
_FILES = ("wsgi", "asgi", "main", "app", "application", "server", "api", "run", "web", "__init__")
_NAMES = ("application", "app", "api", "server")


@dataclass(frozen=True)
class Application:
    """A web application: `module:name`, as it is imported in the folder `directory` of the project.

    Of the kind `paste`, the ini file has it, whose path is `module`.
    """

    directory: str
    module: str
    name: str
    kind: Kind
    factory: bool = False
    """Whether it is a function without arguments that returns the application."""
    sockets: bool = False
    """Whether it also serves websockets, so that ASGI is meant."""
    guessed: bool = False
    """Whether only its name shows that it is one: `application = something()`."""
    named: bool = False
    """Whether a line of the project's own that starts a server names it."""

    @property
    def reference(self) -> str:
        return f"{self.module}:{self.name}"


def find(files: Collection[str], read: Callable[[str], str]) -> list[Application]:
    """The applications of a project with these files, the likeliest first."""
    trees = {path: tree for path in sorted(files) if (tree := parsed(path, read)) is not None}
    functions: dict[str, Kind] = {}
    for _ in range(2):  # a class of a class, and what makes one of it
        functions |= {name: kind for tree in trees.values() for name, kind in _classes(tree, functions)}
    functions |= {name: kind for tree in trees.values() for name, kind in _functions(tree, functions)}
    found = [
        (_rank(path, one), one)
        for path, tree in trees.items()
        for one in _applications(path, tree, files, read, functions)
    ]
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def is_sure(applications: list[Application]) -> bool:
    """Whether the first one is likelier than every other of its kind."""
    first, *others = applications
    if first.named:
        return True
    rivals = [one for one in others if one.kind == first.kind and one.factory == first.factory]
    place = (first.directory, first.module)
    return all(_weight(one) != _weight(first) or (one.directory, one.module) == place for one in rivals)


def _weight(one: Application) -> tuple[bool, int, int]:
    last = one.module.rpartition(".")[2]
    depth = f"{one.directory.strip('.')}/{one.module.replace('.', '/')}".strip("/").count("/")
    return (one.guessed, _FILES.index(last) if last in _FILES else len(_FILES), depth)


def _rank(path: str, one: Application) -> tuple[object, ...]:
    stem = posixpath.basename(path).removesuffix(".py")
    place = _FILES.index(stem) if stem in _FILES else len(_FILES)
    name = _NAMES.index(one.name) if one.name in _NAMES else len(_NAMES)
    return (one.factory, one.guessed, place, path.count("/"), name, path)


def is_ours(path: str) -> bool:
    """Whether a file is a module of the app itself, not of its tests, documentation or tools."""
    return path.endswith(".py") and not _NOT_OURS.search(path)


def parsed(path: str, read: Callable[[str], str], worth: re.Pattern[str] | None = None) -> ast.Module | None:
    """The syntax tree of a module of the app; None for another file, or if nothing of `worth` is in it."""
    if not is_ours(path):
        return None
    text = read(path)
    if not (worth.search(text) if worth else _WORTH.search(text) or _FACTORY.search(text)):
        return None
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _classes(tree: ast.Module, known: dict[str, Kind]) -> Iterator[tuple[str, Kind]]:
    """Classes at the top that are applications, as their bases are."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bases = [kind for base in node.bases if (kind := _kind_of(ast.unparse(base), known))]
            yield from ((node.name, kind) for kind in bases[:1])


def _functions(tree: ast.Module, known: dict[str, Kind]) -> Iterator[tuple[str, Kind]]:
    """Functions at the top that make an application and need no arguments."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not _needed(node):
            kinds = [kind for call in ast.walk(node) if (kind := _kind(call, known))]
            if kinds and any(isinstance(part, ast.Return) and part.value for part in ast.walk(node)):
                yield node.name, kinds[0]


def _needed(node: ast.FunctionDef) -> bool:
    positional = len(node.args.posonlyargs) + len(node.args.args) - len(node.args.defaults)
    return positional > 0 or any(default is None for default in node.args.kw_defaults)


def _applications(
    path: str,
    tree: ast.Module,
    files: Collection[str],
    read: Callable[[str], str],
    functions: dict[str, Kind],
) -> Iterator[Application]:
    directory, module = import_name(path, files, read)
    stem = posixpath.basename(path).removesuffix(".py")
    usual: Kind = "asgi" if stem == "asgi" else "wsgi"
    for name, value in assigned(tree.body):
        if kind := _kind(value, functions):
            sockets = "ProtocolTypeRouter" in ast.unparse(value)
            yield Application(directory, module, name, kind, sockets=sockets)
        elif name == "application" and isinstance(value, (ast.Call, ast.Name)):
            yield Application(directory, module, name, usual, guessed=True)
    if stem in ("wsgi", "asgi"):
        for name in _imported(tree):
            yield Application(directory, module, name, usual, guessed=True)
    for name, kind in _callables(tree):
        yield Application(directory, module, name, kind)
    for name, kind in _functions(tree, functions):
        if _FACTORY.fullmatch(name):
            yield Application(directory, module, name, kind, factory=True)


def _imported(tree: ast.Module) -> Iterator[str]:
    """The applications that a module takes from another one."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            names = (one.asname or one.name for one in node.names)
            yield from (name for name in names if name in ("application", "app"))


def _callables(tree: ast.Module) -> Iterator[tuple[str, Kind]]:
    """Functions at the top that are applications themselves."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            arguments = tuple(one.arg for one in node.args.args)
            made = [_FRAMEWORKS.get(ast.unparse(one)) for one in node.decorator_list]
            kind: Kind | None = next(filter(None, [_SIGNATURES.get(arguments), *made]), None)
            if kind and (node.name in _NAMES or any(made)):
                yield node.name, kind


def assigned(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """The names that a module gives to values, also below `if` and `try`, but not below `__main__`."""
    for node in body:
        if isinstance(node, ast.Assign):
            yield from ((one.id, node.value) for one in node.targets if isinstance(one, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value
        elif isinstance(node, ast.If) and "__main__" not in ast.unparse(node.test):
            yield from assigned([*node.body, *node.orelse])
        elif isinstance(node, (ast.Try, ast.With)):
            yield from assigned(node.body)


def _kind(node: ast.AST, functions: dict[str, Kind]) -> Kind | None:
    if not isinstance(node, ast.Call):
        return None
    return _kind_of(ast.unparse(node.func), functions)


def _kind_of(name: str, functions: dict[str, Kind]) -> Kind | None:
    last = name.rpartition(".")[2]
    return _FRAMEWORKS.get(name) or _FRAMEWORKS.get(last) or functions.get(last)


def import_name(path: str, files: Collection[str], read: Callable[[str], str]) -> tuple[str, str]:
    """The folder in which a module is imported, and its name there.

    That is the folder of manage.py, or the one that has the topmost package. Without `__init__.py`, it is
    the module's own folder if that is called src or its neighbours are imported by bare names, else the top.
    """
    folder, stem = posixpath.split(path.removesuffix(".py"))
    tops = [
        above
        for above in _above(folder)
        if posixpath.join(above, "manage.py") in files
        and posixpath.join(above, "__init__.py") not in files
        and "DJANGO_SETTINGS_MODULE" in read(posixpath.join(above, "manage.py"))
    ]
    top = folder
    while top and f"{top}/__init__.py" in files:
        top = posixpath.dirname(top)
    if top == folder and posixpath.basename(folder) != "src" and not _imports_neighbours(path, files, read):
        top = ""
    top = tops[0] if tops else top
    inside = posixpath.relpath(folder or ".", top or ".")
    parts = [*(part for part in inside.split("/") if part != "."), *([] if stem == "__init__" else [stem])]
    return top or ".", ".".join(parts)


def _above(folder: str) -> Iterator[str]:
    yield folder
    while folder:
        folder = posixpath.dirname(folder)
        yield folder


def _imports_neighbours(path: str, files: Collection[str], read: Callable[[str], str]) -> bool:
    folder = posixpath.dirname(path)
    names = re.findall(r"^\s*(?:from|import)\s+(\w+)", read(path), re.MULTILINE)
    return any(posixpath.join(folder, f"{name}.py") in files for name in names)
