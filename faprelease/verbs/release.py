"""The main path: configuration, connections, probe, plan; then show the plan or execute it."""

import os
import time
from collections.abc import Callable
from dataclasses import replace

from artifact_store.artifact.manifest import Manifest
from artifact_store.core.hints import Hint
from faprelease.config.artifact_source import ArtifactSource
from faprelease.config.target import CORE
from faprelease.errors import ConfigError, FapError, VerificationError
from faprelease.hosts.state import Unpacked
from faprelease.plan import left, preview, release_command, saved, seen
from faprelease.plan.fleet import plan_check, plan_release, plan_restart, plan_rollback
from faprelease.plan.host import RunInfo
from faprelease.plan.preview import Preview
from faprelease.plan.recovery import recovery
from faprelease.plan.rollback_target import goal_version, live_versions
from faprelease.plan.saved import Back, PlanFile
from faprelease.plugins import registry
from faprelease.report.report import Report
from faprelease.request import Request
from faprelease.run import execute, store_head, store_record, store_rollback
from faprelease.run.run import ConnectedHosts, Run
from faprelease.steps.model import Plan

__all__ = ["Request", "apply", "release", "restart", "rollback"]


def release(request: Request, report: Report, planned: PlanFile | None = None) -> None:
    """Release the artifact of `--curl-url`, or what was promoted to the stage, to every host of the stage or
    role. With `planned`, exactly that plan is executed, or nothing.

    Raises FapError and its subclasses; what was published by then is rolled back.
    """
    run = Run.of(request, "release", report)
    with run.named_hints():
        source = run.source()
        _refuse_other_artifact(source, request, planned)
        run = run.with_environment()
    with run.connect(lock=not run.dry_run) as connected:
        if planned:
            saved.refuse_changed_hosts(planned, connected.hosts)
        connected = refuse_older(run, connected, source)
        if run.dry_run and shows_recovery(run, connected):
            return
        connected, _ = run.recover(connected)
        if planned and planned.release:
            connected = replace(connected, info=replace(connected.info, release=planned.release))

        def plan_of(info: RunInfo) -> Plan:
            return plan_release(connected.hosts, info, source, rerun=request.rerun)

        check = plan_check(connected.hosts, connected.info, source, whole=True)
        if check and _is_healthy(check, run, connected):
            _keep(run, connected, None, None, source=source)
            return
        _refuse_left(run, connected, source)
        if planned:
            saved.refuse_other_plan(planned, plan_of, connected.hosts)
        plan = plan_of(connected.info)
        if run.dry_run:
            _keep(run, connected, plan_of, show(plan, run, connected, source), source=source)
            return
        execute_and_record(plan, run, connected, source)


def _refuse_left(run: Run, connected: ConnectedHosts, source: ArtifactSource) -> None:
    """Raise FapError if someone rolled back from this artifact, unless it is to be released `again`. A dry
    run that saves no plan says it."""
    if run.request.again:
        return
    problem = left.problem(
        connected.hosts, connected.info, source, lambda: store_head.since(run.targets[0], source)
    )
    if problem and (not run.dry_run or run.request.output):
        raise problem
    if problem:
        run.report.say(f"{problem.message}; so the release needs --again")


def apply(planned: PlanFile, request: Request, report: Report) -> None:
    """Execute a saved plan; `request` comes from `saved.request_of`. Raises as `release` and `rollback` do,
    and FapError if anything changed since."""
    if planned.shown:
        report.show_plan(planned.shown)
    if planned.back:
        back = planned.back
        rollback(request, report, back.to, force=back.force, renew=back.renew, planned=planned)
    else:
        release(request, report, planned)


