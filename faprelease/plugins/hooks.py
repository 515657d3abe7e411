"""The signals at which plugins add steps, and how plugins are found by the names in deploy.yml.

A plugin is a module. It may define `Options`, a frozen msgspec.Struct of the keys it adds to deploy.yml
with their defaults, and hooks of the names below, marked with `hookimpl`. A hook yields steps for one
host; it runs nothing.
"""

import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import pluggy

from faprelease.config import keys
from faprelease.config.build_steps import named_plugins
from faprelease.config.deployfile import DeployFile
from faprelease.config.keys import Key
from faprelease.config.layers import everything_said
from faprelease.config.settings import Settings
from faprelease.config.target import Target
from faprelease.errors import ConfigError, FapError
from faprelease.steps.model import Step

hookspec = pluggy.HookspecMarker("faprelease")
hookimpl = pluggy.HookimplMarker("faprelease")
T = TypeVar("T", bound=msgspec.Struct)
A = TypeVar("A")

BUILT_IN = ("localshared", "supervisorctl", "systemd", "healthcheck", "drain", "assets", "slack", "webhook")
ALWAYS = ("curl",)
"""Plugins that every role has, named or not."""
ENTRY_POINTS = "faprelease.plugins"
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


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """How a run goes, for the hook `notify`. Secrets are redacted in it."""

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
    def notify(self, context: Context, event: Notification) -> None:
        """Called on the controller, in a thread beside the run, when it begins and when it has ended;
        whatever it raises is only said."""

    @hookspec
    def deploy_logs(self, context: Context, follow: bool) -> Iterable[Step]:  # type: ignore[empty-body]
        """What prints the log of what runs, and with `follow` goes on as it grows; for `faprelease logs`."""

    @hookspec
    def ports(self, context: Context) -> Iterable[int]:  # type: ignore[empty-body]
        """The TCP ports on which a release answers on its own host."""

    @hookspec
    def brings(self, context: Context) -> Iterable[str]:  # type: ignore[empty-body]
        """What the plugin itself puts on a host: names of linked files, which then need not be there before
        the first release, and absolute paths of a process manager's configuration."""


class Plugins:
    """The plugins of one role, as deploy.yml names them, in its order."""

    def __init__(self, modules: Mapping[str, Any]) -> None:
        self._modules = dict(modules)
        self._pluggy = pluggy.PluginManager("faprelease")
        self._pluggy.add_hookspecs(Signals)
        try:
            for name, module in modules.items():
                self._pluggy.register(module, name)
            self._pluggy.check_pending()
        except pluggy.PluginValidationError as error:
            raise ConfigError(
                f"a plugin has an unknown hook: {error}", hint="docs/reference/plugins.md lists the hooks"
            ) from error

    def names(self) -> list[str]:
        """Those that do something on hosts."""
        return [name for name, module in self._modules.items() if _has_steps(module)]

    def option_kinds(self) -> list[type[msgspec.Struct]]:
        """The `Options` of those that do something on hosts."""
        kinds = [getattr(self._modules[name], "Options", None) for name in self.names()]
        return [kind for kind in kinds if kind is not None]

    def check_options(self, context: Context) -> None:
        """Raise ConfigError if a value of any of them is of the wrong kind."""
        for module in self._modules.values():
            if (kind := getattr(module, "Options", None)) is not None:
                context.options(kind)

    def steps(self, signal: str, context: Context) -> tuple[Step, ...]:
        """The steps of all plugins at a signal (`published`); raises ConfigError where a hook fails, or gives
        something else than steps."""
        return self._answers(f"deploy_{signal}", signal, context, Step)

    def ports(self, context: Context) -> tuple[int, ...]:
        """The ports that the plugins know of; raises ConfigError as `steps` does."""
        return self._answers("ports", "ports", context, int)

    def brings(self, context: Context) -> tuple[str, ...]:
        """What the plugins put on the host themselves; raises ConfigError as `steps` does."""
        return self._answers("brings", "brings", context, str)

    def _answers(self, hook_name: str, shown: str, context: Context, kind: type[A]) -> tuple[A, ...]:
        answers: list[A] = []
        for hook in self._implementations(hook_name):
            try:
                answer: Any = hook.function(*((context,) if hook.argnames else ()))
                values = list(answer or ())
            except FapError:
                raise
            except Exception as error:  # of anyone's plugin
                place = traceback.extract_tb(error.__traceback__)[-1]
                raise ConfigError(
                    f"plugin {hook.plugin_name} failed at {shown}: {type(error).__name__}: {error}",
                    hint=f"see {place.filename}, line {place.lineno}; nothing was changed",
                ) from error
            for value in values:
                if not isinstance(value, kind):
                    raise ConfigError(
                        f"plugin {hook.plugin_name} returned {value!r} at {shown}, not a {kind.__name__}",
                        hint="docs/reference/plugins.md shows what each hook yields",
                    )
            answers += values
        return tuple(answers)

    def notified(self) -> bool:
        """Does any of them want to know how a run goes?"""
        return bool(self._implementations("notify"))

    def notify(self, context: Context, event: Notification) -> Iterator[str]:
        """Tell all of them; yields what went wrong, one line for each that could not do it."""
        known = {"context": context, "event": event}
        for hook in self._implementations("notify"):
            try:
                hook.function(*(known[name] for name in hook.argnames))
            except FapError as error:
                yield f"{hook.plugin_name}: {error.message}"
            except Exception as error:  # of anyone's plugin; its text may hold a secret
                yield f"{hook.plugin_name}: {type(error).__name__}"

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        """In the order of the file. Each is called by itself, so that what it does wrong has its name."""
        return list(getattr(self._pluggy.hook, hook).get_hookimpls())

    def logs(self, context: Context, *, follow: bool) -> tuple[Step, ...]:
        """What prints the logs of what runs, of all plugins that know."""
        answers = self._pluggy.hook.deploy_logs(context=context, follow=follow)
        return tuple(step for steps in reversed(answers) for step in steps)


