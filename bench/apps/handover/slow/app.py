"""What both servers answer. Importing it takes as long as the start of a real app."""

import random
import time
from pathlib import Path

from slow.version import VERSION

START_SECONDS = 2.0
GOOD = 2
"""How many good answers of its health check prove a version (healthcheck_good)."""


def _crash() -> None:
    with (Path.home() / "crashed").open("a") as file:
        file.write(f"{time.time()}\n")
    raise RuntimeError(f"the version {VERSION} does not start")


if VERSION == "no-start":
    _crash()
time.sleep(START_SECONDS)
if VERSION == "dies":
    _crash()


class App:
    """One start of the app, whose main process is `main`."""

    def __init__(self, main: int) -> None:
        self._proofs = Path.home() / f"proofs-{Path.cwd().name}-{main}"

    def answer(self, path: str) -> tuple[int, float]:
        """The status of the answer, and after how many seconds it is to be given."""
        if VERSION == "answers-500":
            return 500, 0
        if VERSION == "hangs":
            return 200, 3600
        if path == "/health":
            with self._proofs.open("a") as file:
                file.write(".")
            return 200, 0
        return 200, random.uniform(0.02, 0.06)

    def headers(self) -> list[tuple[str, str]]:
        """The version, and whether its health check has passed."""
        try:
            proven = self._proofs.stat().st_size >= GOOD
        except FileNotFoundError:
            proven = False
        return [("X-Version", VERSION), ("X-Proven", "yes" if proven else "no"), ("Content-Length", "3")]
