"""The main path: configuration → connections → look → plan → show or execute."""

import getpass
import os
import re
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from faprelease import config, execute, hooks
from faprelease.config import Target
from faprelease.connections import Connections
from faprelease.deployfile import DeployFile
from faprelease.errors import ConfigError
from faprelease.facts import HostState
from faprelease.layout import next_release_id
from faprelease.plan import Host, Order, plan_release, plan_rollback
from faprelease.report import Report
from faprelease.steps import Plan


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
    file = _load(request)
    targets = _artifact_of_stage(file, request, _targets(file, request))
    _run(request, file, targets, "release", report, plan_release)


def rollback(request: Request, report: Report, to: str = "") -> None:
    """Go back to the last release that was good, or to the release `to`; nothing is downloaded."""
    file = _load(request)
    _run(
        request,
        file,
        _targets(file, request),
        "rollback",
        report,
        lambda hosts, order: plan_rollback(hosts, order, to),
    )


def status(request: Request) -> list[tuple[Target, HostState]]:
    """What every host of the stage or role runs now; read-only, without a lock."""
    targets = _targets(_load(request), request)
    with Connections(targets, "", "", _new_word()) as connections:
        states = connections.look(lock=False)
    return [(target, states[target.label]) for target in targets]


def _run(
    request: Request, file: DeployFile, targets: list[Target], verb: str, report: Report, plan_of: Any
) -> None:
    dry_run = request.dry_run or any(target.settings.dry_run for target in targets)
    token, who = _new_word(), _who()
    plugins = {target.settings.role: hooks.load(_plugin_names(target, verb), file) for target in targets}
    with Connections(targets, token, who, _new_word()) as connections:
        states = connections.look(lock=not dry_run)
        taken = sorted({name for state in states.values() for name in state.taken})
        order = Order(who=who, token=token, release=next_release_id(datetime.now(UTC), taken))
        hosts = [
            Host(target=target, state=states[target.label], plugins=plugins[target.settings.role])
            for target in targets
        ]
        plan: Plan = plan_of(hosts, order)
        if dry_run:
            report.show_plan(plan)
            return
        report.begin(plan)
        with _stop_on_signals(report) as stop:
            execute.run(plan, connections, report, time.monotonic, stop)
        report.end(plan)


def _load(request: Request) -> DeployFile:
    from faprelease import deployfile

    file = deployfile.read(request.file)
    plugin_keys = frozenset(hooks.options_of(file))
    config.check_file(file, plugin_keys)
    config.check_flags(request.flags, plugin_keys)
    return file


def _targets(file: DeployFile, request: Request) -> list[Target]:
    return config.targets(file, request.stage, request.role, request.flags, hooks.options_of(file))


def _plugin_names(target: Target, verb: str) -> list[str]:
    settings = target.settings
    own = {"release": settings.release_plugins, "rollback": settings.rollback_plugins}[verb]
    return settings.plugins if own is None else own


def _artifact_of_stage(file: DeployFile, request: Request, targets: list[Target]) -> list[Target]:
    """The targets with URL and digest from the stage's log, where no --curl-url says what to release."""
    first = targets[0]
    if first.plugin_values["curl_url"]:
        return targets
    where = os.environ.get("FAP_STORE") or first.settings.store
    if not where:
        raise ConfigError(
            "nothing says what to release",
            hint="give --curl-url URL, or name the store: `store: s3://bucket/prefix` in deploy.yml",
        )
    from artifact_store.store import open_store

    app, stage = first.settings.project_name, request.stage
    store = open_store(where)
    state = store.stage(app, stage)
    if state is None:
        raise ConfigError(
            f"nothing was ever promoted to {stage} of {app} in {where}",
            hint=f"fapstore --store {where} promote {app} VERSION {stage}",
        )
    url = store.url(app, state.version)
    if url.startswith("file:") and any(target.settings.connection == "ssh" for target in targets):
        raise ConfigError(
            f"the hosts can't read the folder store {where}",
            hint="use an s3:// or https:// store, or connection: local",
        )
    flags = {**request.flags, "curl_url": url, "curl_sha256": state.digest}
    return config.targets(file, stage, request.role, flags, hooks.options_of(file))


@contextmanager
def _stop_on_signals(report: Report) -> Iterator[threading.Event]:
    """The first Ctrl-C (or TERM, as CI sends it) asks for a safe end; the second one ends at once."""
    stop = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)

    def ask_to_stop(*_: object) -> None:
        stop.set()
        for number in signals:
            signal.signal(number, signal.default_int_handler)
        report.say("stopping after this phase, and going back; Ctrl-C again stops at once")

    old = {number: signal.signal(number, ask_to_stop) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _new_word() -> str:
    return f"fap-{secrets.token_hex(8)}"


def _who() -> str:
    """Who releases, for locks and ledgers, in letters that need no quoting anywhere."""
    who = os.environ.get("FAP_WHO") or f"{getpass.getuser()}@{socket.gethostname()}"
    return re.sub(r"[^\w.@+-]", "_", who, flags=re.ASCII)