def rollback(
    request: Request,
    report: Report,
    to: str = "",
    *,
    force: bool = False,
    renew: bool = False,
    with_store: bool = False,
    planned: PlanFile | None = None,
) -> None:
    """Roll back to the last good release, or to the one that `to` names; nothing is downloaded. With
    `planned`, exactly that plan is executed, or nothing.

    With `force` it may be a release marked bad; with `renew` its artifact gets the current configuration;
    `with_store`, the stage in the store is pointed back too.
    """
    run = Run.of(request, "rollback", report, use="release" if renew else None)
    version, left = "", frozenset[str]()
    if renew:
        run = run.with_environment()
    with run.connect(lock=not run.dry_run) as connected:
        if planned:
            saved.refuse_changed_hosts(planned, connected.hosts)
        if run.dry_run and shows_recovery(run, connected):
            return
        connected, ended = run.recover(connected)
        if planned:
            connected = replace(connected, info=replace(connected.info, release=planned.release))

        def plan_of(info: RunInfo) -> Plan:
            return plan_rollback(connected.hosts, info, to, force=force, renew=renew)

        if planned:
            saved.refuse_other_plan(planned, plan_of, connected.hosts)
        if to or renew or ended != "undo":
            # Otherwise the hosts are back where they were before the rollout that was cut off.
            plan = plan_of(connected.info)
            if run.dry_run:
                back = Back(to=to, force=force, renew=renew)
                _keep(run, connected, plan_of, show(plan, run, connected), back=back)
                return
            version = goal_version(connected.hosts, to, force=force)
            left = live_versions(connected.hosts)
            execute_and_record(plan, run, connected)
    if any(target.settings.release_command for target in run.targets):
        report.say(f"  {release_command.CODE_ALONE}")
    folder = request.file.absolute().parent
    store_rollback.offer(run.targets[0], folder, left, version, report, wanted=with_store)


def restart(request: Request, report: Report) -> None:
    """Restart what is live, batch by batch, with the health checks of a release; `current` stays.

    Raises PartlyDoneError where that fails: the batches after it are not touched.
    """
    run = Run.of(request, "restart", report)
    with run.connect(lock=True) as connected:
        connected, _ = run.recover(connected)
        run.execute(plan_restart(connected.hosts, connected.info), connected, execute.restart)


def execute_and_record(
    plan: Plan, run: Run, connected: ConnectedHosts, source: ArtifactSource | None = None
) -> None:
    """Execute a plan and record its outcome in the store; raises what `execute.run` raises."""
    with store_record.recorded(plan, connected.hosts, connected.info, run.report, source=source):
        run.execute(plan, connected)


def refuse_older(run: Run, connected: ConnectedHosts, source: ArtifactSource) -> ConnectedHosts:
    """Raise VerificationError if the store's log is older than what a host has seen, or another one; with
    --allow-older, return the run with a note of that."""
    note = seen.refuse_older(source, seen.by_hosts(connected.hosts), run.request)
    if note:
        run.report.say(f"warning: {note}")
    return replace(connected, info=replace(connected.info, note=note))


def shows_recovery(run: Run, connected: ConnectedHosts) -> bool:
    """Return True if an earlier run did not finish; a dry run then only shows how it would be ended."""
    unfinished = recovery(connected.hosts)
    if unfinished and run.request.output:
        raise FapError(
            f"no plan: the {unfinished.rollout.verb} that {unfinished.rollout.by} started did not finish",
            hint=Hint("finish it first: faprelease {stage}, or faprelease rollback {stage}"),
        )
    if unfinished:
        run.report.say("an earlier run did not finish; the next run first does this:")
        show(run.plan_recovery(connected, unfinished), run, connected)
    return unfinished is not None


