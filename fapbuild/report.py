"""The terminal: what people see of a build, on standard error. stdout is data, and not written here.

A terminal shows a moving line for each thing under way, with what it printed last; GitHub Actions gets a
group of what each printed; anything else gets plain lines.
"""

import os
import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import click

KEPT_LINES = 200
"""So many of the last lines that something printed are shown in its group."""

Heard = Callable[[str], None]


class Report:
    """Plain lines. Its methods may be called from any thread."""

    def __init__(self) -> None:
        # A signal may interrupt the very thread that is writing a line, to say another one.
        self._guard = threading.RLock()

    def say(self, text: str) -> None:
        """Show a line that stays."""
        # Whoever read along may be gone (`2>&1 | head`); the build goes on.
        with self._guard, suppress(OSError):
            click.echo(text, err=True)

    @contextmanager
    def task(self, doing: str, done: str) -> Iterator[Heard]:
        """Show that something is under way (`compiling frontend`) and then `done`, with its seconds.

        It yields what is to be called with each line that it prints.
        """
        self.say(doing)
        start = time.monotonic()
        yield _unheard
        self.say(_finished(done, start))

    @contextmanager
    def shown(self) -> Iterator["Report"]:
        """Show what is under way until the end of the block."""
        yield self


class GroupedReport(Report):
    """GitHub Actions: what a task printed is a group of its own, so that tasks side by side don't mix.

    Workflow commands: docs.github.com, "Workflow commands for GitHub Actions".
    """

    @contextmanager
    def task(self, doing: str, done: str) -> Iterator[Heard]:
        self.say(doing)
        start = time.monotonic()
        lines: deque[str] = deque(maxlen=KEPT_LINES)
        title = doing
        try:
            yield lines.append
            title = _finished(done, start)
        finally:
            if lines:
                self.say(f"::group::{title}\n{_no_commands(lines)}\n::endgroup::")
        if not lines:
            self.say(title)


class TerminalReport(Report):
    """A terminal: lines that move while something is under way."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.table import Column

        self._console = Console(stderr=True, highlight=False, markup=False)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            TextColumn(
                "{task.fields[last]}",
                markup=False,
                style="dim",
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
            ),
            console=self._console,
            transient=True,
            expand=True,
        )

    def say(self, text: str) -> None:
        self._show(text, "yellow" if text.startswith("warning:") else "")

    def _show(self, text: str, style: str = "") -> None:
        with suppress(OSError):
            self._console.print(text, style=style, soft_wrap=True)

    @contextmanager
    def task(self, doing: str, done: str) -> Iterator[Heard]:
        start = time.monotonic()
        number = self._progress.add_task(doing, total=None, last="")
        try:
            yield lambda line: self._progress.update(number, last=_plain(line))
        finally:
            self._progress.remove_task(number)
        self._show(_finished(done, start), "green")

    @contextmanager
    def shown(self) -> Iterator[Report]:
        with self._progress:
            yield self


def opened(environ: Mapping[str, str] = os.environ) -> Report:
    """The report that fits where we are."""
    if environ.get("GITHUB_ACTIONS") == "true":
        return GroupedReport()
    if sys.stderr.isatty() and environ.get("TERM", "dumb") != "dumb" and not environ.get("CI"):
        return TerminalReport()
    return Report()


def show_error(message: str, hint: str, environ: Mapping[str, str] = os.environ) -> None:
    """Show why it failed and what to type next; on GitHub also where a run's page shows its errors."""
    lines = [f"{click.style('fapbuild:', fg='red', bold=True)} {message}"]
    if hint:
        lines.append(f"{click.style('hint:', bold=True)} {hint}")
    text = "\n".join(lines)
    if environ.get("GITHUB_ACTIONS") == "true":
        said = f"{message}\n{hint}".strip()
        for letter, escaped in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
            said = said.replace(letter, escaped)
        text = f"{_no_commands([text])}\n::error title=fapbuild::{said}"
    with suppress(OSError):
        click.echo(text, err=True)


def write_outputs(facts: Mapping[str, object], environ: Mapping[str, str] = os.environ) -> None:
    """Append the facts to the file that GITHUB_OUTPUT names, if it is set: later steps can use them.

    Format: docs.github.com, "Setting an output parameter". Raises OSError if the file can't be written.
    """
    if path := environ.get("GITHUB_OUTPUT"):
        mark = secrets.token_hex(16)
        lines = [f"{name}<<{mark}\n{value}\n{mark}\n" for name, value in facts.items()]
        with Path(path).open("a", encoding="utf-8") as file:
            file.write("".join(lines))


def _finished(done: str, start: float) -> str:
    return f"{done} in {time.monotonic() - start:.1f} s"


def _no_commands(lines: Iterable[str]) -> str:
    """The lines, of which GitHub takes none as a command, whatever a step printed."""
    token = secrets.token_hex(16)
    return "\n".join([f"::stop-commands::{token}", *lines, f"::{token}::"])


def _plain(line: str) -> str:
    return "".join(letter for letter in click.unstyle(line) if letter.isprintable()).strip()


def _unheard(line: str) -> None:
    """Nobody follows a step line by line in a log; if it fails, its last lines are in the error."""
