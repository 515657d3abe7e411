"""The signals at which plugins add steps, and how plugins are found by the names in deploy.yml.

A plugin is a module. It may define `Options`, a frozen msgspec.Struct of the keys it adds to deploy.yml
with their defaults, and hooks of the names below, marked with `hookimpl`. A hook yields steps for one
host; it runs nothing.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from types import ModuleType
from typing import Any, Literal, TypeVar

import msgspec
import pluggy

from faprelease.config import Target
from faprelease.deployfile import DeployFile
from faprelease.errors import ConfigError, FapError
from faprelease.steps import Step

hookspec = pluggy.HookspecMarker("faprelease")
hookimpl = pluggy.HookimplMarker("faprelease")
T = TypeVar("T", bound=msgspec.Struct)

BUILT_IN = ("localshared", "supervisorctl", "systemd", "healthcheck", "drain", "assets", "slack", "webhook")
STRATEGIES = ("curl",)
_PREFIX = re.compile(r"^(fapistrano\.plugins|fapistrano|faprelease\.plugins|faprelease)\.")


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

    def has_plugin(self, *names: str) -> bool:
        """Is one of these among the plugins of the role, by its short name?"""
        return not {name.rpartition(".")[2] for name in self.target.settings.plugins}.isdisjoint(names)

    def options(self, kind: type[T]) -> T:
        """The plugin's own values; raises ConfigError if one is of the wrong kind."""
        values = self.target.plugin_values
        known = {name: values[name] for name in kind.__struct_fields__ if name in values}
        try:
            return msgspec.convert(known, kind, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigError(f"deploy.yml: {error}", hint=f"see the {kind.__module__} keys") from error


What = Literal["started", "finished", "failed", "rolled back", "partly done", "interrupted"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """How a run goes. Secrets are masked in it."""

    what: What
    verb: str
    title: str
    app: str
    stage: str
    roles: tuple[str, ...]
    hosts: tuple[str, ...]
    release: str
    who: str
    at: datetime
    """When the run began."""
    message: str = ""
    """What went wrong."""


class Signals:
    """Each hook is called once a host, when the plan is made; it yields the steps to run at that signal.

    `checking` is the health gate: its steps look whether the release runs well, and change nothing, as they
    also run to find out that there is nothing to do. `explaining` comes only after a host failed to publish
    or to pass its gate: its steps show what the app said last, however they end.
    """

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
    def deploy_draining(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_publishing(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_published(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_checking(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_undraining(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_explaining(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_finishing(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_finished(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def deploy_failed(self, context: Context) -> Iterable[Step]: ...  # type: ignore[empty-body]

    @hookspec
    def notify(self, context: Context, event: Event) -> None:
        """Called on the controller, in a thread beside the run, when it begins and when it has ended;
        whatever it raises is only said."""


class Plugins:
    """The plugins of one deploy.yml."""

    def __init__(self, modules: Mapping[str, ModuleType]) -> None:
        self._modules = dict(modules)
        self._pluggy = pluggy.PluginManager("faprelease")
        self._pluggy.add_hookspecs(Signals)
        for name, module in modules.items():
            self._pluggy.register(module, name)
        self._pluggy.check_pending()

    def names(self) -> list[str]:
        """Those that do something on hosts, as deploy.yml names them, in its order."""
        return [name for name, module in self._modules.items() if _has_steps(module)]

    def option_kinds(self) -> list[type[msgspec.Struct]]:
        """The `Options` of those that do something on hosts."""
        kinds = [getattr(self._modules[name], "Options", None) for name in self.names()]
        return [kind for kind in kinds if kind is not None]

    def notified(self) -> bool:
        """Does any of them want to know how a run goes?"""
        return bool(self._pluggy.hook.notify.get_hookimpls())

    def notify(self, context: Context, event: Event) -> Iterator[str]:
        """Tell all of them; yields what went wrong, one line for each that could not do it."""
        known = {"context": context, "event": event}
        for hook in self._pluggy.hook.notify.get_hookimpls():
            try:
                hook.function(*(known[name] for name in hook.argnames))
            except FapError as error:
                yield f"{hook.plugin_name}: {error.message}"
            except Exception as error:  # of anyone's plugin; its text may hold a secret
                yield f"{hook.plugin_name}: {type(error).__name__}"

    def steps(self, signal: str, context: Context) -> tuple[Step, ...]:
        """The steps of all plugins at a signal (`published`), in the order the file names the plugins."""
        answers = getattr(self._pluggy.hook, f"deploy_{signal}")(context=context)
        return tuple(step for steps in reversed(answers) for step in steps)


def _has_steps(module: ModuleType) -> bool:
    return any(name.startswith("deploy_") for name in vars(module))


def load(names: Iterable[str], file: DeployFile) -> Plugins:
    """Import the plugins that a role names; raises ConfigError for one that is not there."""
    found = {name: _import(name, file) for name in names}
    return Plugins({name: module for name, module in found.items() if module is not None})


def options_of(file: DeployFile) -> dict[str, Any]:
    """Every key that a strategy or plugin can add, with its default; raises ConfigError as `load` does."""
    named = file.values.get("plugins") or []
    names = [str(name) for name in (named if isinstance(named, list) else [named])]
    strategies = [import_module(f"faprelease.strategies.{name}") for name in STRATEGIES]
    plugins = [_import(name, file) for name in dict.fromkeys([*BUILT_IN, *names])]
    found: dict[str, Any] = {}
    for module in (*strategies, *plugins):
        options = getattr(module, "Options", None)
        if options is not None:
            found |= msgspec.structs.asdict(options())
    return found


def _import(name: str, file: DeployFile) -> ModuleType | None:
    """The module behind a plugin's name; None for a strategy, which is part of the core."""
    bare = _PREFIX.sub("", name)
    if bare in STRATEGIES:
        return None
    try:
        return import_module(f"faprelease.plugins.{bare}" if bare in BUILT_IN else bare)
    except (ModuleNotFoundError, ValueError) as error:
        raise ConfigError(
            f"{file.where('plugins')}: there is no plugin {name!r} ({error})",
            hint=f"built in are: {', '.join((*STRATEGIES, *BUILT_IN))}; your own is named by its module",
        ) from error
