"""The verbs that only read: status, releases and history."""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faprelease.cli.group import cli, echo
from faprelease.cli.request import FLAGS, about_a_stage, request
from faprelease.steps.place import Place

if TYPE_CHECKING:
    from faprelease.request import Request
    from faprelease.views.status import HostStatus, KeptRelease, ProcessStatus

WIDTH = 100
"""How wide the lists of releases are at most, in columns."""
_json = click.option("--json", "as_json", is_flag=True, help="print one JSON object per line")


@cli.command(context_settings=FLAGS)
@about_a_stage
@click.option("--verify", is_flag=True, help="also list files that changed since the release")
@_json
@click.option("--store", "recorded", is_flag=True, help="show what converging hosts recorded in the store")
def status(
    words: tuple[str, ...], file: Path, stage: str, role: str, verify: bool, as_json: bool, recorded: bool
) -> None:
    """Show what each host of STAGE and ROLE runs.

    Also shown: since when, who released it, whether its health check passes, freezes and running releases;
    for how long its processes have been up (the youngest), and how often systemd started them again; and the
    last and the next run of its schedules.
    Exit code 3 if hosts differ, a check fails or --verify finds changed files; 7 if a host can't be reached.
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
            _up(row.processes),
            _restarts(row.processes),
            "" if row.health in ("", "healthy") else "UNHEALTHY",
        )
        for row in found
    ]
    if as_json:
        _show_json(found)
    else:
        head = ("role", "host", "release", "state", "version", "digest", "since", "by", "up", "restarts", "")
        _show_table(head, shown)
        _show_schedules(found)
    told = list(_notes(found))
    for line in told:
        echo(line, err=True)
    if any(row.unreachable for row in found):
        raise SystemExit(7)
    if any(row.drift or row.changed or row.health not in ("", "healthy") for row in found):
        raise SystemExit(3)


@cli.command(context_settings=FLAGS)
@about_a_stage
@_json
def releases(words: tuple[str, ...], file: Path, stage: str, role: str, as_json: bool) -> None:
    """List the releases on each host, and why each is kept.

    The newest come first. Hosts with the same releases are shown once. The size is that of the release's own
    folder: installed packages are shared by all releases with the same lock, and not counted.
    """
    from faprelease.verbs import status
    from faprelease.views.status import alike

    found = status.releases(request(words, file, stage, role))
    if as_json:
        _show_json(found)
        return
    for number, (hosts, rows) in enumerate(alike(found)):
        heading = f"{rows[0].role} on {', '.join(hosts)}"
        for line in ["", *textwrap.wrap(heading, WIDTH, subsequent_indent="  ")][not number :]:
            echo(line)
        for line in releases_table(rows):
            echo(line)


def releases_table(rows: "Sequence[KeptRelease]") -> Iterable[str]:
    """The lines of a table of releases. What does not fit is wrapped in the last column, and cut before."""
    from faprelease.report.outputs import in_units

    table: list[tuple[str, ...]] = [
        ("release", "state", "version", "since (UTC)", "by", "size", "why it is kept")
    ]
    for row in rows:
        since = row.since[:16].replace("T", " ")
        size = "" if row.size is None else in_units(row.size)
        words = (row.release, row.state, _cut(row.version, 14), since, _cut(row.by, 17), size, row.kept)
        table.append(tuple(" ".join(word.split()) or "-" for word in words))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)][:-1]
    left = sum(widths) + 2 * len(widths)
    for line in table:
        first, *more = textwrap.wrap(line[-1], max(WIDTH - left, 12)) or [""]
        yield "".join(f"{word:<{width}}  " for word, width in zip(line, widths, strict=False)) + first
        yield from (" " * left + part for part in more)


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size - 1]}…"


@cli.command(context_settings=FLAGS)
@about_a_stage
@_json
def history(words: tuple[str, ...], file: Path, stage: str, role: str, as_json: bool) -> None:
    """Show past releases, rollbacks and commands.

    The oldest come first. Read from the hosts' ledgers and from the store's records.
    """
    from faprelease.verbs import status

    found = status.events(request(words, file, stage, role))
    if as_json:
        _show_json(found)
        return
    head = ("at", "role", "event", "release", "version", "who", "hosts", "more")
    rows = [(e.at, e.role, e.event, e.release, e.version, e.who, ",".join(e.hosts), e.more) for e in found]
    _show_table(head, rows)


def _up(processes: "Sequence[ProcessStatus]") -> str:
    """For how long the youngest process has run."""
    times = [each.up for each in processes]
    return (
        "" if not times else "down" if None in times else duration(min(up for up in times if up is not None))
    )


def duration(seconds: int) -> str:
    """Two units of time: `3 d 4 h`, `12 min 5 s`."""
    for size, unit, part, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            return f"{seconds // size} {unit} {seconds % size // part} {smaller}"
    return f"{seconds} s"


def _restarts(processes: "Sequence[ProcessStatus]") -> str:
    counts = [each.restarts for each in processes if each.restarts is not None]
    return str(sum(counts)) if counts else ""


def _show_schedules(found: "Sequence[HostStatus]") -> None:
    rows = [
        (
            host.role,
            host.host,
            each.name,
            f"{each.at} {each.timezone}",
            each.started,
            "runs"
            if each.running
            else ""
            if not each.started
            else "unknown"
            if each.code is None
            else str(each.code),
            each.release,
            each.next,
        )
        for host in found
        for each in host.schedules
    ]
    if rows:
        echo("")
        _show_table(("role", "host", "schedule", "at", "last run", "exit", "in release", "next run"), rows)


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
        click.echo(f"{len(lagging)} of {len(found)} hosts do not run what was promoted", err=True)
        raise SystemExit(3)


def _notes(found: Sequence["HostStatus"]) -> Iterable[str]:
    for row in found:
        place = Place(row.host, row.role)
        if row.unreachable:
            yield row.unreachable
        if row.locked:
            yield f"{place}: a run by {row.locked} is in progress"
        if row.frozen:
            yield f"{place}: {row.frozen}"
        for reason in row.drift:
            yield f"{place}: {reason}"
        if row.changed:
            more = [f"and {len(row.changed) - 10} more"] if len(row.changed) > 10 else []
            shown = "\n  ".join([*row.changed[:10], *more])
            yield f"{place}: {len(row.changed)} files of {row.release} changed since the release:\n  {shown}"
        if row.health not in ("", "healthy"):
            yield f"{place}: unhealthy:\n{row.health}"
    if any(row.drift for row in found):
        yield f"to make all hosts run the same release: faprelease sync {found[0].stage}"


def _show_json(rows: Iterable[Any]) -> None:
    import msgspec

    for row in rows:
        click.echo(msgspec.json.encode(row).decode())


def _show_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    table = [head, *(tuple(" ".join(word.split()) or "-" for word in row[:-1]) + row[-1:] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        echo("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())
