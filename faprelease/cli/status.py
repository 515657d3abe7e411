"""The verbs that only read: status, releases and history."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faprelease.cli.group import cli
from faprelease.cli.request import FLAGS, about_a_stage, request
from faprelease.steps.place import Place

if TYPE_CHECKING:
    from faprelease.request import Request
    from faprelease.views.status import HostStatus

_json = click.option("--json", "as_json", is_flag=True, help="a JSON object a line on standard output")


@cli.command(context_settings=FLAGS)
@about_a_stage
@click.option("--verify", is_flag=True, help="also tell which files of the release changed since it was made")
@_json
@click.option(
    "--store", "recorded", is_flag=True, help="what hosts that converge recorded there; connects to none"
)
def status(
    words: tuple[str, ...], file: Path, stage: str, role: str, verify: bool, as_json: bool, recorded: bool
) -> None:
    """Show what every host of STAGE and ROLE runs, since when, and whether its gate finds it well.

    Exit 3 if hosts differ, are not well, or --verify finds that files changed, 7 if one can't be reached.
    Freezes and runs under way are told.
    """
    if recorded:
        _show_recorded(request(words, file, stage, role), as_json=as_json)
        return
    from faprelease.verbs import status

    found = status.status(request(words, file, stage, role), verify=verify)
    shown = [
        (
            row.role,
            row.host,
            row.release,
            row.state,
            row.version,
            row.digest[:12],
            row.since,
            row.by,
            "" if row.health in ("", "well") else "NOT WELL",
        )
        for row in found
    ]
    if as_json:
        _show_json(found)
    else:
        head = ("role", "host", "release", "state", "version", "digest", "since", "by", "")
        _show_table(head, shown)
    told = list(_notes(found))
    for line in told:
        click.echo(line, err=True)
    if any(row.unreachable for row in found):
        raise SystemExit(7)
    if any(row.drift or row.changed or row.health not in ("", "well") for row in found):
        raise SystemExit(3)


@cli.command(context_settings=FLAGS)
@about_a_stage
@_json
def releases(words: tuple[str, ...], file: Path, stage: str, role: str, as_json: bool) -> None:
    """Show the releases that every host of STAGE and ROLE holds, and why they are there; newest first.

    The size is that of a release's own folder: packages are installed once for all releases with the same
    lock, and not counted.
    """
    from faprelease.report.outputs import in_units
    from faprelease.verbs import status

    found = status.releases(request(words, file, stage, role))
    if as_json:
        _show_json(found)
        return
    head = ("role", "host", "release", "state", "version", "digest", "since", "by", "size", "why it is there")
    rows = [
        (
            r.role,
            r.host,
            r.release,
            r.state,
            r.version,
            r.digest[:12],
            r.since,
            r.by,
            "" if r.size is None else in_units(r.size),
            r.kept,
        )
        for r in found
    ]
    _show_table(head, rows)


@cli.command(context_settings=FLAGS)
@about_a_stage
@_json
def history(words: tuple[str, ...], file: Path, stage: str, role: str, as_json: bool) -> None:
    """Show what happened on the hosts of STAGE and ROLE, the oldest first, and what the store recorded."""
    from faprelease.verbs import status

    found = status.events(request(words, file, stage, role))
    if as_json:
        _show_json(found)
        return
    head = ("at", "role", "event", "release", "version", "who", "hosts", "more")
    rows = [(e.at, e.role, e.event, e.release, e.version, e.who, ",".join(e.hosts), e.more) for e in found]
    _show_table(head, rows)


def _show_recorded(asked: "Request", *, as_json: bool) -> None:
    from faprelease.verbs import converge_store

    found = converge_store.read(asked)
    if as_json:
        _show_json(found)
    else:
        head = ("role", "host", "runs", "outcome", "version", "entry", "since", "")
        rows = [
            (r.role, r.host, r.runs, r.outcome, r.version, str(r.entry), r.at, "LAGS" if r.lags else "")
            for r in found
        ]
        _show_table(head, rows)
    lagging = [row for row in found if row.lags]
    if lagging:
        click.echo(f"{len(lagging)} of {len(found)} hosts do not run what the stage names", err=True)
        raise SystemExit(3)


def _notes(found: Sequence["HostStatus"]) -> Iterable[str]:
    for row in found:
        label = Place(row.host, row.role)
        if row.unreachable:
            yield row.unreachable
        if row.locked:
            yield f"{label}: a run is under way, by {row.locked}"
        if row.frozen:
            yield f"{label}: {row.frozen}"
        for reason in row.drift:
            yield f"{label}: {reason}"
        if row.changed:
            more = [f"and {len(row.changed) - 10} more"] if len(row.changed) > 10 else []
            shown = "\n  ".join([*row.changed[:10], *more])
            yield f"{label}: {len(row.changed)} files of {row.release} changed since it was made:\n  {shown}"
        if row.health not in ("", "well"):
            yield f"{label}: not well:\n{row.health}"
    if any(row.drift for row in found):
        yield f"to bring all to what the stage should run: faprelease sync {found[0].stage}"


def _show_json(rows: Iterable[Any]) -> None:
    import msgspec

    for row in rows:
        click.echo(msgspec.json.encode(row).decode())


def _show_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    table = [head, *(tuple(" ".join(word.split()) or "-" for word in row[:-1]) + row[-1:] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        click.echo("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())
