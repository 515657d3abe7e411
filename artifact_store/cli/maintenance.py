"""Commands for the store itself: init, doctor and gc."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import click

from artifact_store.cli.group import Opener, duration, emit, fapstore, json_option, now, say
from artifact_store.core import text
from artifact_store.core.actor import Actor
from artifact_store.core.errors import NotFoundError, StoreError
from artifact_store.core.hints import Hint


@fapstore.command()
@click.option(
    "--group", default="", help="Let all users of this group write to the folder, whatever their umask."
)
@click.pass_obj
def init(opener: Opener, group: str) -> None:
    """Make a folder a store.

    Other commands refuse a folder that does not exist or is empty: its share may not be mounted. Buckets need
    no init: `aws s3 mb` makes them.
    """
    from artifact_store.blobs.open import make_store

    say(f"{make_store(opener.url, group)} is a store")


@fapstore.command()
@json_option
@click.pass_obj
def doctor(opener: Opener, as_json: bool) -> None:
    """Test what the store guarantees.

    Checks that nothing can be overwritten (also by several writers at once), permissions, clocks, lifecycle
    rules and public access. Test objects are removed afterwards. Exits 1 if a check fails.
    """
    from artifact_store.store.maintenance import examine

    findings = []
    for finding in examine(opener()):
        findings.append(finding)
        if not as_json:
            emit(finding, False, text.finding(finding))
    if as_json:
        emit(findings, True)
    failed = sum(finding.verdict == "wrong" for finding in findings)
    if failed:
        raise StoreError(f"{failed} of {len(findings)} checks failed", hint="each fix follows its ->")


@fapstore.command()
@click.argument("app")
@click.option(
    "--keep",
    metavar="N",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Number of recent versions to keep per stage and role.",
)
@click.option(
    "--grace",
    metavar="TIME",
    callback=duration,
    default="30d",
    show_default=True,
    help="Never remove anything younger than this. Must be longer than any push takes.",
)
@click.option(
    "--wait",
    metavar="TIME",
    callback=duration,
    default="1m",
    show_default=True,
    help="Time to let running promotions finish before removing. Must be longer than any promotion takes.",
)
@click.option("--no-stages", is_flag=True, help="Remove versions although no stage of the app can be seen.")
@click.option(
    "--lost-entries",
    is_flag=True,
    help="Remove although entries of a stage's log are missing or can't be read: what only they name is "
    "unused.",
)
@click.option(
    "--take-back",
    is_flag=True,
    help="Only take back the marks of runs that were killed. No other gc of the app may run now.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed, with sizes; remove nothing.")
@json_option
@click.pass_obj
def gc(
    opener: Opener,
    app: str,
    keep: int,
    grace: timedelta,
    wait: timedelta,
    no_stages: bool,
    lost_entries: bool,
    take_back: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove unused versions and failed uploads.

    Versions that a stage or release refers to are kept: the last --keep of each. It is safe to run while
    others push and promote. Run it in the folder with the app's rules: if they require signatures, the last
    signed versions are kept too. The records of a removed version stay (who pushed, signed and promoted it),
    and its version number can never be reused.
    """
    from artifact_store.gc import collect
    from artifact_store.gc.references import Retention
    from artifact_store.store import maintenance

    store = opener()
    if take_back:
        say(f"marks taken back: {maintenance.take_back(store, app)}")
        return
    plan = maintenance.plan_gc(store, app, Retention(keep=keep, grace=grace, lost_entries=lost_entries))
    if plan.is_empty and not plan.kept:
        raise NotFoundError(f"{store.name} contains no version of {app}", hint=Hint("{fapstore} list"))
    if plan.unused and not no_stages and not store.stages.names(app):
        raise StoreError(
            f"{store.name} shows no stage of {app}, so every version would count as unused",
            hint="if its stages are missing, find out why; if it never had one, add --no-stages",
        )
    if plan.uploads is None:
        say("warning: this store can't list unfinished uploads, so they stay")
    if plan.marked:
        say(
            f"warning: another gc is removing {', '.join(plan.marked)}; if it was killed, and no other one "
            f"runs: fapstore gc {app} --take-back"
        )
    for version in plan.missing:
        say(f"warning: a stage or release refers to {app} {version}, but its bytes are missing")
    total = f"{text.size(plan.size)} of {app}; versions kept: {plan.kept}"
    lines = collect.lines(plan, now())
    if dry_run or plan.is_empty:
        emit(collect.facts(plan, None), as_json, *lines)
        say(f"would remove {total}" if dry_run else f"nothing to remove; versions kept: {plan.kept}")
        return
    for line in lines:
        say(text.printable(line))
    say(f"removing {total}" + (f" (in {wait.total_seconds():.0f} s)" if plan.unused else ""))
    with _ended_like_ctrl_c():
        result = maintenance.run_gc(
            store, plan, Actor.current(), lambda: time.sleep(wait.total_seconds()), wait + _DELETING
        )
    for version in result.spared:
        say(f"kept {app} {version}: something refers to it now")
    emit(collect.facts(plan, result), as_json, f"removed {text.size(result.size)}")


_DELETING = timedelta(hours=1)
"""How long deleting may take, after the wait."""


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise an exception, as Ctrl-C does, so that marks are taken back."""

    def end(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the cleaning up
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
