"""Finds Django's settings for hosts, and variables without which they don't load, with made-up values."""

import ast
import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Sequence

from fapbuild.onboarding.applications import assigned

_CASTS = {"bool": "false", "int": "1", "float": "1", "list": "", "tuple": "", "json": "{}", "dict": ""}
_URLS = {
    **dict.fromkeys(("db", "db_url", "dj_db_url"), "sqlite://:memory:"),
    **dict.fromkeys(("cache", "cache_url", "dj_cache_url"), "locmemcache://"),
    **dict.fromkeys(("email", "email_url", "dj_email_url"), "dummymail://"),
    "url": "http://localhost",
}
"""By the method of django-environ or environs."""
_OF_DEVELOPERS = re.compile(r"(^|[._])(local|dev|develop|development|tests?|testing|debug|ci)$")
_NAMES_SETTINGS = re.compile(r"(^|/)([wa]sgi\.py|Dockerfile|Procfile)$")
_MODULE_OF_HOSTS = re.compile(r"""(?:getenv|environ\.get)\(\s*["'](\w+)["']\s*,\s*["']([\w.]+)["']""")
_CONDITIONAL = (
    *(
        ast.FunctionDef,
        ast.ClassDef,
        ast.AsyncFunctionDef,
        ast.If,
        ast.Try,
        ast.IfExp,
        ast.BoolOp,
        ast.Lambda,
    ),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)
_USUAL = ("production", "prod", "base")
_NAMED = re.compile(r"DJANGO_SETTINGS_MODULE['\"]\s*,\s*['\"]([\w.]+)")
_GETTERS = ("os.environ.get", "os.getenv", "environ.get", "getenv")
_READERS = re.compile(r"(\w*env|config|getenv)$")


def settings_of_manage(text: str, folder: str, files: Collection[str]) -> str:
    """The settings module that a manage.py names, at once or by a variable; empty if it names none."""
    if "DJANGO_SETTINGS_MODULE" not in text:
        return ""
    if direct := _NAMED.search(text):
        return direct[1]
    names: list[str] = re.findall(r"[\"']((?:\w+\.)+\w+)[\"']", text)
    started = re.findall(r"[\"']((?:\w+\.)+)(?:\{|[\"']\s*[+%])", text)  # f"shop.settings.{name}"
    names += [f"{start}{usual}" for start in started for usual in _USUAL]
    return next((name for name in names if _is_module(name, folder, files)), "")


def servers_lack_settings(folder: str, files: Collection[str], read: Callable[[str], str]) -> bool:
    """Whether wsgi.py or asgi.py names a settings module that is not committed, such as a local one."""
    servers = (path for path in files if re.search(r"(^|/)[wa]sgi\.py$", path))
    named = (match for path in servers for match in _NAMED.finditer(read(path)))
    return any(not _is_module(match[1], folder, files) for match in named)


def settings_for_hosts(module: str, folder: str, files: Collection[str], read: Callable[[str], str]) -> str:
    """The settings module that hosts use, where manage.py names one of developers, or an empty package.

    It is the one of wsgi.py, asgi.py or the Dockerfile, or else `production` beside it.
    """
    start = posixpath.join(folder, module.replace(".", "/"))
    package = f"{start}/__init__.py"
    is_empty = package in files and not re.search(r"^\s*(from|import|INSTALLED_APPS)\b", read(package), re.M)
    if not (is_empty or _OF_DEVELOPERS.search(module)):
        return module
    above = module if is_empty else module.rpartition(".")[0]
    texts = [read(path) for path in sorted(files) if _NAMES_SETTINGS.search(path)]
    named: list[str] = re.findall(rf"\b{re.escape(above)}\.\w+", "\n".join(texts))
    usual = [f"{above}.{name}" for name in _USUAL]
    for one in (*named, *usual):
        if not _OF_DEVELOPERS.search(one) and _is_module(one, folder, files):
            return one
    return module


def _is_module(name: str, folder: str, files: Collection[str]) -> bool:
    path = posixpath.join(folder, name.replace(".", "/"))
    return f"{path}.py" in files or f"{path}/__init__.py" in files


