"""`python -m bench`: the tables of docs/benchmarks.md, measured here and now."""

import sys
import tempfile
from pathlib import Path

import click

from bench import machine, release, trivial, webserver
from bench.processes import BenchError
from tests.fleet import FleetError


@click.command()
@click.option("--hosts", default="1,5,20", show_default=True, help="How many loopback hosts, one row each.")
@click.option("--runs", default=7, show_default=True, help="Releases each way and row; the medians count.")
def main(hosts: str, runs: int) -> None:
    """Release a trivial artifact with faprelease and with a Fabric script, in turns, and print the ratio."""
    counts = [int(count) for count in hosts.split(",")]
    click.echo(machine.describe())
    click.echo(machine.versions("fapkit", "fabric", "paramiko"))
    click.echo(f"seconds are medians of {runs} runs in turns; a ratio below 1 means that ours is faster\n")
    try:
        _release(counts, runs)
    except (BenchError, FleetError) as error:
        click.echo(f"bench: {error}", err=True)
        sys.exit(1)


def _release(counts: list[int], runs: int) -> None:
    click.echo("| hosts | faprelease | Fabric script | ratio | in single turns | sessions per host |")
    click.echo("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="fapkit-bench-") as name:
        folder = Path(name)
        artifacts = list(trivial.pack(folder / "artifacts", runs + 1))
        with webserver.serve(folder / "artifacts") as url:
            for count in counts:
                row = release.measure(folder / f"{count}-hosts", count, url, artifacts)
                click.echo(
                    f"| {row.hosts} | {row.ours:.2f} s | {row.fabric:.2f} s | {row.ratio:.2f} "
                    f"| {row.lowest:.2f} to {row.highest:.2f} "
                    f"| {row.our_sessions} against {row.fabric_sessions} |"
                )


if __name__ == "__main__":
    main()
