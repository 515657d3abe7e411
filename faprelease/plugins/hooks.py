"""The hooks of plugins: the signals at which they add steps.

A plugin is a module. It may define `Options`, a frozen msgspec.Struct with the keys that it adds to
deploy.yml and their defaults, and the hooks below, marked with `hookimpl`. A hook yields steps for one host
and runs nothing.
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
    """The facts from which a hook decides its steps for one host.

    `release` is the folder of the release that the host will run after this signal, `previous` that of the
    one it ran before. Each is empty if there is none.
    """

    target: Target
    verb: str
    release: str
    previous: str

    @property
    def is_undo(self) -> bool:
        """Whether a release or rollback that failed is undone: it goes against the direction of its verb."""
        new, old = (folder.rpartition("/")[2] for folder in (self.release, self.previous))
        return bool(new and old and new != old) and (self.verb == "release") == (new < old)

    def has_plugin(self, *names: str) -> bool:
        """Whether one of these, by its short name, is among the plugins of the role."""
        return not {name.rpartition(".")[2] for name in self.target.settings.plugins}.isdisjoint(names)

    def options(self, kind: type[T]) -> T:
        """Return the plugin's own values. Raises ConfigError if one has the wrong kind."""
        values = self.target.plugin_values
        known = {name: values[name] for name in kind.__struct_fields__ if name in values}
        try:
            return msgspec.convert(known, kind, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigError(f"deploy.yml: {error}", hint=f"see the {kind.__module__} keys") from error


class LogLines(msgspec.Struct, frozen=True, kw_only=True):
    """What `faprelease logs` prints of each log: the last `lines` (0: all) since a time, in seconds of the
    epoch (0: any), that contain the text `grep`; and with `follow` new lines too."""

    lines: int = 100
    since: int = 0
    grep: str = ""
    follow: bool = False

    def as_json(self) -> str:
        """For `programs/loglines.py`, which prints them on the host."""
        return msgspec.json.encode(self).decode()


What = Literal["started", "finished", "failed", "rolled back", "partly done", "interrupted"]


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a run, for the hook `notify`. It contains no secrets."""

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
    """When the run started."""
    message: str = ""
    """The error, if there is one."""


class Signals:
    """The hooks. Each is called once per host, when the plan is made, and yields the steps for its signal.

    `checking` is the health check: its steps check whether the release is healthy. They change nothing,
    because they also run to find out that there is nothing to do. `explaining` follows only if a host failed
    to publish or to pass its health check: its steps show the last output of the app; it does not matter
    whether they succeed.
    """

    @hookspec
    def deploy_looking(self, context: Context) -> Iterable[Step]:  # type: ignore[empty-body]
        """Yield steps that change nothing, and fail if a release or rollback can't work on this host. They
        run while the hosts are inspected, so `plan` shows what they print. `context.release` is only an
        example."""

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
        """Called on the controller, in a separate thread, when a run starts and ends. An exception only
        causes a warning."""

    @hookspec
    def deploy_logs(self, context: Context, follow: bool, wanted: LogLines) -> Iterable[Step]:  # type: ignore[empty-body]
        """Yield the steps that print the `wanted` lines of the log of the live release, and with `follow` new
        lines too; for `faprelease logs`."""

    @hookspec
    def deploy_uptime(self, context: Context) -> Iterable[Step]:  # type: ignore[empty-body]
        """Yield the steps that print, for each process of the live release, a line of JSON:
        `{"name": …, "up": SECONDS or null, "restarts": NUMBER or null}`; for `faprelease status`."""

    @hookspec
    def ports(self, context: Context) -> Iterable[int]:  # type: ignore[empty-body]
        """Yield the TCP ports on which a release answers on its own host."""

    @hookspec
    def claims(self, context: Context) -> Iterable[str]:  # type: ignore[empty-body]
        """Yield what only one role may have on a host, each as it is in deploy.yml: `supervisor_program:
        shop`."""

    @hookspec
    def brings(self, context: Context) -> Iterable[str]:  # type: ignore[empty-body]
        """Yield what the plugin itself provides on a host: names of linked files, which need not exist before
        the first release then, and absolute paths of a process manager's configuration."""


class Plugins:
    """The plugins of one role, in the order of deploy.yml."""

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

    def and_also(self, name: str, module: Any) -> "Plugins":
        """Return these plugins, and one more after them."""
        return Plugins({**self._modules, name: module})

    def names(self) -> list[str]:
        """The names of the plugins that have steps on hosts."""
        return [name for name, module in self._modules.items() if _has_steps(module)]

    def option_kinds(self) -> list[type[msgspec.Struct]]:
        """The `Options` of the plugins that have steps on hosts."""
        kinds = [getattr(self._modules[name], "Options", None) for name in self.names()]
        return [kind for kind in kinds if kind is not None]

    def check_options(self, context: Context) -> None:
        """Raise ConfigError if a value of a plugin has the wrong kind."""
        for module in self._modules.values():
            if (kind := getattr(module, "Options", None)) is not None:
                context.options(kind)

    def steps(self, signal: str, context: Context) -> tuple[Step, ...]:
        """Return the steps of all plugins at a signal (`published`). Raises ConfigError if a hook fails, or
        returns something other than steps."""
        return self._answers(f"deploy_{signal}", signal, context, Step)

    def uptime(self, context: Context) -> tuple[Step, ...]:
        """Return the steps of all plugins that show how long processes have been up. Raises ConfigError as
        `steps` does."""
        return self.steps("uptime", context)

    def ports(self, context: Context) -> tuple[int, ...]:
        """Return the ports of all plugins. Raises ConfigError as `steps` does."""
        return self._answers("ports", "ports", context, int)

    def claims(self, context: Context) -> tuple[str, ...]:
        """Return what only one role may have on a host. Raises ConfigError as `steps` does."""
        return self._answers("claims", "claims", context, str)

    def brings(self, context: Context) -> tuple[str, ...]:
        """Return what the plugins themselves provide on a host. Raises ConfigError as `steps` does."""
        return self._answers("brings", "brings", context, str)

    def _answers(self, hook_name: str, shown: str, context: Context, kind: type[A]) -> tuple[A, ...]:
        answers: list[A] = []
        for hook in self._implementations(hook_name):
            try:
                answer: Any = hook.function(*((context,) if hook.argnames else ()))
                values = list(answer or ())
            except FapError:
                raise
            except Exception as error:  # plugins may raise anything
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
        """Whether a plugin has the hook `notify`."""
        return bool(self._implementations("notify"))

    def notify(self, context: Context, event: Notification) -> Iterator[str]:
        """Notify all plugins that have the hook. Yields one line for each that failed."""
        known = {"context": context, "event": event}
        for hook in self._implementations("notify"):
            try:
                hook.function(*(known[name] for name in hook.argnames))
            except FapError as error:
                yield f"{hook.plugin_name}: {error.message}"
            except Exception as error:  # plugins may raise anything; its text may contain a secret
                yield f"{hook.plugin_name}: {type(error).__name__}"

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        """The implementations of a hook, in the order of the file. Each is called separately, so that an
        error names the plugin."""
        return list(getattr(self._pluggy.hook, hook).get_hookimpls())

    def logs(self, context: Context, wanted: LogLines) -> tuple[Step, ...]:
        """Return the steps of all plugins that print the logs of the live release."""
        answers = self._pluggy.hook.deploy_logs(context=context, follow=wanted.follow, wanted=wanted)
        return tuple(step for steps in reversed(answers) for step in steps)

    def without_log_lines(self) -> list[str]:
        """The names of plugins that print their whole logs, whatever lines are wanted."""
        hooks = self._implementations("deploy_logs")
        return [hook.plugin_name for hook in hooks if "wanted" not in hook.argnames]


def _has_steps(module: Any) -> bool:
    return any(name.startswith("deploy_") for name in dir(module))
