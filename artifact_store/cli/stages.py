"""Commands for stages: promote, rollback, freeze, unfreeze, renew, stages, history, releases, diff, board."""

import heapq
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import click
import msgspec

from artifact_store.cli.group import (
    Opener,
    emit,
    expires_option,
    fapstore,
    json_option,
    key_option,
    now,
    override_option,
    repository_option,
    say,
    time_option,
    why_option,
)
from artifact_store.core import duration as durations
from artifact_store.core.actor import Actor
from artifact_store.core.errors import NotFoundError, UsageError, VerificationError
from artifact_store.core.hints import Hint
from artifact_store.stages.log_rules import LogEntry
from artifact_store.store.promote import StageChange
from artifact_store.store.store import Store
from artifact_store.views import wording

_ENTRIES = 50


@fapstore.command()
@click.argument("app")
@click.argument("version", required=False)
@click.argument("stage", required=False)
@click.option("--from", "source", metavar="STAGE", help="Promote the version that this stage has.")
@click.option("--to", "target", metavar="STAGE", help="The stage to promote it to.")
@click.option("--dry-run", is_flag=True, help="Show what it would change, and whether the rules allow it.")
@repository_option
@click.option("--new-stage", is_flag=True, help="Begin a stage whose name is similar to another one's.")
@expires_option
@why_option
@override_option
@key_option
@json_option
@click.pass_obj
def promote(
    opener: Opener,
    app: str,
    version: str | None,
    stage: str | None,
    source: str | None,
    target: str | None,
    dry_run: bool,
    repository: Path,
    new_stage: bool,
    lifetime: timedelta | None,
    why: str,
    override: str,
    key: Path | None,
    as_json: bool,
) -> None:
    """Put a version on a stage.

    Give APP VERSION STAGE, or APP --from STAGE --to STAGE. No bytes are copied. The next release of the stage
    brings this version to its hosts.
    """
    store = opener(key)
    by = Actor.current()
    if not new_stage:
        store.stages.check_spelling(app, target or stage or "")
    if version and stage and not (source or target):
        target = stage
    elif source and target and not version:
        head = store.stages.head(app, source)
        if head is None:
            raise NotFoundError(
                f"{app} {source} has no version yet", hint=Hint("{fapstore} stages {app}", app=app)
            )
        version = head.version
    else:
        raise UsageError(
            "give a version and a stage, or two stages",
            hint=Hint(
                "{fapstore} promote APP VERSION STAGE, or: {fapstore} promote APP --from STAGE --to STAGE"
            ),
        )
    change = store.stages.promote(
        app,
        version,
        target,
        by,
        why=why,
        source=source or "",
        override=override,
        lifetime=lifetime,
        dry_run=dry_run,
    )
    if dry_run:
        _preview(store, change, repository, as_json)
    else:
        _report(change, as_json)


@fapstore.command()
@click.argument("app")
@click.argument("stage")
@click.option(
    "--to",
    "version",
    metavar="VERSION",
    help="A version that was on the stage before.  [default: the previous one]",
)
@why_option
@override_option
@key_option
@json_option
@click.pass_obj
def rollback(
    opener: Opener,
    app: str,
    stage: str,
    version: str | None,
    why: str,
    override: str,
    key: Path | None,
    as_json: bool,
) -> None:
    """Put the previous version back on a stage.

    For emergencies: needs no approvals and skips the check of earlier stages. The next release of the stage
    brings the version to its hosts; `faprelease rollback` switches hosts at once.
    """
    change = opener(key).stages.rollback(app, stage, Actor.current(), to=version, why=why, override=override)
    _report(change, as_json)


@fapstore.command()
@click.argument("app")
@click.argument("stage")
@click.option("--why", metavar="TEXT", required=True, help="Reason, shown to anyone who is refused.")
@key_option
@json_option
@click.pass_obj
def freeze(opener: Opener, app: str, stage: str, why: str, key: Path | None, as_json: bool) -> None:
    """Refuse promotions and rollbacks of a stage."""
    _report(opener(key).stages.freeze(app, stage, Actor.current(), why), as_json)


