"""The names of plugins in deploy.yml, and where the module of each one is."""

import os
import re
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BUILT_IN = ("localshared", "supervisorctl", "systemd", "healthcheck", "drain", "assets", "slack", "webhook")
ALWAYS = ("curl",)
"""Plugins that every role has, whether it names them or not."""
ENTRY_POINTS = "faprelease.plugins"
_PREFIX = re.compile(r"^(fapistrano\.plugins|fapistrano|faprelease\.plugins|faprelease)\.")


def named_plugins(key: str, value: Any) -> list[str]:
    """The names of plugins in the value of a key; empty unless it is a list of plugins."""
    if key != "plugins" and not key.endswith("_plugins"):
        return []
    return [str(name) for name in (value if isinstance(value, list) else [value]) if name is not None]


def bare(name: str) -> str:
    """The name without the prefix that fapistrano has: `systemd` for `fapistrano.systemd`."""
    return _PREFIX.sub("", name)


def module_of(name: str) -> str:
    """The import name of a plugin's module, from the name in deploy.yml; empty if it can't be one.

    It is that of a built-in plugin, of an entry point in the group `faprelease.plugins`, or the name itself.
    """
    name = bare(name)
    if name in (*BUILT_IN, *ALWAYS):
        return f"faprelease.plugins.{name}"
    from importlib.metadata import entry_points  # slow, and only needed for own plugins

    module = next((entry.module for entry in entry_points(group=ENTRY_POINTS, name=name)), name)
    return module if all(part.isidentifier() for part in module.split(".")) else ""


def is_beside(module: str, folder: Path) -> bool:
    """Whether the module, or the package that contains it, is in `folder` and not an installed one."""
    top = module.partition(".")[0]
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return (folder / f"{top}.py").is_file() or (folder / top).is_dir()
    # The folder can be on the path, for example with `python -m`.
    places = [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.has_location else [])]
    return any(os.path.realpath(Path(str(place)).parent) == str(folder.resolve()) for place in places)


def is_standard(module: str) -> bool:
    """Whether it is a module of Python itself: none of these is a plugin, and importing some does things."""
    return module.partition(".")[0] in sys.stdlib_module_names


def beside(names: Iterable[str], folder: Path) -> dict[str, str]:
    """The plugins that are modules in `folder`: the import name of each, by its name in deploy.yml."""
    modules = {name: module_of(name) for name in names if bare(name) not in (*BUILT_IN, *ALWAYS)}
    return {name: module for name, module in modules.items() if module and is_beside(module, folder)}
