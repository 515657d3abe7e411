"""Reads the settings: `[tool.fapbuild]` of pyproject.toml, or a fapbuild.toml."""

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Literal

import msgspec

from artifact_store.artifact.ids import check_app
from artifact_store.core import toml_text
from artifact_store.core.errors import UsageError

PYPROJECT = "pyproject.toml"
OWN_FILE = "fapbuild.toml"
LOCKS = ("pylock.toml", "uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock")
"""Locks of other tools."""


class Assets(msgspec.Struct, frozen=True, kw_only=True):
    """One asset step: shell commands, and the files or folders that they make."""

    name: str
    run: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    """All files that it writes, if empty."""
    directory: str = "."
    inputs: tuple[str, ...] = ()
    """Patterns of the files it gets; all if empty."""
    scratch: tuple[str, ...] = ()
    """Patterns of files it may leave behind, in addition to those of the usual tools."""
    tools: tuple[str, ...] = ()
    """Commands that print the versions of tools which decide the outputs."""
    environment: dict[str, str] = {}
    pass_env: tuple[str, ...] = ()
    """Names of variables that it gets from the environment of `pack`."""
    network: bool = True
    """Whether it may use the network; without, it has a loopback of its own."""
    venv: bool = False
    """Whether it gets a venv of the vendored packages, first on its PATH."""


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """A pattern (as in .gitignore) of files that a check would refuse, and why they are harmless."""

    path: str
    reason: str


class BuildSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of `[tool.fapbuild]`; paths are relative to the project's folder."""

    app: str = ""
    requirements: str = ""
    lock: str = ""
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    package: bool | None = None
    """Whether the project itself is built into a wheel and installed; None if its files decide."""
    target: str = ""
    exclude: tuple[str, ...] = ()
    requires_env: tuple[str, ...] = ()
    installer: Literal["fapkit", "own"] = "fapkit"
    bytecode: bool = False
    """Whether the artifact has the bytecode of its wheels, so that hosts do not compile it."""
    post_install: tuple[str, ...] = ()
    pass_env: tuple[str, ...] = ()
    """Names of variables that code which builds packages gets from the environment of `pack` and `lock`."""
    build_constraints: str = ""
    """A file of pip's constraints (`setuptools<82`) for what packages need to be built."""
    allow: tuple[Allowed, ...] = ()
    file_limit: int = 100
    """The largest file allowed in the project and its assets, in MB (1 000 000 bytes)."""
    assets: tuple[Assets, ...] = ()


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """The settings with every default filled in, and the dependencies in pyproject.toml."""

    settings: BuildSettings
    dependencies: tuple[str, ...]
    """`[project.dependencies]` with extras and groups; used if `settings.requirements` is empty.

    `-e .` stands for dependencies that only the build backend knows (setup.py, setup.cfg, `dynamic`).
    """
    requires_python: str = ""
    """The versions of Python that it runs on (`>=3.11`); empty if it does not say."""


def load(folder: Path, above: Sequence[Path] = ()) -> Project:
    """Read the settings of the project in `folder`.

    `above` are the folders above it in its repository, the nearest first: a uv workspace there may have the
    lock. Raises UsageError, naming file and key, for broken TOML, an unknown key, a wrong type, a path
    outside the project, a missing app name, or two locks.
    """
    pyproject = _toml(folder / PYPROJECT)
    own = _toml(folder / OWN_FILE)
    tool = _table(pyproject, "tool").get("fapbuild")
    if own and tool is not None:
        raise UsageError(f"both {OWN_FILE} and [tool.fapbuild] of {PYPROJECT} exist", hint="keep one of them")
    where = OWN_FILE if own else f"{PYPROJECT}: [tool.fapbuild]"
    settings = _settings(own or tool or {}, where)
    project = _table(pyproject, "project")
    name = project.get("name") or _table(_table(pyproject, "tool"), "poetry").get("name", "")
    app = settings.app or re.sub(r"[-_.]+", "-", str(name)).lower()
    if not app:
        raise UsageError(
            "this project has no name",
            hint=f'add to {PYPROJECT}:\n  [tool.fapbuild]\n  app = "shop"',
        )
    check_app(app)
    requirements, lock = _files(folder, above, settings)
    if requirements and not is_pylock(lock) and (settings.extras or settings.groups):
        raise UsageError(
            f"{where}: extras and groups need dependencies in {PYPROJECT}, but {requirements} is used",
            hint="remove extras and groups, or remove the key requirements",
        )
    return Project(
        settings=msgspec.structs.replace(
            settings,
            app=app,
            requirements=requirements,
            lock=lock,
            package=_is_package(folder, pyproject) if settings.package is None else settings.package,
        ),
        dependencies=_dependencies(folder, pyproject, settings, lock),
        requires_python=str(project.get("requires-python", "")),
    )


