"""The log of a run: a file with all its events, which only its owner can read."""

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from faprelease.report.events import (
    Began,
    Ended,
    HostBegan,
    HostEnded,
    PhaseEnded,
    RunEvent,
    Said,
    StepEnded,
    Waiting,
)

KEPT = 50
"""How many of the newest logs are kept."""


def folder() -> Path:
    """The folder of the logs: XDG Base Directory Specification, XDG_STATE_HOME."""
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home.startswith("/") else Path("~/.local/state").expanduser()) / "fapkit" / "logs"


class RunLog:
    """An output that writes a log, from the first plan on. A command that changes nothing has no log."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._file: TextIO | None = None
        self.path: Path | None = None
        self.refused = ""
        """The reason why the log can't be written; empty if it can."""

    def show(self, event: RunEvent) -> None:
        if isinstance(event, Began) and self.path is None:
            try:
                self._open()
            except OSError as error:
                self.refused = str(error)
        if self._file is None:
            return
        for line in _lines(event):
            self._file.write(f"{datetime.now(UTC):%H:%M:%S.%f}"[:-3] + f" {line}\n")
        self._file.flush()

    def _open(self) -> None:
        place = folder()
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        for old in sorted(place.glob("*.log"))[: -KEPT + 1]:
            with suppress(OSError):
                old.unlink()
        path = place / f"{datetime.now(UTC):%y%m%d-%H%M%S}-{self._verb}-{os.getpid()}.log"
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(number, "w", encoding="utf-8", errors="replace")
        self.path = path


def _lines(event: RunEvent) -> list[str]:
    match event:
        case Began():
            return [f"{event.title}, on {', '.join(event.hosts)}"]
        case HostBegan():
            return [f"{event.place}: {event.phase}"]
        case StepEnded():
            head = f"{event.place}: {event.phase}: {event.step}: exit {event.code}, {event.seconds:.2f} s"
            return [head, *(f"  {line}" for line in event.output.splitlines())]
        case Waiting():
            return [f"waiting: {step}" for step in event.steps]
        case PhaseEnded():
            return [f"{event.phase}: done on all hosts, {event.seconds:.2f} s"]
        case HostEnded():
            return [f"{event.place}: {event.outcome}, runs {event.release or '-'}"]
        case Said():
            return event.text.splitlines()
        case Ended():
            return [*event.error.splitlines(), *event.hint.splitlines(), f"exit {event.exit_code}"]
    return []