def show(plan: Plan, run: Run, connected: ConnectedHosts, source: ArtifactSource | None = None) -> Preview:
    """Show what a plan would do; the URL of the `source` is asked for its manifest and size.

    Raises VerificationError for an artifact of another app.
    """
    manifest, size = _look_into(source.url) if source else (None, None)
    app = run.targets[0].settings.project_name
    if manifest and manifest.app != app:
        raise VerificationError(
            f"{source.name if source else ''} is an artifact of the app {manifest.app}, not of {app}",
            hint="name another URL; if that is what the app is called there: project_name in deploy.yml",
        )
    if manifest:
        _refuse_unmet(manifest, connected)
    artifact = (
        Unpacked(digest="", app=manifest.app, version=manifest.version, commit=manifest.commit)
        if manifest
        else None
    )
    shown = preview.preview(plan, connected.hosts, artifact=artifact, download=size)
    run.report.show_plan(shown, preview.scripts(plan) if run.request.scripts else ())
    return shown


def _refuse_unmet(manifest: Manifest, connected: ConnectedHosts) -> None:
    """Raise one FapError for all hosts on which the artifact could not be installed."""
    from faprelease.views import host_report, requirements  # only a plan looks at hosts so closely

    hosts = {host.place: host for host in connected.hosts}
    said = connected.connections.run(
        "compare with the artifact", lambda target: host_report.step(target, manifest, (), "")
    )
    unmet: dict[tuple[str, str], list[str]] = {}
    for place, text in said.items():
        host, report = hosts[place], host_report.parse(text)
        problems = list(requirements.dependencies(manifest, report))
        # Without `environment`, the variables come from a linked file, which only a release shows.
        if host.target.settings.environment or host.state.current:
            known = frozenset[str]() if host.target.settings.environment else report.variables
            problems += requirements.variables(manifest, host.target, known)
        for problem in problems:
            unmet.setdefault(problem, []).append(str(place))
    if unmet:
        raise FapError(
            "\n".join(f"{', '.join(places)}: {says}" for (says, _), places in unmet.items()),
            hint=Hint.lines(fix for _, fix in unmet),
        )


def _look_into(url: str) -> tuple[Manifest | None, int | None]:
    """Return the manifest of a URL's artifact, and its size in bytes, as far as this machine can read it."""
    from artifact_store.artifact.peek import open_source, peek

    try:
        with open_source(url) as source:
            try:
                found = peek(source)
            except FapError:
                return None, source.size
            return found.manifest, found.size
    except (FapError, OSError):
        return None, None


def _keep(
    run: Run,
    connected: ConnectedHosts,
    plan_of: Callable[[RunInfo], Plan] | None,
    shown: Preview | None,
    *,
    source: ArtifactSource | None = None,
    back: Back | None = None,
) -> None:
    """Save the plan, if the request names a file."""
    file = run.request.output
    if file:
        salt = os.urandom(16).hex()
        saved.write(
            file,
            saved.made(
                run.request,
                connected.hosts,
                plan_of=plan_of,
                info=connected.info,
                source=source,
                back=back,
                salt=salt,
                keys={**CORE, **registry.options_of(run.file, run.request.flags)},
                shown=shown,
            ),
        )
        run.report.say(f"to apply this plan: faprelease apply {file}")


def _refuse_other_artifact(source: ArtifactSource, request: Request, planned: PlanFile | None) -> None:
    """Raise ConfigError for a plan in a file without a sha256, and FapError for another artifact than was
    planned."""
    if request.output and not source.digest:
        raise ConfigError("a saved plan needs the sha256 of the artifact", hint="give --curl-sha256 HEX too")
    if planned and source.digest != planned.digest:
        raise FapError(
            f"not applied: the artifact was {planned.digest[:12]}… and is {source.digest[:12] or 'unknown'}…",
            hint=Hint("plan again: faprelease plan {place} -o FILE"),
        )


def _is_healthy(check: Plan, run: Run, connected: ConnectedHosts) -> bool:
    wrong = execute.check(check, connected.connections, run.report, time.monotonic)
    releases = ", ".join(dict.fromkeys(host.release for host in check.hosts))
    if wrong:
        run.report.say(f"{releases} is live already but unhealthy, so it is released again:\n{wrong}")
        return False
    run.report.say(
        f"nothing to do: {releases} is live and healthy on all hosts,"
        " the same artifact with the same configuration"
    )
    return True
