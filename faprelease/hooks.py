"""The signals at which plugins add steps, and how plugins are found by the names in deploy.yml.

A plugin is a module. It may define `Options`, a frozen msgspec.Struct of the keys it adds to deploy.yml
with their defaults, and hooks of the names below, marked with `hookimpl`. A hook yields steps for one
host; it runs nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

import msgspec
import pluggy

from faprelease.config import Target
from faprelease.deployfile import DeployFile
from faprelease.errors import ConfigError
from faprelease.steps import Step

hookspec = pluggy.HookspecMarker("faprelease")
hookimpl = pluggy.HookimplMarker("faprelease")
T = TypeVar("T", bound=msgspec.Struct)

BUILT_IN = ("supervisorctl",)
STRATEGIES = ("curl",)


@dataclass(frozen=True)
class Context:
    """What a hook may know when it decides its steps for one host.

    `release` is the folder of the release that the host is to run after this signal, `previous` the one it
    ran before; either is empty where there is none.
    """

    target: Target
    verb: str
    release: str
    previous: str

    def options(self, kind: type[T]) -> T:
        """The plugin's own values; raises ConfigError if one is of the wrong kind."""
        values = self.target.plugin_values
        known = {name: values[name] for name in kind.__struct_fields__ if name in values}
        try:
            return msgspec.convert(known, kind, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigError(f"deploy.yml: {error}", hint=f"see the {kind.__module__} keys") from error


class Signals:
    """Each hook is called once a host, when the plan is made; it yields the steps to run at that signal."""

    @hookspec
    def deploy_starting(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_started(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_updating(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_updated(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_reverting(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_reverted(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_publishing(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_published(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_finishing(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_finished(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_failed(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]


class Plugins:
    """The plugins of one deploy.yml."""

    def __init__(self, modules: Mapping[str, ModuleType]) -> None:
        self._pluggy = pluggy.PluginManager("faprelease")
        self._pluggy.add_hookspecs(Signals)
        for name, module in modules.items():
            self._pluggy.register(module, name)
        self._pluggy.check_pending()

    def steps(self, signal: str, context: Context) -> tuple[Step, ...]:
        """The steps of all plugins at a signal (`published`), in the order the file names the plugins."""
        answers = getattr(self._pluggy.hook, f"deploy_{signal}")(context=context)
        return tuple(step for steps in reversed(answers) for step in steps)


def load(names: Iterable[str], file: DeployFile) -> Plugins:
    """Import the plugins that a role names; raises ConfigError for one that is not there."""
    modules = {}
    for name in names:
        module_name = _module_name(name)
        if module_name is None:
            continue
        try:
            modules[name] = import_module(module_name)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"{file.where('plugins')}: there is no plugin {name!r} ({error})",
                hint=f"built in are: {', '.join((*STRATEGIES, *BUILT_IN))}; your own is named by its module",
            ) from error
    return Plugins(modules)


def options_of(file: DeployFile) -> dict[str, Any]:
    """Every key that a strategy or plugin can add, with its default."""
    names = {f"faprelease.plugins.{name}" for name in BUILT_IN}
    names |= {f"faprelease.strategies.{name}" for name in STRATEGIES}
    found: dict[str, Any] = {}
    for name in sorted(names | _named(file)):
        try:
            module = import_module(name)
        except ModuleNotFoundError:
            continue  # `load` says so, where the role that wants it is known
        options = getattr(module, "Options", None)
        if options is not None:
            found |= msgspec.structs.asdict(options())
    return found


def _named(file: DeployFile) -> set[str]:
    plugins = file.values.get("plugins") or []
    names = plugins if isinstance(plugins, list) else [plugins]
    return {module for name in names if (module := _module_name(str(name)))}


def _module_name(name: str) -> str | None:
    """The module behind a plugin's name; None for a strategy, which is part of the core."""
    for prefix in ("fapistrano.plugins.", "fapistrano.", "faprelease.plugins.", "faprelease."):
        if name.startswith(prefix):
            name = name.removeprefix(prefix)
            break
    if name in STRATEGIES:
        return None
    return f"faprelease.plugins.{name}" if "." not in name and name in BUILT_IN else name
