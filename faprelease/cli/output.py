"""The outputs of a run: chosen by -q, -v, --json, --json-lines and by where it runs."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from faprelease.report.report import Output, Report

F = TypeVar("F", bound=Callable[..., Any])


def _kept(name: str, *words: str, help: str) -> Callable[[F], F]:  # noqa: A002
    """A flag that adds no parameter to the command; `kept_flag` reads it."""

    def keep(context: click.Context, _: click.Parameter, value: bool) -> None:
        context.meta[name] = value

    return click.option(*words, name, is_flag=True, expose_value=False, callback=keep, help=help)


def kept_flag(name: str) -> bool:
    """Whether a flag of `_kept` was given to the command that runs."""
    return bool(click.get_current_context().meta.get(name))


quiet = _kept("quiet", "-q", "--quiet", help="show only warnings, errors and the result")
verbose = _kept("verbose", "-v", "--verbose", help="show every step and its output")
allow_older = _kept("allow_older", "--allow-older", help="release an older log entry than hosts have seen")
take_over = _kept("take_over", "--take-over", help="release where another deployment or manager did")


def output_flags(function: F) -> F:
    """Give a command that changes hosts -q, -v, --yes, --json and --json-lines; see `reporting`."""
    for option in (
        _kept("json_lines", "--json-lines", help="print every event as a JSON object on a line"),
        _kept("json", "--json", help="print the result as one JSON object"),
        _kept("yes", "-y", "--yes", help="don't ask for confirmation"),
        verbose,
        quiet,
    ):
        function = option(function)
    return function


@contextmanager
def reporting() -> Iterator["Report"]:
    """The report of the command that runs. At its end the log is closed, and the JSON printed."""
    from faprelease.report import outputs
    from faprelease.report.report import Report
    from faprelease.report.runlog import RunLog

    verb = str(click.get_current_context().info_name)
    if kept_flag("quiet") and kept_flag("verbose"):
        raise click.UsageError("-q shows less and -v more: give one of them")
    log, plans = RunLog(verb), not (kept_flag("json") or kept_flag("json_lines"))
    shown: list[Output] = [log, _for_people(verbose=kept_flag("verbose"), plans=plans)]
    if kept_flag("json_lines"):
        shown.append(outputs.JsonLines())
    elif kept_flag("json"):
        shown.append(outputs.JsonEnd())
    report = Report(*shown, log=log)
    try:
        yield report
    except BaseException as error:
        report.finish(verb, error)
        raise
    report.finish(verb, None)


def _for_people(*, verbose: bool, plans: bool) -> "Output":
    from faprelease.report import outputs

    if kept_flag("quiet"):
        return outputs.Quiet(plans=plans)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        return outputs.Groups(plans=plans)
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("CI"):
        return outputs.Terminal(verbose=verbose, plans=plans)
    return outputs.Lines(verbose=verbose, plans=plans)
