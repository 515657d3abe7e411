"""What people see of a run, on standard error; and a plan as text."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import click
import msgspec

from faprelease import script
from faprelease.config import Target
from faprelease.facts import HostState
from faprelease.steps import HostPlan, Phase, Plan, Result

SHOWN_MARK = "FAP"
"""The mark in a plan that is only shown; a run has a random one."""


class Report:
    """Lines on standard error, one a phase; with `verbose`, every step of every host and what it printed."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._began = time.monotonic()
        # A signal may interrupt the very thread that is writing a line, to say another one.
        self._guard = threading.RLock()

    def show_steps(self) -> None:
        """From now on, every step and what it printed."""
        self._verbose = True

    def say(self, line: str) -> None:
        # Whoever read along may be gone (`2>&1 | head`, a closed terminal); a release ends as planned.
        with self._guard, suppress(OSError):
            click.echo(line, err=True)

    def begin(self, plan: Plan) -> None:
        hosts = ", ".join(dict.fromkeys(host.host for host in plan.hosts))
        self.say(f"{click.style(plan.title, bold=True)}\n  on {hosts}")

    def begin_phase(self, name: str) -> None:
        if sys.stderr.isatty() and not self._verbose:
            with suppress(OSError):
                click.echo(f"  … {name}\r", err=True, nl=False)

    def end_phase(self, name: str, seconds: float) -> None:
        mark = click.style("✓" if _can_print("✓") else "ok", fg="green")
        self.say(f"  {mark} {name:<12}{seconds:6.2f} s")

    def result(self, plan: HostPlan, phase: Phase, result: Result) -> None:
        for line in result.output.splitlines():
            if line.startswith("warning: "):
                self.say(f"  {click.style('!', fg='yellow')} {plan.host} ({plan.role}): {line}")
        if self._verbose or result.step.shown:
            self.say(f"    {plan.host} ({plan.role}): {result.step.title} ({result.seconds:.2f} s)")
            for line in result.output.splitlines():
                self.say(f"      {line}")

    def end(self, plan: Plan) -> None:
        seconds = time.monotonic() - self._began
        releases = ", ".join(dict.fromkeys(host.release for host in plan.hosts))
        self.say(f"{click.style('done', fg='green')}: {releases} is live on all hosts, {seconds:.1f} s")

    def show_plan(self, plan: Plan) -> None:
        """The plan on standard output: the scripts that would run, with secrets masked."""
        click.echo(f"# {plan.title}")
        for text in scripts(plan):
            click.echo(text)


def scripts(plan: Plan) -> Iterator[str]:
    """Every script of a plan, in order, secrets masked: first what runs, then what would undo it."""
    for host in plan.hosts:
        parts = {
            "": (*host.prepare, *host.once, *host.publish, *host.finish),
            " (undo, if a step fails before publishing)": host.if_unpublished,
            " (undo, if a step fails after publishing)": host.if_published,
        }
        for why, phases in parts.items():
            for phase in phases:
                yield f"# {host.host} ({host.role}): {phase.name}{why}"
                yield script.render(phase, SHOWN_MARK, reveal=False)


def show_status(found: list[tuple[Target, HostState]], *, as_json: bool) -> bool:
    """What every host runs, on standard output: a table, or a JSON object a line. False if they differ."""
    rows = [_status_row(target, state) for target, state in found]
    if as_json:
        for row in rows:
            click.echo(msgspec.json.encode(row).decode())
    else:
        _show_table(rows)
    for row in rows:
        if row["locked"]:
            click.echo(f"{row['host']} ({row['role']}): a release is under way, by {row['locked']}", err=True)
    same = len({row["digest"] for row in rows}) <= 1
    if not same:
        click.echo("the hosts do not run the same artifact", err=True)
    return same


def _status_row(target: Target, state: HostState) -> dict[str, str]:
    live = state.release(state.current)
    artifact = live.artifact if live else None
    return {
        "stage": target.settings.stage,
        "role": target.settings.role,
        "host": target.host,
        "release": state.current,
        "state": live.record.state if live else "",
        "version": artifact.version if artifact else "",
        "digest": artifact.digest if artifact else "",
        "previous": live.record.previous if live else "",
        "locked": state.locked,
    }


def _show_table(rows: list[dict[str, str]]) -> None:
    columns = ("role", "host", "release", "state", "version", "digest")
    shown = [{**row, "digest": row["digest"][:12]} for row in rows]
    table = [columns, *(tuple(row[column] or "-" for column in columns) for row in shown)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        click.echo("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())


def _can_print(character: str) -> bool:
    try:
        character.encode(sys.stderr.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