def _files(folder: Path, above: Sequence[Path], settings: BuildSettings) -> tuple[str, str]:
    """The requirements file and the lock, by name; found in the folder if the settings don't name them."""
    requirements, lock = settings.requirements, settings.lock
    if not requirements and not lock:
        sources = [name for name in ("requirements.in", *LOCKS) if (folder / name).is_file()]
        sources += filter(None, [workspace_lock(folder, above)])
        if len(sources) > 1:
            first, second = sources[:2]
            raise UsageError(
                f"both {first} and {second} list the dependencies",
                hint=f"name one in the settings: {_naming(first)} or {_naming(second)}",
            )
        lock = next((name for name in sources if name != "requirements.in"), "")
    if not requirements and not is_pylock(lock) and (folder / "requirements.in").is_file():
        requirements = "requirements.in"
    if not requirements and not lock and is_unhashed(_text(folder / "requirements.txt")):
        requirements = "requirements.txt"
    if not lock:
        lock = "requirements-lock.txt" if requirements == "requirements.txt" else "requirements.txt"
    return requirements, lock


def _naming(file: str) -> str:
    return f'{"requirements" if file == "requirements.in" else "lock"} = "{file}"'


def workspace_lock(folder: Path, above: Sequence[Path]) -> str:
    """The lock (`../uv.lock`) of the uv workspace that has the project in `folder` as a member; else empty.

    `above` are the folders that may have it (https://docs.astral.sh/uv/concepts/projects/workspaces).
    """
    for top in above:
        try:
            pyproject = toml_text.loads((top / PYPROJECT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        workspace = subtable(subtable(subtable(pyproject, "tool"), "uv"), "workspace")
        place = folder.relative_to(top)
        members, excluded = (
            any(place.match(str(pattern)) for pattern in workspace.get(key, ()))
            for key in ("members", "exclude")
        )
        if members and not excluded and (top / "uv.lock").is_file():
            return "/".join([*[".."] * len(place.parts), "uv.lock"])
    return ""


def subtable(above: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The table `key` in a table; empty if it is missing or not a table."""
    table = above.get(key)
    return table if isinstance(table, dict) else {}


def is_unhashed(text: str) -> bool:
    """Whether a requirements file is not empty and has no hashes, so is not a lock."""
    return bool(text.strip()) and "--hash" not in text


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def is_pylock(lock: str) -> bool:
    """Whether a lock of this name is in the format of PEP 751, or another tool's own."""
    name = lock.rpartition("/")[2]
    return name in LOCKS or re.fullmatch(r"pylock\.[^.]+\.toml", name) is not None


def _dependencies(
    folder: Path, pyproject: dict[str, Any], settings: BuildSettings, lock: str
) -> tuple[str, ...]:
    from packaging.dependency_groups import resolve_dependency_groups

    project = _table(pyproject, "project")
    lines = _strings(project.get("dependencies", []), "project.dependencies")
    if is_pylock(lock):
        return lines
    if backend_knows(lambda name: _text(folder / name), pyproject):
        chosen = f"[{','.join(settings.extras)}]" if settings.extras else ""
        lines = (f"-e .{chosen}",)
    else:
        optional = _table(project, "optional-dependencies")
        for extra in settings.extras:
            if extra not in optional:
                raise UsageError(
                    f"{PYPROJECT} has no extra {extra!r}", hint="see project.optional-dependencies"
                )
            lines += _strings(optional[extra], f"project.optional-dependencies.{extra}")
    if settings.groups:
        try:
            lines += resolve_dependency_groups(_table(pyproject, "dependency-groups"), *settings.groups)
        except (ExceptionGroup, LookupError, ValueError, TypeError, AttributeError) as error:
            raise UsageError(f"{PYPROJECT}: dependency-groups: {error}") from error
    return lines


def _is_package(folder: Path, pyproject: dict[str, Any]) -> bool:
    places = [path for pattern in ("*.py", "*/*", "src/*/__init__.py") for path in folder.glob(pattern)]
    names = frozenset(path.relative_to(folder).as_posix() for path in places)
    return is_package(names, lambda name: _text(folder / name), pyproject)


def is_package(files: Set[str], read: Callable[[str], str], pyproject: dict[str, Any]) -> bool:
    """Whether a project with these files is meant to be installed as a package.

    It is if it can be built, and has commands, a src layout, a list of its packages, or, for other backends
    than setuptools, a package of its own name: setuptools refuses a flat folder with others beside that.
    """
    project, tool = _table(pyproject, "project"), _table(pyproject, "tool")
    poetry, uv, pdm = (subtable(tool, name) for name in ("poetry", "uv", "pdm"))
    if poetry.get("package-mode") is False or uv.get("package") is False or pdm.get("distribution") is False:
        return False
    if project.get("version") == "":  # no backend builds that
        return False
    build = subtable(pyproject, "build-system")
    name = str(project.get("name") or poetry.get("name") or "")
    if not build or not name:
        text = read("setup.py") if "setup.py" in files else ""
        # One that imports its own package needs the dependencies, which no isolated build has.
        imported = (f"{name}/__init__.py" for name in _IMPORTED.findall(text))
        return _PACKAGED.search(text and text + read("setup.cfg")) is not None and not files & {*imported}
    setuptools, wheel = subtable(tool, "setuptools"), subtable(tool, "hatch")
    if "setuptools" in str(build.get("build-backend", "setuptools")) and not setuptools.keys() & _LISTS:
        texts = [read(path) for path in ("setup.py", "setup.cfg") if path in files]
        if not any(map(_PACKAGED.search, texts)) and _is_flat_with_several(files):
            return False
    for key in ("build", "targets", "wheel"):
        wheel = subtable(wheel, key)
    if any(project.get(key) for key in ("scripts", "gui-scripts", "entry-points")) or any(
        (
            poetry.get("scripts"),
            poetry.get("packages"),
            setuptools.get("packages"),
            setuptools.get("py-modules"),
        )
    ):
        return True
    if wheel.keys() & {"packages", "only-include", "include", "sources"} or any(map(_SRC.fullmatch, files)):
        return True
    own = re.sub(r"[-.]+", "_", name)
    flat = f"{own}/__init__.py" in files or f"{own}.py" in files
    return flat and "setuptools" not in str(build.get("build-backend", "setuptools"))


def _is_flat_with_several(files: Set[str]) -> bool:
    """Whether setuptools would find more than one package in the top folder, and refuse to guess."""
    tops = {path.partition("/")[0] for path in files if "/" in path}
    packages = [top for top in tops if top.isidentifier() and top not in _NO_PACKAGES]
    return len(packages) > 1 and "src" not in tops


_LISTS = {"packages", "py-modules", "package-dir"}
_NO_PACKAGES = frozenset(
    (
        *("ci", "bin", "debian", "doc", "docs", "documentation", "manpages", "news", "newsfragments"),
        *("changelog", "test", "tests", "unit_test", "unit_tests", "example", "examples", "scripts", "tools"),
        *("util", "utils", "python", "build", "benchmark", "benchmarks", "exercise", "exercises", "htmlcov"),
    )
)
"""Folders that setuptools does not take for packages (its FlatLayoutPackageFinder)."""
_SRC = re.compile(r"src/\w+/__init__\.py")
_IMPORTED = re.compile(r"^(?:from|import)\s+(\w+)", re.MULTILINE)
_PACKAGED = re.compile(r"\b(entry_points|scripts|packages|py_modules)\b")


def backend_knows(read: Callable[[str], str], pyproject: dict[str, Any]) -> bool:
    """Whether only the build backend knows the dependencies: `dynamic`, or setup.py or setup.cfg alone."""
    project = _table(pyproject, "project")
    if project:
        return "dependencies" in _strings(project.get("dynamic", []), "project.dynamic")
    texts = (read("setup.py"), read("setup.cfg"))
    return "poetry" not in _table(pyproject, "tool") and any("install_requires" in text for text in texts)


def _strings(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        raise UsageError(f"{PYPROJECT}: {where} is not a list of strings")
    return tuple(value)


def _table(above: dict[str, Any], key: str) -> dict[str, Any]:
    table = above.get(key, {})
    if not isinstance(table, dict):
        raise UsageError(f"{PYPROJECT}: {key} is not a table")
    return table


def _toml(path: Path) -> dict[str, Any]:
    try:
        return toml_text.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name}: {error}") from error


def _settings(raw: Any, where: str) -> BuildSettings:
    if not isinstance(raw, dict):
        raise UsageError(f"{where} is not a table")
    _refuse_unknown(raw, BuildSettings, where)
    for key, kind in (("assets", Assets), ("allow", Allowed)):
        tables = raw.get(key, [])
        for number, table in enumerate(tables if isinstance(tables, list) else []):
            if isinstance(table, dict):
                _refuse_unknown(table, kind, f"{where} {key}[{number}]")
    try:
        settings = msgspec.convert(raw, BuildSettings)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        key = path.rstrip("`").lstrip(".")
        raise UsageError(f"{where} {key}: {text}" if key else f"{where}: {text}") from error
    _check_paths(settings, where)
    for allowed in settings.allow:
        if not allowed.path.strip() or not allowed.reason.strip():
            raise UsageError(f"{where} allow: {allowed.path!r} needs a path and a reason")
    if settings.bytecode and settings.installer == "own":
        raise UsageError(
            f"{where} bytecode: your own install.sh does not use it",
            hint='remove it, or installer = "own"',
        )
    if settings.post_install and settings.installer == "own":
        raise UsageError(
            f"{where} post_install: hosts run your own install.sh instead",
            hint="run the commands in install.sh",
        )
    if settings.file_limit <= 0:
        raise UsageError(f"{where} file_limit: {settings.file_limit} MB would refuse every file")
    for name in settings.requires_env:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise UsageError(
                f"{where} requires_env: {name!r} is not the name of a variable",
                hint="list names only, without values",
            )
    return settings


def _refuse_unknown(raw: dict[str, Any], kind: type[msgspec.Struct], where: str) -> None:
    known = kind.__struct_fields__
    for key in raw:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            raise UsageError(
                f"{where}: unknown key {key!r}",
                hint=f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}",
            )


def _check_paths(settings: BuildSettings, where: str) -> None:
    paths = [("requirements", settings.requirements), ("build_constraints", settings.build_constraints)]
    if settings.lock.startswith("/"):
        raise UsageError(
            f"{where} lock: {settings.lock!r} is an absolute path", hint="write it relative to the project"
        )
    for step in settings.assets:
        paths.append((f"assets {step.name!r} directory", step.directory))
        paths += [(f"assets {step.name!r} outputs", path) for path in step.outputs]
    for key, path in paths:
        if path.startswith("/") or ".." in path.split("/"):
            raise UsageError(f"{where} {key}: {path!r} is outside the project's folder")
    for step in settings.assets:
        for path in step.outputs:
            if not [part for part in path.split("/") if part not in ("", ".")]:
                raise UsageError(
                    f"{where} assets {step.name!r} outputs: {path!r} is the whole project",
                    hint="name the files or folders that the step makes",
                )
