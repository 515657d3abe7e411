"""The built-in plugins, and the loading of plugins by their names in deploy.yml."""

import re
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from faprelease.config import keys
from faprelease.config.build_steps import named_plugins
from faprelease.config.deployfile import DeployFile
from faprelease.config.keys import Key
from faprelease.config.layers import everything_said
from faprelease.config.settings import Settings
from faprelease.errors import ConfigError
from faprelease.plugins.hooks import Plugins

BUILT_IN = ("localshared", "supervisorctl", "systemd", "healthcheck", "drain", "assets", "slack", "webhook")
ALWAYS = ("curl",)
"""Plugins that every role has, whether it names them or not."""
ENTRY_POINTS = "faprelease.plugins"
_PREFIX = re.compile(r"^(fapistrano\.plugins|fapistrano|faprelease\.plugins|faprelease)\.")


def load(names: Iterable[str], file: DeployFile) -> Plugins:
    """Import the plugins of a role. Raises ConfigError if one is missing or broken."""
    modules = {name: _import(name, file) for name in names}
    return Plugins({name: module for name, module in modules.items() if module is not None})


def built_in_keys() -> dict[str, Key]:
    """The keys of the built-in plugins."""
    return options_of(DeployFile("", {}, {}))


def options_of(file: DeployFile, flags: Mapping[str, Any] | None = None) -> dict[str, Key]:
    """Return every key that a plugin adds. Raises ConfigError as `load` does, and if two plugins add the same
    key."""
    settings = [*everything_said(file), *(((key,), value) for key, value in (flags or {}).items())]
    plugin_names = [name for place, value in settings for name in named_plugins(place[-1], value)]
    always = [(name, import_module(f"faprelease.plugins.{name}")) for name in ALWAYS]
    names = dict.fromkeys([*BUILT_IN, *plugin_names])
    plugins = {id(module): (name, module) for name in names if (module := _import(name, file)) is not None}
    result: dict[str, Key] = {}
    owners = dict.fromkeys(Settings.__struct_fields__, "fapkit itself")
    for name, module in (*always, *plugins.values()):
        for key in _keys_of(name, module):
            if key.name in owners:
                raise ConfigError(
                    f"plugin {name} adds the key {key.name}, which {owners[key.name]} already has",
                    hint=f"rename it: {name}_{key.name}",
                )
            owners[key.name], result[key.name] = f"plugin {name}", key
    return result


def _keys_of(name: str, module: Any) -> list[Key]:
    options = getattr(module, "Options", None)
    if options is None:
        return []
    try:
        options()
        return list(keys.of(options, name.rpartition(".")[2]).values())
    except TypeError as error:
        raise ConfigError(f"plugin {name}: its Options: {error}", hint="give every key a default") from error


def _import(name: str, file: DeployFile) -> Any:
    """Import a plugin by its name; None if every role has it.

    The name is that of a built-in plugin, of an entry point in the group `faprelease.plugins`, or of a
    module, which may be beside deploy.yml; in this order.
    """
    bare = _PREFIX.sub("", name)
    if bare in ALWAYS:
        return None
    if bare in BUILT_IN:
        return import_module(f"faprelease.plugins.{bare}")
    from importlib.metadata import entry_points  # slow, and only needed for own plugins

    folder = str(Path(file.name).resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        for entry in entry_points(group=ENTRY_POINTS, name=bare):
            return entry.load()
        return import_module(bare)
    except Exception as error:  # a module may raise anything when it is imported
        reason = str(error) if isinstance(error, ModuleNotFoundError) else f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"{file.where('plugins')}: can't load the plugin {name!r} ({reason})",
            hint=f"built-in plugins: {', '.join((*ALWAYS, *BUILT_IN))}; a plugin of yours is a module beside"
            f" deploy.yml, an installed module, or an entry point of the group {ENTRY_POINTS}",
        ) from error
