"""The outputs of a run: plain lines, groups of GitHub Actions, a live terminal, JSON."""

import os
import secrets
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click
import msgspec

from faprelease.plan import preview
from faprelease.report.events import (
    Began,
    Connecting,
    Ended,
    Fetched,
    HostBegan,
    HostEnded,
    HostEvent,
    PhaseEnded,
    Planned,
    RunEvent,
    Said,
    StepEnded,
    Waiting,
)

if TYPE_CHECKING:
    from rich.table import Table


class Lines:
    """Lines on standard error, one per phase; with `verbose`, every step of every host with its output.

    A requested plan goes to standard output, unless `plans` is False because JSON is printed there.
    """

    def __init__(self, *, verbose: bool = False, plans: bool = True) -> None:
        self.verbose = verbose
        self._plans = plans

    def show(self, event: RunEvent) -> None:
        match event:
            case Began():
                self.print(f"{click.style(event.title, bold=True)}\n  on {', '.join(event.hosts)}")
            case PhaseEnded():
                mark = click.style("✓" if _can_print("✓") else "ok", fg="green")
                self.print(f"  {mark} {event.phase:<12}{event.seconds:6.2f} s")
            case StepEnded():
                self._show_step(event)
            case Waiting():
                self.print(click.style(f"  waiting: {'; '.join(map(str, event.steps))}", dim=True))
            case Planned() if self._plans:
                click.echo("\n".join([*preview.lines(event.plan), *event.scripts]))
            case Said():
                word, colon, rest = event.text.partition(":")
                self.print(f"{click.style(word, fg='green')}{colon}{rest}" if event.good else event.text)
            case Ended(exit_code=code) if code and event.hosts:
                self.print("\n".join(["now running:", *standing(event.hosts)]))

    def print(self, text: str) -> None:
        click.echo(text, err=True)

    def _show_step(self, event: StepEnded) -> None:
        if self.verbose or event.shown:
            self.print(f"    {event.place}: {event.step} ({event.seconds:.2f} s)")
            for line in event.output.splitlines():
                self.print(f"      {line}")
            return
        for line in event.output.splitlines():
            if line.startswith("warning: "):
                self.print(f"  {click.style('!', fg='yellow')} {event.place}: {line}")


class Quiet(Lines):
    """Lines without the progress of the run: warnings, the output that a step is to show, and the result."""

    def show(self, event: RunEvent) -> None:
        if not isinstance(event, Began | PhaseEnded | Waiting):
            super().show(event)


class Groups(Lines):
    """GitHub Actions: the output of each step is a group.

    Workflow commands: docs.github.com, "Workflow commands for GitHub Actions".
    """

    def _show_step(self, event: StepEnded) -> None:
        if event.output:
            title = f"{event.place}: {event.step} ({event.seconds:.2f} s)"
            self.print(f"::group::{title}\n{without_commands(event.output.splitlines())}\n::endgroup::")


@dataclass
class _Row:
    """The line of a host in the terminal."""

    label: str
    doing: str = ""
    began: float = field(default_factory=time.monotonic)
    bytes: int = 0
    """The bytes that the finished steps have fetched."""
    coming: int = 0
    """The bytes that the running step has fetched."""
    at_most: int = 0
    """How long the step may take, in seconds; 0 if that is not known."""
    ended: bool = False


