"""The verbs that inspect hosts: doctor and parity; and hosts, which lists them for load balancers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faprelease.cli.group import cli, echo
from faprelease.cli.request import FLAGS, about_a_stage, places_and_flags, request

if TYPE_CHECKING:
    from artifact_store.core.finding import Finding

_json = click.option("--json", "as_json", is_flag=True, help="print a JSON list")


@cli.command(context_settings=FLAGS)
@about_a_stage
@_json
def doctor(words: tuple[str, ...], file: Path, stage: str, role: str, as_json: bool) -> None:
    """Check the hosts of STAGE and ROLE, and list what to fix.

    The checks follow the twelve factors (12factor.net). Nothing is changed and no lock is taken. Exit code 1
    if a check fails: something that breaks the next release, or what runs now.
    """
    from faprelease.errors import FapError
    from faprelease.verbs import doctor

    found = doctor.doctor(request(words, file, stage, role))
    shown = [(one, f" [{_hosts(one.hosts)}]" if one.hosts else "") for one in found]
    wrong = _show(shown, as_json=as_json)
    if wrong:
        raise FapError(f"{wrong} of {len(found)} checks failed", hint="each fix follows its ->")


@cli.command(context_settings=FLAGS)
@about_a_stage
@_json
def parity(words: tuple[str, ...], file: Path, stage: str, role: str, as_json: bool) -> None:
    """Show how the hosts of two stages differ.

    \b
      faprelease parity staging production [ROLE]

    Compared are Python, glibc, names of variables, linked files, plugins and versions. Exit code 3 if
    anything but the version differs.
    """
    from faprelease.request import Request
    from faprelease.verbs.doctor import compare

    places, flags = places_and_flags(words, file)
    if stage or len(places) not in (2, 3 - bool(role)):
        raise click.UsageError("name two stages, and maybe a role: faprelease parity staging production")
    asked = Request(file=file, stage=places[0], role=role or "".join(places[2:]) or None, flags=flags)
    found = compare(asked, places[1])
    if _show([(one, "") for one in found], as_json=as_json):
        raise SystemExit(3)


@cli.command(context_settings=FLAGS)
@about_a_stage
@click.option(
    "--format",
    "form",
    type=click.Choice(["lines", "json", "nginx", "caddy", "haproxy"]),
    default="lines",
    help="lines: HOST:PORT, or HOST unix:SOCKET (default)",
)
def hosts(words: tuple[str, ...], file: Path, stage: str, role: str, form: str) -> None:
    """Print the addresses of web processes, for a web server.

    \b
      faprelease hosts production web --format nginx >shop_upstream.conf

    Ports are those of `processes` (its `web`), or the one that the plugin healthcheck asks. With `handover:
    beside` they are unix sockets, for a front on the same host, or `handover_listen` and up. No host is
    contacted.
    """
    from faprelease.report.report import Report
    from faprelease.run.run import Run
    from faprelease.views import endpoints

    run = Run.of(request(words, file, stage, role), "hosts", Report())
    echo(endpoints.render(endpoints.of(run.targets, run.plugins()), form))


def _show(found: "Sequence[tuple[Finding, str]]", *, as_json: bool) -> int:
    """Print findings, each with what stands behind its text; how many are wrong."""
    import msgspec

    from artifact_store.core import text

    if as_json:
        click.echo(msgspec.json.encode([one for one, _ in found]).decode())
    else:
        for one, behind in found:
            shown = msgspec.structs.replace(one, says=one.says + behind)
            echo(text.finding(shown))
    return sum(one.verdict == "wrong" for one, _ in found)


def _hosts(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
