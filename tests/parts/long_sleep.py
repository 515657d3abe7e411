"""A process that sleeps for years unless it is ended, and that no other test or checkout starts too."""

import itertools
import os
import subprocess

_numbers = itertools.count(1)


def long_sleep() -> str:
    """A command that is different each time, in all processes of this machine."""
    return f"sleep 3{os.getpid():07}{next(_numbers) % 100:02}"


def is_running(command: str) -> bool:
    """Whether a process of this machine has exactly these words."""
    return subprocess.run(["pgrep", "-f", f"^{command}$"], stdout=subprocess.DEVNULL).returncode == 0
