"""What numbers depend on: the machine, and the versions of what runs on it."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def describe() -> str:
    """One line: cores, processor, system, Python, and the load before we begin."""
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores ({_processor()}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )


def versions(*distributions: str) -> str:
    """One line: `fapkit 0.1.0, fabric 3.2.3`."""
    return ", ".join(f"{name} {version(name)}" for name in distributions)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
