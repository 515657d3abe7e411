"""The main path: configuration → connections → look → plan → show or execute."""

import getpass
import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from faprelease import config, deployfile, execute, hooks, promoted
from faprelease.build_steps import refuse_build_steps
from faprelease.config import Target
from faprelease.connections import Connections
from faprelease.deployfile import DeployFile
from faprelease.errors import ConfigError
from faprelease.facts import HostState
from faprelease.hooks import Context
from faprelease.interrupt import stop_on_signals
from faprelease.layout import next_release_id
from faprelease.plan import Host, Order, plan_release, plan_rollback
from faprelease.report import Report
from faprelease.steps import Plan
from faprelease.strategies import curl


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asked for; `flags` are keys of deploy.yml that it overrides."""

    file: Path
    stage: str
    role: str | None
    flags: Mapping[str, Any]
    dry_run: bool = False


def release(request: Request, report: Report) -> None:
    """Bring the artifact of `--curl-url`, or of the stage's log, to every host of the stage or role.

    Raises FapError and its kin; what was published by then is taken back.
    """
    file, options = load(request.file, request.flags)
    targets, what = config.targets(file, request.stage, request.role, request.flags, options), ""
    if not targets[0].plugin_values["curl_url"]:
        found = promoted.find(targets[0])
        flags = {**request.flags, "curl_url": found.url, "curl_sha256": found.digest}
        targets, what = config.targets(file, request.stage, request.role, flags, options), found.name
    for target in targets:
        curl.check(Context(target, "release", "", "").options(curl.Options))
    _refuse_unreadable(targets)
    _run(request, file, targets, "release", report, lambda hosts, order: plan_release(hosts, order, what))


def rollback(request: Request, report: Report, to: str = "") -> None:
    """Go back to the last release that was good, or to the release `to`; nothing is downloaded."""
    file, options = load(request.file, request.flags)
    targets = config.targets(file, request.stage, request.role, request.flags, options)
    ran = _run(
        request, file, targets, "rollback", report, lambda hosts, order: plan_rollback(hosts, order, to)
    )
    store = promoted.store_of(targets[0])
    if store and ran:
        app = targets[0].settings.project_name
        report.say(
            f"the log of {request.stage} still names the version that was left, and the next release\n"
            f"takes it again; to go back there too: fapstore --store {store} rollback {app} {request.stage}"
        )


def status(request: Request) -> list[tuple[Target, HostState]]:
    """What every host of the stage or role runs now; read-only, without a lock."""
    file, options = load(request.file, request.flags)
    targets = config.targets(file, request.stage, request.role, request.flags, options)
    with Connections(targets, "", "", _new_word()) as connections:
        states = connections.look(lock=False)
    return [(target, states[target.label]) for target in targets]


def _run(
    request: Request,
    file: DeployFile,
    targets: list[Target],
    verb: str,
    report: Report,
    plan_of: Callable[[list[Host], Order], Plan],
) -> bool:
    """Plan and execute; a dry run shows the plan, and returns False."""
    if any(target.settings.show_output for target in targets):
        report.show_steps()
    dry_run = request.dry_run or any(target.settings.dry_run for target in targets)
    token, who = _new_word(), _who()
    plugins = {target.settings.role: hooks.load(_plugin_names(target, verb), file) for target in targets}
    with Connections(targets, token, who, _new_word()) as connections:
        states = connections.look(lock=not dry_run)
        taken = sorted({name for state in states.values() for name in state.taken})
        now = datetime.now(UTC)
        order = Order(who=who, at=now, token=token, release=next_release_id(now, taken))
        hosts = [
            Host(target=target, state=states[target.label], plugins=plugins[target.settings.role])
            for target in targets
        ]
        plan = plan_of(hosts, order)
        if dry_run:
            report.show_plan(plan)
            return False
        report.begin(plan)
        with stop_on_signals(report.say) as stop:
            execute.run(plan, connections, report, time.monotonic, stop)
        report.end(plan)
        return True


def load(path: Path, flags: Mapping[str, Any]) -> tuple[DeployFile, dict[str, Any]]:
    """A deploy.yml that was looked at as a whole, and the keys of its plugins with their defaults.

    Raises ConfigError: it can't be read, builds on hosts, or names a plugin or key that is not there; or a
    flag is no key.
    """
    file = deployfile.read(path)
    refuse_build_steps(file)
    options = hooks.options_of(file)
    config.check_file(file, frozenset(options))
    config.check_flags(flags, frozenset(options))
    return file, options


def _refuse_unreadable(targets: list[Target]) -> None:
    url = targets[0].plugin_values["curl_url"]
    if url.startswith("file:") and any(target.settings.connection == "ssh" for target in targets):
        raise ConfigError(
            f"the hosts can't read {url}: it lies on this machine",
            hint="use an s3:// or https:// store, or connection: local",
        )


def _plugin_names(target: Target, verb: str) -> list[str]:
    settings = target.settings
    own = {"release": settings.release_plugins, "rollback": settings.rollback_plugins}[verb]
    return settings.plugins if own is None else own


def _new_word() -> str:
    return f"fap-{os.urandom(8).hex()}"


def _who() -> str:
    """Who releases, for locks and ledgers, in letters that need no quoting anywhere."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container with a user id that has no name
        user = f"uid{os.getuid()}"
    who = os.environ.get("FAP_WHO") or f"{user}@{socket.gethostname()}"
    return re.sub(r"[^\w.@+-]", "_", who, flags=re.ASCII)