@fapstore.command(short_help="Allow changes of a frozen stage again.")
@click.argument("app")
@click.argument("stage")
@why_option
@key_option
@json_option
@click.pass_obj
def unfreeze(opener: Opener, app: str, stage: str, why: str, key: Path | None, as_json: bool) -> None:
    """Allow promotions and rollbacks of a stage again."""
    _report(opener(key).stages.unfreeze(app, stage, Actor.current(), why), as_json)


@fapstore.command()
@click.argument("app")
@click.argument("stage")
@expires_option
@click.option(
    "--override",
    metavar="REASON",
    default="",
    help="Renew although the last entry is of a clock in the future. The reason is recorded in the history.",
)
@key_option
@json_option
@click.pass_obj
def renew(
    opener: Opener,
    app: str,
    stage: str,
    lifetime: timedelta | None,
    override: str,
    key: Path | None,
    as_json: bool,
) -> None:
    """Renew the expiry of a stage's last entry.

    Writes a new entry that changes nothing else. Run it by a schedule, more often than entries expire: then a
    store or mirror that shows an old state is refused soon.
    """
    _report(opener(key).stages.renew(app, stage, Actor.current(), lifetime, override), as_json)


@fapstore.command(short_help="Leave a stage without a version.")
@click.argument("app")
@click.argument("stage")
@click.option("--why", metavar="TEXT", required=True, help="Reason, recorded in the history.")
@key_option
@json_option
@click.pass_obj
def retire(opener: Opener, app: str, stage: str, why: str, key: Path | None, as_json: bool) -> None:
    """Leave a stage without a version, for good or until the next promotion.

    Releases of it find nothing to release, and `fapstore gc` keeps no version for it. Its history stays. Its
    hosts are not changed.
    """
    _report(opener(key).stages.retire(app, stage, Actor.current(), why), as_json)


@fapstore.command("new-origin", short_help="Begin a stage's log anew in a copied store.")
@click.argument("app")
@click.argument("stage")
@click.option("--why", metavar="TEXT", required=True, help="Reason, recorded in the history.")
@key_option
@json_option
@click.pass_obj
def new_origin(opener: Opener, app: str, stage: str, why: str, key: Path | None, as_json: bool) -> None:
    """Begin a stage's log anew, after its store was copied or restored from a backup.

    The version stays. Entries that are written for the other copy of the store count for nothing here from
    now on, and those written here count for nothing there. Hosts remember the log they have seen: the next
    release of them needs `faprelease --allow-older`, once.
    """
    _report(opener(key).stages.new_origin(app, stage, Actor.current(), why), as_json)


@fapstore.command()
@click.argument("app")
@json_option
@click.pass_obj
def stages(opener: Opener, app: str, as_json: bool) -> None:
    """Show the version on each stage of an app."""
    store = opener()
    entries = store.stages.last_entries(app)
    passed_over = store.stages.passed_over(app, *store.stages.names(app))
    if not entries and not passed_over:
        raise NotFoundError(f"{store.name}: no version of {app} is on a stage", hint=Hint("{fapstore} list"))
    signed = list(zip(entries, _signatures(opener, store, entries), strict=True))
    emit(
        [_facts(*row) for row in signed],
        as_json,
        *(
            ", ".join(filter(None, (f"{e.state.stage:<16} {wording.state(e.state, now())}", _signed(e, by))))
            for e, by in signed
        ),
    )
    _check(store, entries, passed_over)


