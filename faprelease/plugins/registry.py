"""The loading of plugins by their names in deploy.yml.

Those beside deploy.yml are loaded only in a checkout that is trusted (`config.checkout`); others are unread,
and their keys are not checked then.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from faprelease.config import checkout, keys, plugin_names
from faprelease.config.deployfile import DeployFile
from faprelease.config.keys import Key
from faprelease.config.layers import every_key, own_keys
from faprelease.config.plugin_names import ALWAYS, BUILT_IN, ENTRY_POINTS, named_plugins
from faprelease.config.settings import Settings
from faprelease.config.target import CORE, Target
from faprelease.errors import ConfigError
from faprelease.plugins import beside, schedules
from faprelease.plugins.hooks import Plugins


def load(names: Iterable[str], file: DeployFile, *, skip: bool = False) -> Plugins:
    """Import the plugins of a role. Raises ConfigError if one is missing or broken, and UntrustedError for
    one beside deploy.yml in a checkout that is not trusted, unless those are to be skipped."""
    names = list(names)
    unread = _unread(names, file) if skip else ()
    skipped = {*unread, *(broken([name for name in names if name not in unread], file) if skip else ())}
    modules = {name: _import(name, file) for name in names if name not in skipped}
    return Plugins({name: module for name, module in modules.items() if module is not None})


def with_schedules(plugins: Plugins, target: Target, *, had_schedules: bool) -> Plugins:
    """The plugins of a host, with the one for its schedules if it has some, or had some once."""
    if not target.schedules and not had_schedules:
        return plugins
    return plugins.and_also("faprelease.plugins.schedules", schedules)


def broken(names: Iterable[str], file: DeployFile) -> dict[str, ConfigError]:
    """The plugins that can't be imported, each with the reason."""
    found = {}
    for name in names:
        try:
            _import(name, file)
        except ConfigError as error:
            found[name] = error
    return found


def built_in_keys() -> dict[str, Key]:
    """The keys of the built-in plugins."""
    return options_of(DeployFile("", {}, {}))


def unread(file: DeployFile, flags: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """The plugins that are not loaded because they are code of a checkout that is not trusted."""
    return _unread(_named(file, flags), file)


def unread_warning(file: DeployFile, flags: Mapping[str, Any] | None = None) -> str:
    """A line that names the unread plugins; empty if there is none."""
    names = ", ".join(unread(file, flags))
    return names and (
        f"{file.name}: not loaded, since this checkout is not trusted: {names}; their keys are not checked;"
        f" to trust it: {checkout.trust_command(file)}"
    )


def broken_in(file: DeployFile, flags: Mapping[str, Any] | None = None) -> dict[str, ConfigError]:
    """The plugins of the file that were read and can't be imported, each with the reason."""
    names = _named(file, flags)
    unread = _unread(names, file)
    return broken([name for name in names if name not in unread], file)


def options_of(
    file: DeployFile, flags: Mapping[str, Any] | None = None, *, skipped: Iterable[str] = ()
) -> dict[str, Key]:
    """Return every key that a plugin adds. If a plugin is unread, or `skipped`, every unknown key may be its
    own, and can have any value. Raises ConfigError as `load` does, and if two plugins add the same key."""
    names = _named(file, flags)
    skipped = (*_unread(names, file), *skipped)
    always = [(name, import_module(f"faprelease.plugins.{name}")) for name in ALWAYS]
    loaded = {name: _import(name, file) for name in names if name not in skipped}
    plugins = {id(module): (name, module) for name, module in loaded.items() if module is not None}
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
    if skipped:
        owner, about = f"{', '.join(skipped)} (not loaded)", "not checked: the plugin was not loaded"
        unknown = {*own_keys(file, {**CORE, **result}), *(flags or ())} - {*CORE, *result}
        result |= {name: Key(name, Any, None, about, "no", owner) for name in sorted(unknown)}
    return result


def _named(file: DeployFile, flags: Mapping[str, Any] | None) -> list[str]:
    """The built-in plugins, and those that the file or the flags name."""
    settings = [*every_key(file), *(((key,), value) for key, value in (flags or {}).items())]
    own = [name for place, value in settings for name in named_plugins(place[-1], value)]
    return list(dict.fromkeys([*BUILT_IN, *own]))


def _unread(names: Iterable[str], file: DeployFile) -> tuple[str, ...]:
    found = tuple(plugin_names.beside(names, _folder(file)))
    return found if found and checkout.trusted(file) is None else ()


def _folder(file: DeployFile) -> Path:
    return Path(file.name).resolve().parent


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
    bare = plugin_names.bare(name)
    if bare in ALWAYS:
        return None
    if bare in BUILT_IN:
        return import_module(f"faprelease.plugins.{bare}")
    place = file.where("plugins")
    if own := plugin_names.beside([name], _folder(file)):
        what = f"{place}: the plugin {name!r}"
        trusted = checkout.refuse_untrusted(file, what)
        if not beside.allow(trusted, _folder(file), own[name]):
            raise checkout.UntrustedError(
                f"{what} was not trusted with this checkout, because deploy.yml does not name it",
                hint=f"name it in deploy.yml, then: {checkout.trust_command(file)}",
            )
    from importlib.metadata import entry_points  # slow, and only needed for own plugins

    try:
        if plugin_names.is_standard(plugin_names.module_of(name)):
            raise ImportError("it is a module of Python's standard library")
        for entry in entry_points(group=ENTRY_POINTS, name=bare):
            return entry.load()
        return import_module(bare)
    except Exception as error:  # a module may raise anything when it is imported
        known = (ImportError, ModuleNotFoundError)
        reason = str(error) if type(error) in known else f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"{place}: can't load the plugin {name!r} ({reason})",
            hint=f"built-in plugins: {', '.join((*ALWAYS, *BUILT_IN))}; a plugin of yours is a module beside"
            f" deploy.yml, an installed module, or an entry point of the group {ENTRY_POINTS}",
        ) from error
