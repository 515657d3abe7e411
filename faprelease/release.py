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

from faprelease import config, deployfile, execute, hooks, promoted, release_command, released
from faprelease.build_steps import refuse_build_steps
from faprelease.config import Target
from faprelease.connections import Connections
from faprelease.deployfile import DeployFile
from faprelease.errors import ConfigError, FapError
from faprelease.facts import HostState, Verb
from faprelease.hooks import Context
from faprelease.hostplan import Host, Order
from faprelease.interrupt import stop_on_signals
from faprelease.layout import next_release_id
from faprelease.plan import plan_look, plan_recovery, plan_release, plan_rollback
from faprelease.promoted import Promoted
from faprelease.report import Report
from faprelease.rollout import Recovery, recovery
from faprelease.steps import Plan
from faprelease.strategies import curl

PlanOf = Callable[[list[Host], Order], Plan]
LookOf = Callable[[list[Host], Order], Plan | None]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asked for; `flags` are keys of deploy.yml that it overrides."""

    file: Path
    stage: str
    role: str | None
    flags: Mapping[str, Any]
    dry_run: bool = False
    rerun: bool = False
    """Run release_command again though nobody knows how it ended last."""


def release(request: Request, report: Report) -> None:
    """Bring the artifact of `--curl-url`, or of the stage's log, to every host of the stage or role.

    Raises FapError and its kin; what was published by then is taken back.
    """
    file, options = load(request.file, request.flags)
    targets, found = config.targets(file, request.stage, request.role, request.flags, options), None
    if not targets[0].plugin_values["curl_url"]:
        found = promoted.find(targets[0], request.file.parent)
        flags = {**request.flags, "curl_url": found.url, "curl_sha256": found.digest}
        targets = config.targets(file, request.stage, request.role, flags, options)
    what = found.name if found else ""
    for target in targets:
        curl.check(Context(target, "release", "", "").options(curl.Options))
    _refuse_unreadable(targets)
    walk = _Walk(request=request, file=file, targets=targets, verb="release", report=report, what=found)
    walk.run(
        lambda hosts, order: plan_release(hosts, order, what, rerun=request.rerun),
        look_of=lambda hosts, order: plan_look(hosts, order, what),
    )


def rollback(request: Request, report: Report, to: str = "") -> None:
    """Go back to the last release that was good, or to the release `to`; nothing is downloaded."""
    file, options = load(request.file, request.flags)
    targets = config.targets(file, request.stage, request.role, request.flags, options)
    walk = _Walk(
        request=request,
        file=file,
        targets=targets,
        verb="rollback",
        report=report,
        enough_to_take_back=not to,
    )
    ran = walk.run(lambda hosts, order: plan_rollback(hosts, order, to))
    if ran and any(target.settings.release_command for target in targets):
        report.say(f"  {release_command.CODE_ALONE}")
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


@dataclass(frozen=True, kw_only=True)
class _Walk:
    """One run of a verb: connect, lock, look, end what a killed run left, plan, and show or execute."""

    request: Request
    file: DeployFile
    targets: list[Target]
    verb: Verb
    report: Report
    what: Promoted | None = None
    """What is released, if the store told it."""
    enough_to_take_back: bool = False
    """Nothing is left to do once a rollout that was cut off has been taken back."""

    def run(self, plan_of: PlanOf, look_of: LookOf | None = None) -> bool:
        """True if something was done; `look_of` may plan a look that shows that nothing needs to be."""
        if any(target.settings.show_output for target in self.targets):
            self.report.show_steps()
        token, who = _new_word(), _who()
        with Connections(self.targets, token, who, _new_word()) as connections:
            hosts = self._hosts(connections.look(lock=not self._dry_run))
            now = datetime.now(UTC)
            taken = sorted({name for host in hosts for name in host.state.taken})
            key = next((host.state.key for host in hosts if host.state.key), os.urandom(32).hex())
            order = Order(who=who, at=now, token=token, release=next_release_id(now, taken), key=key)
            while left := recovery(hosts):
                ended = self._recover(hosts, order, left, connections)
                if not ended or (left.action == "undo" and self.enough_to_take_back):
                    return ended
                hosts = self._hosts(connections.look_again())
            look = look_of(hosts, order) if look_of else None
            if look and self._is_well(look, connections):
                return False
            plan = plan_of(hosts, order)
            if self._dry_run:
                self.report.show_plan(plan)
                return False
            self.report.begin(plan)
            with (
                released.recorded(plan, hosts, order, self.verb, self.what, self.report.say),
                stop_on_signals(self.report.say) as stop,
            ):
                execute.run(plan, connections, self.report, time.monotonic, stop)
            self.report.end(plan)
            return True

    @property
    def _dry_run(self) -> bool:
        return self.request.dry_run or any(target.settings.dry_run for target in self.targets)

    def _hosts(self, states: Mapping[str, HostState]) -> list[Host]:
        plugins = {
            target.settings.role: hooks.load(_plugin_names(target, self.verb), self.file)
            for target in self.targets
        }
        return [
            Host(target=target, state=states[target.label], plugins=plugins[target.settings.role])
            for target in self.targets
        ]

    def _recover(self, hosts: list[Host], order: Order, left: Recovery, connections: Connections) -> bool:
        """End a rollout that was cut off; a dry run only shows how, and returns False."""
        self._refuse_half_of(left)
        plan = plan_recovery(hosts, order, left)
        if self._dry_run:
            self.report.say("a rollout was cut off; before anything else, the next run does this:")
            self.report.show_plan(plan)
            return False
        self.report.begin(plan)
        with stop_on_signals(self.report.say) as stop:
            if left.action == "undo":
                execute.undo(plan, connections, self.report, time.monotonic)
            else:
                execute.run(plan, connections, self.report, time.monotonic, stop)
        return True

    def _refuse_half_of(self, left: Recovery) -> None:
        """What was cut off is ended on all its hosts at once, but those that deploy.yml no longer names."""
        flags = {key: value for key, value in self.request.flags.items() if key != "hosts"}
        stage = self.request.stage
        known = config.targets(self.file, stage, None, flags, hooks.options_of(self.file))
        named = {(target.host, target.settings.role) for target in known}
        missing = [f"{host} ({role})" for host, role in left.absent if (host, role) in named]
        if missing:
            what = f"a {left.rollout.verb} that {left.rollout.by} began"
            raise FapError(
                f"{what} was cut off, also on {', '.join(missing)}",
                hint=f"end it on all its hosts at once: name no role and no --hosts after {stage}",
            )

    def _is_well(self, look: Plan, connections: Connections) -> bool:
        wrong = execute.look(look, connections, self.report, time.monotonic)
        releases = ", ".join(dict.fromkeys(host.release for host in look.hosts))
        if wrong:
            self.report.say(f"{releases} is live already, but not well, so it is released anew:\n{wrong}")
            return False
        self.report.say(
            f"nothing to do: {releases} is live and well on all hosts,"
            " the same artifact with the same configuration"
        )
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