@fapstore.command()
@click.argument("app")
@click.argument("stage", required=False)
@click.option(
    "-n",
    "--last",
    metavar="N",
    type=click.IntRange(min=1),
    help="Show only the last N entries of a stage.  [default: 50, or all with --since or --json]",
)
@click.option("--all", "every", is_flag=True, help="Show all entries.")
@click.option(
    "--since", metavar="TIME", callback=time_option, help=f"Show entries since a time: {durations.TIMES}"
)
@click.option("--at", metavar="TIME", callback=time_option, help="Show what ran at a time.")
@json_option
@click.pass_obj
def history(
    opener: Opener,
    app: str,
    stage: str | None,
    last: int | None,
    every: bool,
    since: datetime | None,
    at: datetime | None,
    as_json: bool,
) -> None:
    """Show the history of stages, newest first.

    Times are in UTC, by the clocks of those who wrote the entries. With --at, shows the entry of each stage
    that was the last one at that time, and the last run of each role until then.
    """
    store = opener()
    names = (stage,) if stage else store.stages.names(app)
    if at:
        if last or every or since:
            raise UsageError("--at shows one time", hint="leave out --last, --all and --since")
        _show_at(opener, store, app, names, at, as_json)
        return
    limit = None if every or ((as_json or since) and last is None) else last or _ENTRIES
    logs = [store.stages.recent(app, name, limit and limit + 1, since) for name in names]
    more = any(limit and len(log) > limit for log in logs)
    shown = [log[:limit] for log in logs]
    entries = list(
        heapq.merge(*shown, key=lambda entry: entry.state.at, reverse=True)
    )  # numbers order a stage
    passed_over = store.stages.passed_over(app, *names)
    if not entries and not passed_over:
        where = f"{app} {stage}" if stage else app
        when = f" since {wording.moment(since)}" if since else ""
        raise NotFoundError(
            f"{store.name}: {where} has no history{when}",
            hint=Hint("{fapstore} stages {app}", app=app),
        )
    signed = list(zip(entries, _signatures(opener, store, entries), strict=True))
    width = 0 if stage else max(map(len, names))
    emit(
        [_facts(*row) for row in signed],
        as_json,
        *(f"{_place(e, width)}{wording.line(e.state, now(), _signed(e, by))}" for e, by in signed),
    )
    if more:
        say("older entries are not shown; --all shows them")
    _check(store, [log[0] for log in logs if log], passed_over)


def _place(entry: LogEntry, width: int) -> str:
    """The stage of an entry in a column; empty for the history of one stage, whose width is 0."""
    return f"{entry.state.stage:<{width}}" if width else ""


def _show_at(
    opener: Opener, store: Store, app: str, names: Sequence[str], at: datetime, as_json: bool
) -> None:
    """Show what stages had at a time, and the last run of each role until then."""
    entries = [entry for name in names if (entry := store.stages.entry_at(app, name, at))]
    runs = {
        (run.stage, run.role): run
        for name in (names if store.can_list else ())
        for run in sorted(store.records.releases(app, name), key=lambda run: run.at)
        if run.at <= at
    }
    if not entries and not runs:
        raise NotFoundError(
            f"{app}: no stage had a version at {wording.moment(at)}",
            hint=Hint("{fapstore} history {app} --all", app=app),
        )
    signed = list(zip(entries, _signatures(opener, store, entries), strict=True))
    emit(
        {"at": at, "stages": [_facts(*row) for row in signed], "releases": list(runs.values())},
        as_json,
        *(f"{e.state.stage}: {wording.line(e.state, now(), _signed(e, by))}" for e, by in signed),
        *(wording.release(run) for run in runs.values()),
    )


@fapstore.command()
@click.argument("app")
@click.argument("stage", required=False)
@click.option("-n", "--last", metavar="N", type=click.IntRange(min=1), help="Show only the last N runs.")
@json_option
@click.pass_obj
def releases(opener: Opener, app: str, stage: str | None, last: int | None, as_json: bool) -> None:
    """Show the runs of faprelease, newest first.

    Each run left one record for each role. Hosts that update themselves (`faprelease converge`) follow, each
    with its last run.
    """
    store = opener()
    names = (stage,) if stage else store.stages.names(app)
    runs = sorted(
        (run for name in names for run in store.records.releases(app, name)),
        key=lambda run: run.at,
        reverse=True,
    )[:last]
    hosts = [host for name in names for host in store.records.hosts(app, name)]
    if not runs and not hosts:
        where = f"{app} {stage}" if stage else app
        raise NotFoundError(
            f"{store.name} has no record of a release of {where}",
            hint="faprelease writes them if deploy.yml names this store; `faprelease history` asks hosts",
        )
    emit(
        {"releases": runs, "hosts": hosts},
        as_json,
        *(wording.release(run) for run in runs),
        *(wording.host(host) for host in hosts),
    )


