"""The live lines of a run, on the screen of a terminal: none is left behind while hosts report."""

import io
import re
import sys
import threading
import time

import pytest

from faprelease.report.events import Began, Ended, HostBegan, RunEvent, StepEnded
from faprelease.report.outputs import Terminal

HOSTS = ("web1", "web2", "web3")
CYCLES = 150


class Screen(io.StringIO):
    """A terminal: what is visible after the sequences that rich writes (ECMA-48: CUU, EL, CR; colours)."""

    def __init__(self) -> None:
        super().__init__()
        self.lines, self.row, self.column = [""], 0, 0

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        time.sleep(0.0005)
        for part in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", text):
            self._do(part)
        return len(text)

    def _do(self, part: str) -> None:
        if part == "\n":
            self.row, self.column = self.row + 1, 0
            self.lines += [""] * (self.row - len(self.lines) + 1)
        elif part == "\r":
            self.column = 0
        elif part.startswith("\x1b"):
            if part.endswith("A"):
                self.row -= int(part[2:-1] or 1)
            elif part == "\x1b[2K":
                self.lines[self.row] = ""
        else:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + part + line[self.column + len(part) :]
            self.column += len(part)


def run_of(host: str, terminal: Terminal, guard: threading.Lock) -> None:
    def show(event: RunEvent) -> None:
        with guard:  # as Report has one
            terminal.show(event)

    place = {"host": host, "role": "web"}
    for number in range(2):
        show(HostBegan(**place, phase="updating", step=f"step {number}"))
        time.sleep(0.0005)
        ended = StepEnded(**place, phase="updating", step="x", code=0, seconds=0, output=f"warning: {number}")
        show(ended)


def test_lines_of_hosts_are_drawn_over_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    terminal, guard = Terminal(), threading.Lock()
    monkeypatch.setattr(Terminal, "REFRESH_SECONDS", 1 / 200)
    table = terminal._table

    def slow_table() -> object:
        time.sleep(0.002)
        return table()

    monkeypatch.setattr(terminal._live, "_get_renderable", slow_table)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    for _ in range(CYCLES):
        terminal.show(Began(title="release 1", hosts=HOSTS))
        threads = [threading.Thread(target=run_of, args=(host, terminal, guard)) for host in HOSTS]
        for number, thread in enumerate(threads):
            time.sleep(0.006 * number)
            thread.start()
        for thread in threads:
            thread.join()
    sys.setswitchinterval(before)
    ended = Ended(
        verb="release", title="", exit_code=0, error="", hint="", hosts=(), seconds=0, plan=None, log=""
    )
    terminal.show(ended)
    lines = [line.strip() for line in screen.lines]
    assert [line for line in lines if line and not re.match(r"! web|release 1|on web", line)] == []
    assert sum(line.startswith("! web") for line in lines) == CYCLES * 3 * 2
