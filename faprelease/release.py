"""The main path: configuration → connections → look → plan → show or execute."""

import time

from faprelease import execute, promoted, release_command, released
from faprelease.config import Target
from faprelease.errors import ConfigError
from faprelease.facts import HostState, Verb
from faprelease.hooks import Context
from faprelease.plan import plan_look, plan_release, plan_rollback
from faprelease.promoted import Promoted
from faprelease.report import Report
from faprelease.rollout import recovery
from faprelease.steps import Plan
from faprelease.strategies import curl
from faprelease.walk import Request, Scene, Walk

__all__ = ["Request", "release", "rollback", "status"]


def release(request: Request, report: Report) -> None:
    """Bring the artifact of `--curl-url`, or of the stage's log, to every host of the stage or role.

    Raises FapError and its kin; what was published by then is taken back.
    """
    walk, found = Walk.of(request, "release", report), None
    if not walk.targets[0].plugin_values["curl_url"]:
        found = promoted.find(walk.targets[0], request.file.parent)
        walk = walk.given(curl_url=found.url, curl_sha256=found.digest)
    what = found.name if found else ""
    for target in walk.targets:
        curl.check(Context(target, "release", "", "").options(curl.Options))
    _refuse_unreadable(walk.targets)
    walk = walk.with_environment()
    with walk.scene(lock=not walk.dry_run) as scene:
        if walk.dry_run and _shows_recovery(walk, scene):
            return
        scene, _ = walk.settle(scene)
        look = plan_look(scene.hosts, scene.order, what)
        if look and _is_well(look, walk, scene):
            return
        plan = plan_release(scene.hosts, scene.order, what, rerun=request.rerun)
        _show_or_execute(plan, walk, scene, "release", found)


def rollback(
    request: Request, report: Report, to: str = "", *, force: bool = False, renew: bool = False
) -> None:
    """Go back to the last release that was good, or to the one that `to` names; nothing is downloaded.

    With `force` it may be one that was left as bad; with `renew` it gets the configuration of now.
    """
    walk = Walk.of(request, "rollback", report)
    with walk.scene(lock=not walk.dry_run) as scene:
        if walk.dry_run and _shows_recovery(walk, scene):
            return
        scene, ended = walk.settle(scene)
        if to or renew or ended != "undo":
            # Otherwise the hosts are back where they were before the rollout that was cut off.
            plan = plan_rollback(scene.hosts, scene.order, to, force=force, renew=renew)
            _show_or_execute(plan, walk, scene, "rollback", None)
    if walk.dry_run:
        return
    if any(target.settings.release_command for target in walk.targets):
        report.say(f"  {release_command.CODE_ALONE}")
    store = promoted.store_of(walk.targets[0])
    if store:
        app = walk.targets[0].settings.project_name
        report.say(
            f"the log of {request.stage} still names the version that was left, and the next release\n"
            f"takes it again; to go back there too: fapstore --store {store} rollback {app} {request.stage}"
        )


def status(request: Request) -> list[tuple[Target, HostState]]:
    """What every host of the stage or role runs now; read-only, without a lock."""
    walk = Walk.of(request, "status", Report())
    with walk.scene(lock=False) as scene:
        return [(host.target, host.state) for host in scene.hosts]


def _show_or_execute(plan: Plan, walk: Walk, scene: Scene, verb: Verb, what: Promoted | None) -> None:
    if walk.dry_run:
        walk.report.show_plan(plan)
        return
    with released.recorded(plan, scene.hosts, scene.order, verb, what, walk.report.say):
        walk.carry_out(plan, scene)


def _shows_recovery(walk: Walk, scene: Scene) -> bool:
    """True if a rollout was cut off, which a dry run only shows how to end."""
    left = recovery(scene.hosts)
    if left:
        walk.report.say("a rollout was cut off; before anything else, the next run does this:")
        walk.report.show_plan(walk.plan_recovery(scene, left))
    return left is not None


def _is_well(look: Plan, walk: Walk, scene: Scene) -> bool:
    wrong = execute.look(look, scene.connections, walk.report, time.monotonic)
    releases = ", ".join(dict.fromkeys(host.release for host in look.hosts))
    if wrong:
        walk.report.say(f"{releases} is live already, but not well, so it is released anew:\n{wrong}")
        return False
    walk.report.say(
        f"nothing to do: {releases} is live and well on all hosts,"
        " the same artifact with the same configuration"
    )
    return True


def _refuse_unreadable(targets: list[Target]) -> None:
    url = targets[0].plugin_values["curl_url"]
    if url.startswith("file:") and any(target.settings.connection != "local" for target in targets):
        raise ConfigError(
            f"the hosts can't read {url}: it lies on this machine",
            hint="use an s3:// or https:// store, or connection: local",
        )
