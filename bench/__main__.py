"""`python -m bench`: measure the tables of docs/explanation/benchmarks.md, all or one by its name."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from bench import delta as updating
from bench import handover as handing
from bench import install as installing
from bench import locked_app, machine, old_store, onboarding, scale, start, transfer, trivial, webserver
from bench import pack as packing
from bench import release as releasing
from bench.processes import BenchError
from tests.parts.fleet import FleetError

HALF_ROUND_TRIP = 0.025  # in seconds


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Measure ours and what people use instead, in turns, and print tables. Below 1, ours is faster."""
    click.echo(machine.describe())
    if context.invoked_subcommand is None:
        for name, command in main.commands.items():
            if command is not apps:  # which have to be brought
                click.echo(f"\n## {name}\n")
                context.invoke(command)


@main.command()
@click.option("--hosts", default="1,5,20", show_default=True, help="How many loopback hosts, one row each.")
@click.option("--far", default="1,5", show_default=True, help="The same with a round trip of 50 ms.")
@click.option("--runs", default=7, show_default=True, help="Releases each way and row; the medians count.")
def release(hosts: str, far: str, runs: int) -> None:
    """Release a trivial artifact with faprelease and with a Fabric script."""
    rows = [(int(count), 0.0) for count in hosts.split(",") if count]
    rows += [(int(count), HALF_ROUND_TRIP) for count in far.split(",") if count]
    _head(f"medians of {runs} releases", "fapkit", "fabric", "paramiko")
    click.echo("| hosts | faprelease | Fabric script | ratio | in single turns | sessions per host |")
    click.echo("|---|---|---|---|---|---|")
    with _scratch() as folder:
        artifacts = list(trivial.pack(folder / "artifacts", runs + 1))
        with webserver.serve(folder / "artifacts") as url:
            for count, delay in rows:
                row = releasing.measure(folder / f"{count}-hosts-{delay}", count, url, artifacts, delay)
                network = f", {2 * row.delay * 1000:.0f} ms away" if row.delay else ""
                click.echo(
                    f"| {row.hosts}{network} | {row.ours:.2f} s | {row.fabric:.2f} s | {row.ratio:.2f} "
                    f"| {row.lowest:.2f} to {row.highest:.2f} "
                    f"| {row.our_sessions} against {row.fabric_sessions} |"
                )


@main.command()
@click.option("--runs", default=5, show_default=True, help="Packs each way; the medians count.")
@click.option("--slow-runs", default=1, show_default=True, help="Packs with shiv and pex, which take long.")
def pack(runs: int, slow_runs: int) -> None:
    """Pack an app with a hundred wheels with fapbuild, with pip wheel and tar, with shiv and with pex."""
    _head(f"medians of {runs} packs, {slow_runs} with shiv and pex", "fapkit", "pip", "shiv", "pex")
    click.echo("| pack | fapbuild | peer | ratio | in single turns | CPU |")
    click.echo("|---|---|---|---|---|---|")
    with _scratch() as folder:
        rows = [("only code changed", row) for row in packing.warm(folder / "warm", runs, slow_runs)]
        for title, row in [*rows, ("all caches empty", packing.cold(folder / "cold", runs))]:
            click.echo(
                f"| {title} | {row.ours:.2f} s | {row.peer} {row.theirs:.1f} s | 1/{1 / row.ratio:.1f} "
                f"| 1/{1 / row.highest:.1f} to 1/{1 / row.lowest:.1f} "
                f"| {row.our_cpu:.1f} s against {row.their_cpu:.1f} s |"
            )


@main.command()
@click.option("--runs", default=5, show_default=True, help="Installs each way; the medians count.")
@click.option("--artifact", type=click.Path(exists=True, path_type=Path), help="Default: bench/apps/hundred.")
def install(runs: int, artifact: Path | None) -> None:
    """Install an artifact's wheels with its install.sh and with pip, offline, bytecode included."""
    _head(f"medians of {runs} installs", "fapkit", "pip")
    click.echo("| packages | install.sh | pip install --no-index | ratio | in single turns | CPU |")
    click.echo("|---|---|---|---|---|---|")
    with _scratch() as folder:
        made = artifact or locked_app.pack(locked_app.make(folder / "repository"), folder)
        row = installing.measure(locked_app.unpack(made, folder / "release"), runs)
        click.echo(
            f"| {row.packages} | {row.ours:.1f} s | {row.pip:.1f} s | {row.ratio:.2f} "
            f"| {row.lowest:.2f} to {row.highest:.2f} | {row.our_cpu:.1f} s against {row.pip_cpu:.1f} s |"
        )


