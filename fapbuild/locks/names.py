"""The name of a package in a folder, read without running its code."""

import ast
import configparser
import contextlib
import posixpath
from pathlib import Path

from artifact_store.core import toml_text
from artifact_store.core.errors import UsageError
from fapbuild.project.config import PYPROJECT


def package_name(folder: Path, path: str) -> str:
    """The name of the package at `path` (PEP 621, Poetry, setup.cfg, setup.py); UsageError if it has none."""
    place = folder / path
    if place.suffix == ".whl":
        return place.name.partition("-")[0]
    try:
        pyproject = toml_text.loads((place / PYPROJECT).read_text(encoding="utf-8"))
        tables = (pyproject.get("project"), pyproject.get("tool", {}).get("poetry"))
        for table in tables:
            if isinstance(table, dict) and isinstance(table.get("name"), str):
                return str(table["name"])
    except (OSError, ValueError, AttributeError):
        pass
    parser = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(configparser.Error, ValueError):
        parser.read(place / "setup.cfg", encoding="utf-8")
        if name := parser.get("metadata", "name", fallback=""):
            return name
    if name := _name_in_setup(place / "setup.py"):
        return name
    raise UsageError(
        f"the package in {path} has no name that can be read without running it",
        hint=f"add to {posixpath.normpath(f'{path}/setup.cfg')}:\n  [metadata]\n  name = NAME",
    )


def _name_in_setup(path: Path) -> str:
    """The name that a setup.py gives to `setup` as text; empty if it is computed, or there is none."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("setup"):
            continue
        for keyword in node.keywords:
            value = keyword.value
            name = value.value if isinstance(value, ast.Constant) else None
            if isinstance(value, ast.Name):
                name = constants.get(value.id)
            if keyword.arg == "name" and isinstance(name, str):
                return name
    return ""
