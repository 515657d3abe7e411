"""Ctrl-C, the TERM that CI sends when a job is cancelled, and the HUP of a terminal that is closed."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stop_on_signals(say: Callable[[str], None]) -> Iterator[threading.Event]:
    """The first signal sets the event, which asks for a safe end; the second one ends at once."""
    stop = threading.Event()
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    signals = [number for number in wanted if signal.getsignal(number) != signal.SIG_IGN]  # nohup ignores HUP

    def ask_to_stop(*_: object) -> None:
        stop.set()
        for number in signals:
            # A terminal that is closed says so more than once: by the shell, and by the kernel.
            hangs_up = number == signal.SIGHUP
            signal.signal(number, signal.SIG_IGN if hangs_up else signal.default_int_handler)
        say("what is under way ends, then it goes back; Ctrl-C again stops at once")

    old = {number: signal.signal(number, ask_to_stop) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