class Terminal(Lines):
    """Fixed lines, and below them a live line for each host: its step, for how long, bytes.

    A thread draws the live lines again and again. It never draws while `show` prints: rich's own thread may,
    and then counts the lines to draw over wrongly when there is one more.
    """

    REFRESH_SECONDS = 1 / 8

    def __init__(self, *, verbose: bool = False, plans: bool = True) -> None:
        super().__init__(verbose=verbose, plans=plans)
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        self._rows: dict[str, _Row] = {}
        self._turning = Spinner("dots")
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._live = Live(
            console=self._console,
            get_renderable=self._table,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

        self._guard = threading.RLock()  # a signal handler may print while the same thread prints
        self._ended = threading.Event()
        self._drawer = threading.Thread(target=self._draw, daemon=True)

    def show(self, event: RunEvent) -> None:
        with self._guard:
            self._show(event)

    def _draw(self) -> None:
        while not self._ended.wait(self.REFRESH_SECONDS):
            with self._guard, suppress(OSError):  # a closed terminal does not stop the run
                if self._live.is_started:
                    self._live.refresh()

    def _show(self, event: RunEvent) -> None:
        match event:
            case Connecting():
                # No live lines yet: sudo may ask for a password.
                self.print(click.style(f"connecting to {', '.join(event.hosts)}", dim=True))
            case Began():
                self._rows = {}
                super().show(event)
                self._live.start()
                if self._drawer.ident is None:
                    self._drawer.start()
                return
            case HostBegan():
                row = self._row(event)
                row.doing, row.began, row.ended = f"{event.phase}: {event.step}", time.monotonic(), False
                row.at_most = 0
            case Waiting():
                for step in event.steps:
                    for host in step.hosts:
                        self._rows.setdefault(host, _Row(host)).at_most = step.at_most
                return
            case Fetched():
                self._row(event).coming = event.bytes
            case StepEnded():
                row = self._row(event)
                row.bytes, row.coming = row.bytes + event.fetched, 0
                row.doing, row.ended = f"{event.phase}: {event.next or event.step}", not event.next
                row.at_most = 0
            case Ended():
                self._ended.set()
                self._live.stop()
        super().show(event)

    def print(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text.from_ansi(text), soft_wrap=True)

    def _row(self, event: HostEvent) -> _Row:
        return self._rows.setdefault(str(event.place), _Row(str(event.place)))

    def _table(self) -> "Table":
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1))
        now = time.monotonic()
        for row in sorted(self._rows.values(), key=lambda row: row.label):
            mark = Text("✓" if _can_print("✓") else "ok", "green") if row.ended else self._turning
            limit = f" of at most {row.at_most} s" if row.at_most else ""
            seconds = "" if row.ended else f"{now - row.began:.0f} s{limit}"
            doing = Text(row.doing, no_wrap=True, overflow="ellipsis", style="dim" if row.ended else "")
            size = in_units(row.bytes + row.coming) if row.bytes + row.coming else ""
            table.add_row(Text("  "), mark, Text(row.label), doing, Text(seconds), Text(size))
        return table


class JsonLines:
    """Every event as one JSON object per line, on standard output."""

    def show(self, event: RunEvent) -> None:
        print_json(event)


class JsonEnd:
    """Only the last event, as one JSON object on standard output."""

    def show(self, event: RunEvent) -> None:
        if isinstance(event, Ended):
            print_json(event)


def print_json(value: object) -> None:
    """Print a JSON object as one line on standard output. A closed standard output is not an error."""
    try:
        click.echo(msgspec.json.encode(value).decode())
    except OSError:
        # Python would try again at its end, and exit with code 120.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def standing(hosts: Iterable[HostEnded]) -> list[str]:
    """The release that is live on each host, one line per release."""
    groups: dict[str, list[str]] = {}
    for host in hosts:
        release = host.release or ("no release" if host.outcome in ("failed", "undone") else "unknown")
        note = " (failed, not rolled back)" if host.outcome == "unknown" and host.release else ""
        groups.setdefault(release + note, []).append(str(host.place))
    return [f"  {release}: {', '.join(labels)}" for release, labels in groups.items()]


def without_commands(lines: Iterable[str]) -> str:
    """Join lines so that GitHub Actions takes none of them as a command."""
    token = secrets.token_hex(16)
    return "\n".join([f"::stop-commands::{token}", *lines, f"::{token}::"])


def github_error(lines: Iterable[str], message: str) -> str:
    """The lines of an error, and the command with which GitHub Actions shows `message` on the page of the
    run."""
    for letter, escaped in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        message = message.replace(letter, escaped)
    return f"{without_commands(lines)}\n::error title=faprelease::{message}"


def in_units(size: int) -> str:
    """Return a size in bytes for people, like `1.5 MB`."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000  # type: ignore[assignment]
    return f"{size:.1f} GB"


def _can_print(character: str) -> bool:
    try:
        character.encode(sys.stderr.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