@fapstore.command()
@click.argument("app")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@repository_option
@json_option
@click.pass_obj
def diff(opener: Opener, app: str, first: str, second: str, repository: Path, as_json: bool) -> None:
    """Compare two stages, or two versions.

    Shows what promoting from stage A to stage B would change: versions, commits, dependencies and sizes.
    Example: `fapstore diff shop staging production`. A may be a version: `fapstore diff shop 43 production`.
    With two versions, A is the older one: `fapstore diff shop 42 43`. Downloads only the manifests of the two
    artifacts.
    """
    from artifact_store.views import stage_diff

    comparison = stage_diff.compare(opener(), app, first, second, repository)
    emit(stage_diff.facts(comparison), as_json, *stage_diff.lines(comparison, now()))


@fapstore.command()
@click.argument("app")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write.  [default: print the page]",
)
@repository_option
@json_option
@click.pass_obj
def board(opener: Opener, app: str, output: Path | None, repository: Path, as_json: bool) -> None:
    """Write an HTML page about all stages.

    The page shows each stage's version, pending versions and history. It is one self-contained file for any
    web server. It contains names, versions and reasons, but no secrets and no download URLs.
    """
    from artifact_store.views.board import load, page

    trust = opener.trust()
    content = load(opener(), trust.policy, app, repository, check=trust.signers is not None)
    if as_json:
        emit(content, as_json)
    elif output is None:
        click.echo(page(content, now()))
    else:
        part = output.with_name(f".{output.name}.part")
        part.write_text(page(content, now()), encoding="utf-8")
        part.replace(output)
        say(f"wrote {output}")


def _signatures(
    opener: Opener, store: Store, entries: Sequence[LogEntry]
) -> Sequence[tuple[str, ...] | None]:
    """The allowed signers who signed each entry; None if no allowed signers are known."""
    return store.notary.all_signed_by(entries) if opener.trust().signers else [None] * len(entries)


def _signed(entry: LogEntry, by: tuple[str, ...] | None) -> str:
    return wording.signature(by, len(entry.sealed.signatures))


def _facts(entry: LogEntry, by: tuple[str, ...] | None) -> dict[str, object]:
    return {**msgspec.structs.asdict(entry.state), "signed_by": by}


def _check(store: Store, entries: Sequence[LogEntry], passed_over: Sequence[str]) -> None:
    """Raise VerificationError, after everything was printed, for what can't be read or relied on."""
    if passed_over:
        raise VerificationError(
            "; ".join(passed_over), hint=f"find out who can write to the store: {store.name}"
        )
    for entry in entries:
        store.notary.check_entry(entry)


def _preview(store: Store, change: StageChange, repository: Path, as_json: bool) -> None:
    """Show what a promotion would change; it was decided, and not written."""
    from artifact_store.views import stage_diff

    state = change.state
    if not change.changed:
        emit(change, as_json, f"nothing to do: {state.stage} has {state.version} already")
        return
    comparison = stage_diff.promotion(store, state.app, state.version, state.stage, repository)
    before = comparison.target.record.version if comparison else "no version"
    overrode = f", overriding the rules: {', '.join(state.overrode)}" if state.overrode else ""
    emit(
        {"state": state, "diff": stage_diff.facts(comparison) if comparison else None},
        as_json,
        f"{state.stage} would go from {before} to {state.version} (entry {state.number}){overrode}",
        *(stage_diff.changes(comparison, now()) if comparison else ()),
    )
    say("nothing was written")


def _report(change: StageChange, as_json: bool) -> None:
    overrode = f"; overrode the rules: {', '.join(change.state.overrode)}" if change.state.overrode else ""
    say(f"done{overrode}" if change.changed else "nothing to do: already at that state")
    if change.gap:
        state = change.state
        say(
            f"warning: entry {change.gap} of {state.app} {state.stage} is missing, so readers over https see "
            f"no entry above it, also not this one (entry {state.number}); over s3:// and file:// it is seen"
        )
    emit(change, as_json, f"{change.state.stage} {wording.state(change.state, now())}")