@main.command()
@click.option("--bucket", default="3000,2000", show_default=True, help="Versions and entries on SeaweedFS.")
@click.option("--folder", default="10000,2000", show_default=True, help="Versions and entries in a folder.")
@click.option("--runs", default=3, show_default=True, help="Runs of each command; the medians count.")
def store(bucket: str, folder: str, runs: int) -> None:
    """Run each command of fapstore in an old store: on a real S3 server and in a folder, signed and not."""
    _head(f"medians of {runs} runs of each command", "fapkit", "boto3")
    places = (("SeaweedFS", bucket, old_store.measure_bucket), ("a folder", folder, old_store.measure_folder))
    for name, numbers, measure in places:
        if not numbers:
            continue
        versions, entries = map(int, numbers.split(","))
        for signed in (False, True):
            kind = "signed" if signed else "unsigned"
            click.echo(f"| {name}: {versions} versions, {entries} {kind} entries | seconds | CPU | memory |")
            click.echo("|---|---|---|---|")
            with _scratch() as scratch:
                for row in measure(scratch, versions, entries, runs, signed=signed):
                    cells = f"{row.seconds:.2f} s | {row.cpu:.2f} s | {row.memory / 1e6:.0f} MB"
                    click.echo(f"| {row.command} | {cells} |")
            click.echo()


@main.command(name="transfer")
@click.option("--megabytes", default=200, show_default=True, help="The size of the artifact.")
@click.option("--runs", default=5, show_default=True, help="Transfers each way; the medians count.")
def transfer_(megabytes: int, runs: int) -> None:
    """Push to and fetch from a real S3 server with fapstore, boto3, the aws command, and curl."""
    _head(f"medians of {runs} transfers of {megabytes} MB", "fapkit", "boto3", "awscli")
    click.echo("| what | fapstore | peer | ratio | in single turns | CPU | memory |")
    click.echo("|---|---|---|---|---|---|---|")
    with _scratch() as folder:
        for row in transfer.measure(folder / "store", megabytes, runs):
            click.echo(
                f"| {row.what} | {row.ours:.2f} s | {row.peer} {row.theirs:.2f} s | {row.ratio:.2f} "
                f"| {row.lowest:.2f} to {row.highest:.2f} "
                f"| {row.our_cpu:.1f} s against {row.their_cpu:.1f} s "
                f"| {row.our_memory / 1e6:.0f} MB against {row.their_memory / 1e6:.0f} MB |"
            )


@main.command(name="scale")
@click.option("--hosts", default="1,20,200", show_default=True, help="How many addresses of one sshd.")
@click.option("--runs", default=2, show_default=True, help="Releases of each; the one with the least CPU.")
def many(hosts: str, runs: int) -> None:
    """Release to many hosts, and see what each costs the controller."""
    _head(f"the least of {runs} releases", "fapkit", "paramiko")
    click.echo("| hosts | controller's CPU | for each more host | its memory |")
    click.echo("|---|---|---|---|")
    with _scratch() as folder:
        artifacts = list(trivial.pack(folder / "artifacts", runs))
        with webserver.serve(folder / "artifacts") as url:
            counts, first = [int(count) for count in hosts.split(",")], None
            for row in scale.measure(folder / "hosts", counts, runs, url, artifacts):
                first = first or row
                more = f"{row.per_host(first) * 1000:.1f} ms" if row is not first else ""
                click.echo(
                    f"| {row.hosts} | {row.used.cpu:.2f} s | {more} | {row.used.memory / 1e6:.0f} MB |"
                )


@main.command(name="start")
@click.option("--runs", default=9, show_default=True, help="Starts of each; the medians count.")
def first_byte(runs: int) -> None:
    """Start to the first byte on the wire, against a Python that imports paramiko."""
    _head(f"medians of {runs} starts", "fapkit", "paramiko")
    with _scratch() as folder:
        row = start.measure(folder / "start", runs)
    click.echo("| faprelease, to the first byte | python -c 'import paramiko' | ratio |\n|---|---|---|")
    click.echo(f"| {row.ours:.3f} s | {row.paramiko:.3f} s | {row.ours / row.paramiko:.2f} |")


@main.command()
@click.option("--app", default="hundred", show_default=True, help="A folder of bench/apps.")
@click.option("--commits", default=10, show_default=True, help="Adjacent code-only commits; medians count.")
@click.option("--runs", default=3, show_default=True, help="First releases and installs each way.")
@click.option("--bytecode", is_flag=True, help="Artifacts have the bytecode of their wheels.")
def delta(app: str, commits: int, runs: int, bytecode: bool) -> None:
    """Release commit after commit of an app to a host that has the one before.

    The apps: hundred (100 wheels, 64 MB) and large (69 wheels, 700 MB)."""
    _head(f"medians of {commits} commits and {runs} runs", "fapkit", "pip", "uv")
    click.echo("| what | fapkit | peer | ratio | in single turns | CPU |")
    click.echo("|---|---|---|---|---|---|")
    with _scratch() as folder:
        for row in updating.measure(folder / "delta", app, commits, runs, bytecode=bytecode):
            unit = (1, "s") if row.their_cpu else (1e3, "kB")
            turns = f"{min(row.ratios):.4f} to {max(row.ratios):.4f}" if row.ratios[1:] else "one turn"
            cpu = f"{row.our_cpu:.2f} s against {row.their_cpu:.2f} s" if row.their_cpu else ""
            click.echo(
                f"| {row.what} | {row.ours / unit[0]:.2f} {unit[1]} "
                f"| {row.peer} {row.theirs / unit[0]:.2f} {unit[1]} | {row.ratio:.4f} | {turns} | {cpu} |"
            )


