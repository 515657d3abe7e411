"""The store itself: what it really does, and what can go."""

import time
from datetime import timedelta

import click

from artifact_store.cli.group import Opener, duration, fapstore, json_option, now, say, tell
from artifact_store.core import text
from artifact_store.core.actor import Actor
from artifact_store.core.errors import NotFoundError, StoreError
from artifact_store.core.hints import Hint


@fapstore.command()
@json_option
@click.pass_obj
def doctor(opened: Opener, as_json: bool) -> None:
    """Try out what a store really does; what it writes for that, it removes.

    Whether anything can be overwritten, by several writers at once too; permissions, clocks, lifecycle rules,
    public access. Exit code 1 if something is wrong.
    """
    from artifact_store.store.maintenance import examine

    found = []
    for finding in examine(opened()):
        found.append(finding)
        if not as_json:
            tell(finding, False, text.finding(finding))
    if as_json:
        tell(found, True)
    wrong = sum(finding.verdict == "wrong" for finding in found)
    if wrong:
        raise StoreError(f"{wrong} of {len(found)} things are wrong", hint="do what stands behind ->")


@fapstore.command()
@click.argument("app")
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Keep so many versions of each stage, and of each role that was released: the last ones.",
)
@click.option(
    "--grace",
    metavar="TIME",
    callback=duration,
    default="30d",
    show_default=True,
    help="Leave alone what is younger; longer than any push takes.",
)
@click.option(
    "--wait",
    metavar="TIME",
    callback=duration,
    default="1m",
    show_default=True,
    help="How long a promotion may take; that long after marking, the logs are read again.",
)
@click.option("--dry-run", is_flag=True, help="Show what would go and how much that is; remove nothing.")
@json_option
@click.pass_obj
def gc(
    opened: Opener,
    app: str,
    keep: int,
    grace: timedelta,
    wait: timedelta,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove versions that nothing refers to, and what killed pushes left.

    Kept is what stages and releases refer to: the last --keep versions of each. It is safe while others push
    and promote. Run it where the app's rules are: if they demand signatures, the last signed versions are
    kept too. Who promoted, pushed and signed a removed version stays on record; its name is never free again.
    """
    from artifact_store.gc import collect
    from artifact_store.gc.references import Retention
    from artifact_store.store.maintenance import plan_gc, run_gc

    store = opened()
    plan = plan_gc(store, app, Retention(keep=keep, grace=grace))
    if plan.is_empty and not plan.kept:
        raise NotFoundError(f"{store.name} holds no version of {app}", hint=Hint("{fapstore} list"))
    for version in plan.missing:
        say(f"warning: a stage or release refers to {app} {version}, and its bytes are not there")
    total = f"{text.size(plan.size)} of {app}; kept versions: {plan.kept}"
    lines = collect.lines(plan, now())
    if dry_run or plan.is_empty:
        tell(collect.facts(plan, None), as_json, *lines)
        say(f"would remove {total}" if dry_run else f"nothing to remove; kept versions: {plan.kept}")
        return
    for line in lines:
        say(text.printable(line))
    say(f"removing {total}" + (f" (in {wait.total_seconds():.0f} s)" if plan.unused else ""))
    done = run_gc(store, plan, Actor.current(), lambda: time.sleep(wait.total_seconds()))
    for version in done.spared:
        say(f"kept after all, as something came to refer to it: {app} {version}")
    tell(collect.facts(plan, done), as_json, f"removed {text.size(done.size)}")
