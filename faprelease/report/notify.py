"""Notifies plugins of the progress of a run, in a thread: a notification never fails or delays the run."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from faprelease.errors import FapError, InterruptedRunError, PartlyDoneError, RolledBackError
from faprelease.plan.host import Host, RunInfo
from faprelease.plugins.hooks import Context, Notification, What
from faprelease.steps.model import Plan

WAIT_SECONDS = 5.0
"""How long the end of a run waits for unsent notifications, in seconds."""


@contextmanager
def announced(
    plan: Plan, hosts: list[Host], info: RunInfo, verb: str, say: Callable[[str], None]
) -> Iterator[None]:
    """Notify plugins when the body begins and how it ends. A failed notification is only reported with
    `say`."""
    listening = next((host for host in hosts if host.plugins.notified()), None)
    if listening is None:
        yield
        return
    notifier = _Notifier(listening, plan, info, verb, say)
    notifier.send("started")
    try:
        yield
    except FapError as error:
        notifier.send(_ending(error), error.message)
        raise
    else:
        notifier.send("finished")
    finally:
        notifier.end()


def _ending(error: FapError) -> What:
    kinds: dict[type[FapError], What] = {
        RolledBackError: "rolled back",
        PartlyDoneError: "partly done",
        InterruptedRunError: "interrupted",
    }
    return kinds.get(type(error), "failed")


class _Notifier:
    """A thread that sends notifications one after another, in order."""

    def __init__(
        self, listening: Host, plan: Plan, info: RunInfo, verb: str, say: Callable[[str], None]
    ) -> None:
        self._plugins, self._plan, self._info, self._verb = listening.plugins, plan, info, verb
        self._context, self._say = Context(listening.target, verb, "", ""), say
        self._events: SimpleQueue[Notification | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def send(self, what: What, message: str = "") -> None:
        plan, settings = self._plan, self._context.target.settings
        self._events.put(
            Notification(
                what=what,
                verb=self._verb,
                title=plan.title,
                app=settings.app_name,
                stage=settings.stage,
                roles=tuple(dict.fromkeys(host.place.role for host in plan.hosts)),
                hosts=tuple(dict.fromkeys(host.place.host for host in plan.hosts)),
                release=plan.hosts[0].release,
                who=self._info.who,
                at=self._info.at,
                message=message,
            )
        )

    def end(self) -> None:
        self._events.put(None)
        self._thread.join(WAIT_SECONDS)
        if self._thread.is_alive():
            self._say(f"  warning: not all notifications were sent within {WAIT_SECONDS:.0f} s")

    def _work(self) -> None:
        while event := self._events.get():
            for problem in self._plugins.notify(self._context, event):
                self._say(f"  warning: notification '{event.what}' failed: {problem}")