@main.command(name="handover")
@click.option("--runs", default=10, show_default=True, help="Releases of each row, and as many rollbacks.")
@click.option("--rates", default="50,200", show_default=True, help="Requests that begin each second.")
@click.option("--ways", default=",".join(handing.WAYS), show_default=True, help="How processes are replaced.")
@click.option("--managers", default=",".join(handing.MANAGERS), show_default=True, help="Of processes.")
@click.option("--servers", default=",".join(handing.SERVERS), show_default=True, help="Of the app.")
@click.option("--bad", default=",".join(handing.BAD), show_default=True, help="Versions that don't work.")
@click.option("--quiet", default=30.0, show_default=True, help="Seconds of load without a release.")
def what_users_notice(
    runs: int, rates: str, ways: str, managers: str, servers: str, bad: str, quiet: float
) -> None:
    """Release, roll back, and release versions that don't work, under a load through nginx."""
    _head(f"{runs} releases and {runs} rollbacks of each row, on one host", "fapkit")
    scenes = [
        handing.Scene(way, manager, server, int(rate))
        for manager in managers.split(",")
        for server in servers.split(",")
        for rate in rates.split(",")
        for way in ways.split(",")
    ]
    refused: list[str] = []
    versions = [version for version in bad.split(",") if version]
    click.echo(
        "| way | manager | server | requests/s | failed of sent | unproven | median | 99.9 % | longest "
        "| without a release | all on the new one: release | rollback |"
    )
    click.echo("|---|---|---|---|---|---|---|---|---|---|---|---|")
    with _scratch() as folder:
        folder.chmod(0o755)  # nginx's workers are www-data
        files, port = handing.pack(folder / "artifacts")
        with webserver.serve(folder / "artifacts") as url:
            artifacts = handing.Artifacts(url, files, port)
            for number, scene in enumerate(filter(lambda each: each.possible, scenes)):
                who = f"| {scene.way} | {scene.manager} | {scene.server} | {scene.rate} "
                for row in handing.measure(scene, folder / str(number), artifacts, runs, versions, quiet):
                    if isinstance(row, handing.Row):
                        click.echo(f"{who}| {_good_cells(row)} |")
                    else:
                        refused.append(f"{who}| {_bad_cells(row)} |")
    click.echo(
        "\n| way | manager | server | requests/s | version | failed of sent | its answers | exit | seconds "
        "| told after its crash |"
    )
    click.echo("|---|---|---|---|---|---|---|---|---|---|")
    click.echo("\n".join(refused))


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("names", nargs=-1)
@click.option("--keep", type=click.Path(path_type=Path), help="Keep clones, artifacts and logs there.")
@click.option(
    "--list", "file", default=onboarding.LIST, type=click.Path(path_type=Path), help="Of apps, as TOML."
)
def apps(folder: Path, names: tuple[str, ...], keep: Path | None, file: Path) -> None:
    """Take public apps from a folder of their repositories, and bring each to a page by init's steps."""
    click.echo(f"{machine.versions('fapkit')}; installed and run by {onboarding.versions()}\n")
    click.echo("| app | what | steps of init | packed | installed | answered | settings |")
    click.echo("|---|---|---|---|---|---|---|")
    with _scratch() as scratch:
        for app in onboarding.listed(names, file):
            if not (folder / app.name).is_dir():
                click.echo(f"{app.name}: not in {folder}; git clone {app.url}", err=True)
                continue
            outcome = onboarding.measure(app, (folder / app.name).absolute(), (keep or scratch) / app.name)
            stages = (outcome.stages.get(stage, "no") for stage in onboarding.STAGES)
            cells = (f"{app.name} {app.commit}", app.what, *stages, ", ".join(app.environment))
            click.echo(f"| {' | '.join(cells)} |")
            if outcome.error:
                click.echo(f"\n{app.name}: {outcome.error}\n", err=True)


def _good_cells(row: handing.Row) -> str:
    quiet = f"{_ms(row.quiet.median)}, {_ms(row.quiet.most)}, {_ms(row.quiet.longest)}"
    return (
        f"{row.failed} of {row.sent} | {row.unproven} | {_ms(row.busy.median)} | {_ms(row.busy.most)} "
        f"| {_ms(row.busy.longest)} | {quiet} | {row.release:.1f} s | {row.rollback:.1f} s"
    )


def _bad_cells(row: handing.BadRow) -> str:
    told = "" if row.told is None else f"{row.told:.1f} s"
    return (
        f"{row.version} | {row.failed} of {row.sent} | {row.unproven} | {row.exit} | {row.seconds:.1f} s "
        f"| {told}"
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _head(what: str, *distributions: str) -> None:
    click.echo(f"{machine.versions(*distributions)}; {what}, in turns\n")


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fapkit-bench-") as name:
        yield Path(name)


if __name__ == "__main__":
    try:
        main()
    except (BenchError, FleetError) as error:
        click.echo(f"bench: {error}", err=True)
        sys.exit(1)
