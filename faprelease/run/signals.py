"""Signals that stop a run: Ctrl-C, TERM (a cancelled CI job), HUP (a closed terminal)."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stop_on_signals(say: Callable[[str], None]) -> Iterator[threading.Event]:
    """Yield an event that the first signal sets, which asks for a safe end; the second signal ends the
    run."""
    stop = threading.Event()
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    signals = [number for number in wanted if signal.getsignal(number) != signal.SIG_IGN]  # nohup ignores HUP

    def ask_to_stop(*_: object) -> None:
        stop.set()
        for number in signals:
            # A terminal that is closed says so more than once: by the shell, and by the kernel.
            hangs_up = number == signal.SIGHUP
            signal.signal(number, signal.SIG_IGN if hangs_up else signal.default_int_handler)
        say("finishing this step, then rolling back; press Ctrl-C again to stop now")

    old = {number: signal.signal(number, ask_to_stop) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