def _has_steps(module: Any) -> bool:
    return any(name.startswith("deploy_") for name in dir(module))


def load(names: Iterable[str], file: DeployFile) -> Plugins:
    """Import the plugins that a role names; raises ConfigError for one that is not there, or is wrong."""
    found = {name: _import(name, file) for name in names}
    return Plugins({name: module for name, module in found.items() if module is not None})


def built_in_keys() -> dict[str, Key]:
    """The keys of the plugins that come with faprelease."""
    return options_of(DeployFile("", {}, {}))


def options_of(file: DeployFile, flags: Mapping[str, Any] | None = None) -> dict[str, Key]:
    """Every key that a plugin can add; raises ConfigError as `load` does, and for a key that two
    of them add."""
    said = [*everything_said(file), *(((key,), value) for key, value in (flags or {}).items())]
    named = [name for place, value in said for name in named_plugins(place[-1], value)]
    always = [(name, import_module(f"faprelease.plugins.{name}")) for name in ALWAYS]
    names = dict.fromkeys([*BUILT_IN, *named])
    plugins = {id(module): (name, module) for name in names if (module := _import(name, file)) is not None}
    found: dict[str, Key] = {}
    owners = dict.fromkeys(Settings.__struct_fields__, "fapkit itself")
    for name, module in (*always, *plugins.values()):
        for key in _keys_of(name, module):
            if key.name in owners:
                raise ConfigError(
                    f"plugin {name} adds the key {key.name}, which {owners[key.name]} already has",
                    hint=f"rename it: {name}_{key.name}",
                )
            owners[key.name], found[key.name] = f"plugin {name}", key
    return found


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
    """What is behind a plugin's name; None for one that every role has.

    A built-in one by its short name, then an entry point of the group `faprelease.plugins`, then a module,
    which may lie beside deploy.yml.
    """
    bare = _PREFIX.sub("", name)
    if bare in ALWAYS:
        return None
    if bare in BUILT_IN:
        return import_module(f"faprelease.plugins.{bare}")
    from importlib.metadata import entry_points  # slow, and few have plugins of their own

    folder = str(Path(file.name).resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        for entry in entry_points(group=ENTRY_POINTS, name=bare):
            return entry.load()
        return import_module(bare)
    except Exception as error:  # whatever a module does when it is imported
        reason = str(error) if isinstance(error, ModuleNotFoundError) else f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"{file.where('plugins')}: can't load the plugin {name!r} ({reason})",
            hint=f"built-in plugins: {', '.join((*ALWAYS, *BUILT_IN))}; a plugin of yours is a module beside"
            f" deploy.yml, an installed module, or an entry point of the group {ENTRY_POINTS}",
        ) from error
