"""Reports the progress of a build to people, on standard error.

A terminal shows a moving line for each running task, with the last line of its output. GitHub Actions gets
the output of each task as a group. Anything else gets plain lines.
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

GROUP_LINES = 200
"""The number of last lines of a task's output that its group shows."""

Say = Callable[[str], None]
"""Shows a line to people."""
OnLine = Callable[[str], None]
"""Is called with each line of a task's output."""


class Reporter:
    """Reports in plain lines. Its methods may be called from any thread."""

    def __init__(self) -> None:
        # Reentrant: a signal may interrupt the thread that is writing a line, and write another one.
        self._guard = threading.RLock()

    def say(self, text: str) -> None:
        """Show a line that stays."""
        # The build goes on when the reader has gone (`2>&1 | head`).
        with self._guard, suppress(OSError):
            click.echo(text, err=True)

    @contextmanager
    def task(self, doing: str, done: str) -> Iterator[OnLine]:
        """Show `doing` (`compiling frontend`), and at the end `done` with the time it took.

        Yields a function to call with each line of the task's output.
        """
        self.say(doing)
        start = time.monotonic()
        yield _ignore
        self.say(_finished(done, start))

    @contextmanager
    def live(self) -> Iterator["Reporter"]:
        """Show running tasks until the end of the block."""
        yield self


class GroupedReporter(Reporter):
    """Reports to GitHub Actions: the output of each task is one group, so that parallel tasks don't mix.

    Workflow commands: docs.github.com, "Workflow commands for GitHub Actions".
    """

    @contextmanager
    def task(self, doing: str, done: str) -> Iterator[OnLine]:
        self.say(doing)
        start = time.monotonic()
        lines: deque[str] = deque(maxlen=GROUP_LINES)
        title = doing
        try:
            yield lines.append
            title = _finished(done, start)
        finally:
            if lines:
                self.say(f"::group::{title}\n{_no_commands(lines)}\n::endgroup::")
        if not lines:
            self.say(title)


class TerminalReporter(Reporter):
    """Reports to a terminal: with lines that move while tasks run."""

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
    def task(self, doing: str, done: str) -> Iterator[OnLine]:
        start = time.monotonic()
        number = self._progress.add_task(doing, total=None, last="")
        try:
            yield lambda line: self._progress.update(number, last=_plain(line))
        finally:
            self._progress.remove_task(number)
        self._show(_finished(done, start), "green")

    @contextmanager
    def live(self) -> Iterator[Reporter]:
        with self._progress:
            yield self


def reporter_here(environ: Mapping[str, str] = os.environ) -> Reporter:
    """The reporter for this environment: GitHub Actions, a terminal, or anything else."""
    if environ.get("GITHUB_ACTIONS") == "true":
        return GroupedReporter()
    if sys.stderr.isatty() and environ.get("TERM", "dumb") != "dumb" and not environ.get("CI"):
        return TerminalReporter()
    return Reporter()


def show_error(message: str, hint: str, environ: Mapping[str, str] = os.environ) -> None:
    """Show what failed and what to type next; on GitHub also among the errors on the run's page."""
    lines = [f"{click.style('fapbuild:', fg='red', bold=True)} {message}"]
    if hint:
        lines.append(f"{click.style('hint:', bold=True)} {hint}")
    text = "\n".join(lines)
    if environ.get("GITHUB_ACTIONS") == "true":
        data = f"{message}\n{hint}".strip()
        for letter, escaped in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
            data = data.replace(letter, escaped)
        text = f"{_no_commands([text])}\n::error title=fapbuild::{data}"
    with suppress(OSError):
        click.echo(text, err=True)


def write_outputs(facts: Mapping[str, object], environ: Mapping[str, str] = os.environ) -> None:
    """Append the facts to the file that GITHUB_OUTPUT names, if it is set, for later steps of the job.

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
    """The lines, marked so that GitHub takes none of them as a command."""
    token = secrets.token_hex(16)
    return "\n".join([f"::stop-commands::{token}", *lines, f"::{token}::"])


def _plain(line: str) -> str:
    return "".join(letter for letter in click.unstyle(line) if letter.isprintable()).strip()


def _ignore(line: str) -> None:
    """Plain lines leave out the output of tasks: if a task fails, its last lines are in the error."""
