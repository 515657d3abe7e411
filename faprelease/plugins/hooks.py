"""The hooks of plugins: the signals at which they add steps.

A plugin is a module. It may define `Options`, a frozen msgspec.Struct of the keys it adds to deploy.yml
with their defaults, and hooks of the names below, marked with `hookimpl`. A hook yields steps for one
host; it runs nothing.
"""

import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar

import msgspec
import pluggy

from faprelease.config.target import Target
from faprelease.errors import ConfigError, FapError
from faprelease.steps.model import Step

hookspec = pluggy.HookspecMarker("faprelease")
hookimpl = pluggy.HookimplMarker("faprelease")
T = TypeVar("T", bound=msgspec.Struct)
A = TypeVar("A")


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