def made_up_modules(texts: Sequence[str], folder: str, files: Collection[str]) -> Iterator[tuple[str, str]]:
    """Variables that name a module of settings which only hosts have, each with one for tests beside it."""
    for text in texts:
        for name, module in _MODULE_OF_HOSTS.findall(text):
            path = posixpath.join(folder, module.replace(".", "/"))
            beside = [f"{module}{end}" for end in ("_testing", "_test", "_ci", "_example", "_sample")]
            found = [one for one in beside if f"{path}{one.removeprefix(module)}.py" in files]
            if f"{path}.py" not in files and found:
                yield name, found[0]


def needed_variables(texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The names that the settings read and give no default for, each once."""
    known: set[str] = set()
    for text in texts:
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        with_defaults = re.findall(r"[\"']?(\w+)[\"']?\s*[=:]\s*\(", text)
        optional = [name for name, value in assigned(tree.body) if ast.unparse(value) in _GETTERS]
        for name, value in _read(tree, with_defaults, optional):
            if name not in known and re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
                known.add(name)
                yield name, value


def _demanded(body: Sequence[ast.stmt]) -> Iterator[str]:
    """The variables of which a module raises an error if they are not set: `if KEY is None: raise …`."""
    read = {}
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args:
            first = node.value.args[0]
            if ast.unparse(node.value.func) in _GETTERS and isinstance(first, ast.Constant):
                read[ast.unparse(node.targets[0])] = str(first.value)
        elif isinstance(node, ast.If) and any(isinstance(one, ast.Raise) for one in node.body):
            tested = ast.unparse(node.test).removeprefix("not ").removesuffix(" is None")
            if tested in read:
                yield read[tested]


def _read(
    tree: ast.Module, with_defaults: Sequence[str], optional: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """The variables that a module needs; functions that `optional` names give None for those not set."""
    nodes = [*_unconditional(tree.body)]
    casts = {
        id(inside): node.func.id
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CASTS
        for inside in node.args
    }
    yield from ((name, _value(name, "")) for name in (*_secret_keys(tree.body), *_demanded(tree.body)))
    for node in nodes:
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
            name = node.slice.value if isinstance(node.slice, ast.Constant) else None
            if isinstance(name, str) and isinstance(node.ctx, ast.Load):
                yield name, _value(name, casts.get(id(node), ""))
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name, reader, method = node.args[0].value, *_reader(node.func)
            has_default = len(node.args) > 1 or any(one.arg == "default" for one in node.keywords)
            if not isinstance(name, str) or reader in ("", *optional):
                continue
            if has_default or name in with_defaults:
                continue
            if reader != "getenv" and not (reader == "environ" and method == "get"):
                cast = next((ast.unparse(one.value) for one in node.keywords if one.arg == "cast"), method)
                yield name, _value(name, cast)


def _secret_keys(body: Sequence[ast.stmt]) -> Iterator[str]:
    """The variable of SECRET_KEY, without which Django starts no command, if its default is empty."""
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SECRET_KEY":
            calls = (call for call in ast.walk(node.value) if isinstance(call, ast.Call))
            for call in calls:
                values = [*call.args, *(one.value for one in call.keywords)]
                constants = [one.value for one in values if isinstance(one, ast.Constant)]
                if constants and len(constants) == len(values) and not any(constants[1:]):
                    yield str(constants[0])


def _unconditional(body: Sequence[ast.stmt]) -> Iterator[ast.AST]:
    """Everything that runs when the settings are imported, whatever they are."""
    for node in body:
        waiting: list[ast.AST] = [node]
        while waiting:
            one = waiting.pop()
            if not isinstance(one, _CONDITIONAL):
                yield one
                waiting += ast.iter_child_nodes(one)


def _reader(function: ast.expr) -> tuple[str, str]:
    """What reads a variable (`env`, `config`, `get_int_env`), and its method or type, if any."""
    first, _, method = ast.unparse(function).partition(".")
    typed = next((name for name in _CASTS if name in first.split("_")), "")
    return (first, method or typed) if _READERS.match(first) else ("", "")


def _value(name: str, cast: str) -> str:
    if cast in _URLS:
        return _URLS[cast]
    if cast in _CASTS:
        return _CASTS[cast]
    if "DATABASE_URL" in name:
        return "sqlite://:memory:"
    return "redis://localhost" if "REDIS" in name else "only-for-the-build"
