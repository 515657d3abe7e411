"""Ctrl-C, and the TERM that CI sends when a job is cancelled."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stop_on_signals(say: Callable[[str], None]) -> Iterator[threading.Event]:
    """The first signal sets the event, which asks for a safe end; the second one ends at once."""
    stop = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)

    def ask_to_stop(*_: object) -> None:
        stop.set()
        for number in signals:
            signal.signal(number, signal.default_int_handler)
        say("stopping after this phase, and going back; Ctrl-C again stops at once")

    old = {number: signal.signal(number, ask_to_stop) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
