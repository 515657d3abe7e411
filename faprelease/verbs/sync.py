"""Bring new hosts, and those that lag behind, to what the stage runs; no other is touched."""

from dataclasses import replace

from faprelease.config.artifact_source import ArtifactSource
from faprelease.config.target import Target
from faprelease.errors import UsageError
from faprelease.hosts.state import Unpacked
from faprelease.plan.fleet import is_live, plan_release
from faprelease.plan.host import Host
from faprelease.report.report import Report
from faprelease.request import Request
from faprelease.run import store_head
from faprelease.run.run import ConnectedHosts, Run
from faprelease.verbs.release import execute_and_record, refuse_older, show, shows_recovery


def sync(request: Request, report: Report) -> None:
    """Release to the hosts that do not run what the others run; with `reinstall`, to all hosts.

    The artifact comes from the store or --curl-url. If the hosts run several, or none, it is what was
    promoted. Raises UsageError if no source is known, and what a release raises.
    """
    run = Run.of(request, "release", report)
    with run.connect(lock=not run.dry_run) as connected:
        if run.dry_run and shows_recovery(run, connected):
            return
        connected, _ = run.recover(connected)
        run = run.with_environment()
        connected = _with_targets(connected, run.targets)
        wanted = what_the_hosts_run(connected.hosts)
        if (
            wanted
            and not request.reinstall
            and not run.given_source()
            and all(is_live(host, connected.info, wanted.digest) for host in connected.hosts)
        ):
            name = wanted.version or wanted.digest[:12]
            report.say(f"nothing to do: all hosts run {name}, with the same configuration")
            return
        source = _source(run, wanted)
        connected = refuse_older(run, connected, source)
        lagging = [
            host
            for host in connected.hosts
            if request.reinstall or not is_live(host, connected.info, source.digest)
        ]
        if not lagging:
            report.say(f"nothing to do: all hosts run {source.name}, with the same configuration")
            return
        # What release_command does was done when the others were released to.
        plan = plan_release(lagging, connected.info, source, command=wanted is None)
        connected = replace(connected, hosts=lagging)
        if run.dry_run:
            show(plan, run, connected, source)
            return
        execute_and_record(plan, run, connected, source)


def what_the_hosts_run(hosts: list[Host]) -> Unpacked | None:
    """Return the only artifact that is live on any host; None for none, or for several. Pure."""
    live = {
        release.artifact.digest if release.artifact else "": release.artifact
        for host in hosts
        if (release := host.state.release(host.state.current)) and release.record.state == "live"
    }
    return next(iter(live.values())) if len(live) == 1 else None


def _source(run: Run, wanted: Unpacked | None) -> ArtifactSource:
    """Where to get the artifact that the hosts run, and which bytes that is."""
    given = run.given_source()
    if given:
        digest = given.digest or (wanted.digest if wanted else "")
        if not digest:
            raise UsageError(
                "the sha256 of that URL is not known",
                hint="add --curl-sha256 HEX, or name a store in deploy.yml",
            )
        return replace(given, digest=digest, name=(wanted.version if wanted else "") or digest[:12])
    if not store_head.store_of(run.targets[0]):
        what = f"version {wanted.version}, sha256 {wanted.digest}" if wanted else "nothing in common"
        raise UsageError(
            f"no source for what the stage runs ({what})",
            hint="give --curl-url URL, or name the store in deploy.yml: store: s3://bucket/prefix",
        )
    folder = run.request.file.parent
    promoted = store_head.find(run.targets[0], folder)
    if wanted and wanted.version and wanted.digest != promoted.digest:
        # Promoted, but not yet released: new hosts get what the others run.
        return store_head.version(run.targets[0], folder, wanted.version)
    return promoted


def _with_targets(connected: ConnectedHosts, targets: list[Target]) -> ConnectedHosts:
    """The same hosts, with targets whose environment has its values."""
    by_place = {target.place: target for target in targets}
    hosts = [replace(host, target=by_place[host.place]) for host in connected.hosts]
    return replace(connected, hosts=hosts)
