"""What people see of a run, on standard error; and a plan as text."""

import sys
import threading
import time
from collections.abc import Iterator

import click

from faprelease import script
from faprelease.steps import HostPlan, Phase, Plan, Result

SHOWN_MARK = "FAP"
"""The mark in a plan that is only shown; a run has a random one."""


class Report:
    """Lines on standard error, one a phase; with `verbose`, every step of every host and what it printed."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._began = time.monotonic()
        self._guard = threading.Lock()

    def say(self, line: str) -> None:
        with self._guard:
            click.echo(line, err=True)

    def begin(self, plan: Plan) -> None:
        hosts = ", ".join(dict.fromkeys(host.host for host in plan.hosts))
        self.say(f"{click.style(plan.title, bold=True)}\n  on {hosts}")

    def phase(self, name: str, hosts: int, seconds: float) -> None:
        mark = click.style("✓" if _can_print("✓") else "ok", fg="green")
        self.say(f"  {mark} {name:<12}{seconds:6.2f} s")

    def result(self, plan: HostPlan, phase: Phase, result: Result) -> None:
        if self._verbose:
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
            "": (*host.prepare, *host.publish, *host.finish),
            " (undo, if a step fails before publishing)": host.if_unpublished,
            " (undo, if a step fails after publishing)": host.if_published,
        }
        for why, phases in parts.items():
            for phase in phases:
                yield f"# {host.host} ({host.role}): {phase.name}{why}"
                yield script.render(phase, SHOWN_MARK, reveal=False)


def _can_print(character: str) -> bool:
    try:
        character.encode(sys.stderr.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
