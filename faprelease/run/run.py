"""One run of a verb: read deploy.yml, connect, lock, read the hosts, recover, and execute a plan.

A verb reads like this:

    run = Run.of(request, "restart", report)
    with run.connect(lock=True) as connected:
        connected, _ = run.recover(connected)
        run.execute(plan_restart(connected.hosts, connected.info), connected, execute.restart)
"""

import getpass
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from artifact_store.core.hints import Hint
from faprelease.config import deployfile
from faprelease.config import target as config
from faprelease.config.artifact_source import ArtifactSource
from faprelease.config.build_steps import refuse_build_steps
from faprelease.config.deployfile import DeployFile
from faprelease.config.keys import Key
from faprelease.config.needs import EVERYTHING, Needs, Use, use_of
from faprelease.config.target import Target
from faprelease.errors import (
    ConfigError,
    FapError,
    InterruptedRunError,
    PartlyDoneError,
    UnreachableError,
    together,
)
from faprelease.hosts.state import HostState, Owner, Rollout
from faprelease.plan import ownership
from faprelease.plan.fleet import plan_recovery
from faprelease.plan.host import Host, RunInfo
from faprelease.plan.recovery import Recovery, recovery
from faprelease.plugins import curl, registry
from faprelease.plugins.hooks import Context, Plugins
from faprelease.report.notify import announced
from faprelease.report.report import Report
from faprelease.request import Request
from faprelease.run import execute, store_head, store_record
from faprelease.run.connections import Connections
from faprelease.run.signals import stop_on_signals
from faprelease.steps.layout import next_release_id
from faprelease.steps.model import Plan, Step
from faprelease.steps.place import Place

ACTING = frozenset(["release", "rollback", "restart"])
"""The verbs that need all plugins. Others leave out those that an untrusted checkout does not load."""
MOST_SHOWN = 3
"""How many mistakes in deploy.yml are shown that don't stop a command."""
Executor = Callable[[Plan, Connections, Report, Callable[[], float], threading.Event], None]


@dataclass(frozen=True, kw_only=True)
class ConnectedHosts:
    """What a verb decides from and acts on: the state of each host, who runs it, and the open sessions."""

    hosts: list[Host]
    info: RunInfo
    connections: Connections


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a verb on the hosts that a request names."""

    request: Request
    file: DeployFile
    targets: list[Target]
    verb: str
    report: Report

    @classmethod
    def of(cls, request: Request, verb: str, report: Report, *, use: Use | None = None) -> "Run":
        """Read deploy.yml for a request; raises ConfigError for what is wrong there and is needed for the
        verb, or for another `use`."""
        needs = Needs(use or use_of(verb), request.stage, request.role or "")
        file, options, mistakes = read(request.file, request.flags, needs)
        warnings = [*mistakes, registry.unread_warning(file, request.flags)]
        for warning in [*warnings, *config.unknown_names(file, options)]:
            if warning:
                report.say(f"warning: {warning}")
        targets = config.targets(file, request.stage, request.role, request.flags, options, needs)
        targets = [_with_user_of_ssh(target) for target in targets]
        if verb in ownership.VERBS:
            ownership.refuse_other(targets, verb, request.manager, store_head.store_of(targets[0]))
        for target in {target.settings.role: target for target in targets}.values():
            plugins = registry.load(target.settings.plugins_of(verb), file, skip=verb not in ACTING)
            plugins.check_options(Context(target, verb, "", ""))
        run = cls(request=request, file=file, targets=targets, verb=verb, report=report)
        if verb in ownership.VERBS:
            plugins_by_place = run.plugins()
            ownership.refuse_shared(
                (target, plugins_by_place[target.place].claims(Context(target, verb, "", "")))
                for target in targets
            )
        return run

    def source(self) -> ArtifactSource:
        """The artifact of this run: what `curl_url` names, or else what was promoted to the stage.

        Raises ConfigError if roles name different ones, if a value is wrong, if nothing names one, or if the
        stage is protected and a URL has no sha256; and what `store_head.find` raises.
        """
        source = self.given_source()
        if source and not source.digest:
            self._check_undigested(source)
        return source or store_head.find(self.targets[0], self.request.file.parent)

    def given_source(self) -> ArtifactSource | None:
        """What `curl_url` names, None without one; raises ConfigError as `source` does."""
        options = [Context(target, self.verb, "", "").options(curl.Options) for target in self.targets]
        for each in options:
            curl.check(each)
        sources = [curl.given_source(each) for each in options]
        source = sources[0]
        if any(each != source for each in sources):
            raise ConfigError(
                "the roles name different artifacts (curl_url, curl_sha256), and a release has one for all",
                hint=f"release one by one: faprelease {self.request.stage} ROLE; or name one: --curl-url URL",
            )
        is_local = all(target.settings.connection == "local" for target in self.targets)
        if source and source.url.startswith("file:") and not is_local:
            raise ConfigError(
                f"the hosts can't read {source.url}: it lies on this machine",
                hint="use an s3:// or https:// store, or connection: local",
            )
        return source

    def _check_undigested(self, source: ArtifactSource) -> None:
        """Raise ConfigError for a URL without a sha256 if the stage is protected; warn of plain http."""
        if any(target.settings.protected for target in self.targets):
            raise ConfigError(
                f"{self.request.stage} is protected: a release from a URL needs the sha256 of the artifact",
                hint="add --curl-sha256 HEX (fapbuild pack prints it), or release from a store",
            )
        if source.url.startswith("http://"):
            self.report.say(
                f"warning: {source.name} is plain http, and no --curl-sha256 is given: anyone on the way can"
                " change the artifact"
            )

    def with_environment(self) -> "Run":
        """Return the same run with the values of `environment` resolved: a release needs them, also to know
        whether it is live already. Raises what `config.with_environment` raises."""
        return replace(self, targets=config.with_environment(self.targets, self.file))

    @property
    def dry_run(self) -> bool:
        """Whether to only show what would be done."""
        return self.request.dry_run or any(target.settings.dry_run for target in self.targets)

    @contextmanager
    def connect(self, *, lock: bool, lost: dict[Place, str] | None = None) -> Iterator[ConnectedHosts]:
        """Connect to all hosts and probe them; with `lock`, no other run can change them until the end.

        Raises LockedError, UnreachableError, FapError. With `lost`, hosts that can't be reached are left out,
        and the reason is put there, by place.
        """
        if any(target.settings.show_output for target in self.targets):
            self.report.show_steps()
        stage = self.request.stage
        if lock and not self.request.confirmed and any(target.settings.protected for target in self.targets):
            self.report.confirm(stage)
        token, who = _new_word(), _who()
        with (
            self.named_hints(),
            Connections(self.targets, token, who, _new_word(), say=self.report.say) as connections,
        ):
            self.report.connecting(self.targets)
            try:
                states = connections.probe(
                    lock=lock, lock_wait=self.request.lock_wait, lost=lost, looks=self._looks()
                )
            except UnreachableError as error:
                error.hint = Hint.lines([error.hint, self._without(connections.unreachable)])
                raise
            hosts = self._hosts(states)
            now = datetime.now(UTC)
            taken = sorted({name for host in hosts for name in host.state.taken})
            key = next((host.state.key for host in hosts if host.state.key), os.urandom(32).hex())
            info = RunInfo(who=who, at=now, token=token, release=next_release_id(now, taken), key=key)
            if self.verb in ownership.VERBS:
                self._note_manager(hosts, connections, lock=lock)
            yield ConnectedHosts(hosts=hosts, info=info, connections=connections)

    def _without(self, unreachable: set[str]) -> str:
        """How to go on without hosts that can't be reached; empty if there are no others, or that makes no
        sense."""
        others = {target.host for target in self.targets} - unreachable
        if not others or not unreachable or self.verb not in ACTING:
            return ""
        place = " ".join(filter(None, (self.request.stage, self.request.role)))
        hosts = [host for host in self.request.flags.get("hosts", ()) if not host.startswith("!")]
        words = ["faprelease", *([] if self.verb == "release" else [self.verb])]
        words += ["--curl-url URL"] if "curl_url" in self.request.flags else []
        words += [place, *([f"--hosts {','.join(hosts)}"] if hosts else [])]
        line = f"{' '.join(words)} --without {','.join(sorted(unreachable))}"
        url = "--curl-url URL --curl-sha256 HEX " if "curl_url" in self.request.flags else ""
        return f"to go on without it: {line}\nwhen it can be reached again: faprelease sync {url}{place}"

    def _looks(self) -> dict[Place, tuple[Step, ...]]:
        """The steps of plugins that look whether a release or rollback can work."""
        if self.verb not in ownership.VERBS:
            return {}
        plugins, example = self.plugins(), next_release_id(datetime.now(UTC), [])
        return {
            target.place: registry.with_schedules(plugins[target.place], target, had_schedules=False).steps(
                "looking", Context(target, self.verb, target.layout.release(example), "")
            )
            for target in self.targets
        }

    def _note_manager(self, hosts: list[Host], connections: Connections, *, lock: bool) -> None:
        ownership.refuse_taken(hosts, self.request, self._names_of)
        manager = self.request.manager
        if lock and ownership.needs_note(hosts, manager):
            connections.run("note who manages", lambda target: ownership.note(target, manager))

    def _names_of(self, host: Host, owner: Owner) -> Container[str] | None:
        """The names that another deployment of deploy.yml claims on a host; None if the file has no such one,
        or something is wrong there."""
        if owner.app != host.target.settings.app_name:
            return None
        needs = Needs("act", owner.stage, owner.role)
        try:
            options = registry.options_of(self.file)
            others = config.targets(self.file, owner.stage, owner.role, {}, options, needs)
            return {
                claim
                for target in others
                if target.host == host.target.host
                for claim in registry.load(target.settings.plugins_of("release"), self.file).claims(
                    Context(target, "release", "", "")
                )
            }
        except ConfigError:
            return None

    def recover(self, connected: ConnectedHosts) -> tuple[ConnectedHosts, Literal["", "finish", "undo"]]:
        """Finish or undo rollouts that did not finish; return the hosts after it, and what the last one
        needed. Raises FapError if some of its hosts are not part of this run, and what `execute` raises."""
        done: Literal["", "finish", "undo"] = ""
        while left := recovery(connected.hosts):
            plan, done = self.plan_recovery(connected, left), left.action
            self.report.begin(plan)
            with (
                self._recorded(plan, connected, left.rollout),
                self._under_way(plan) as stop,
            ):
                if done == "undo":
                    execute.undo(plan, connected.connections, self.report, time.monotonic)
                else:
                    execute.run(plan, connected.connections, self.report, time.monotonic, stop, more=True)
            problems = {host.place: host.state.problems for host in connected.hosts}
            states = {
                place: replace(state, problems=problems.get(place, ()))
                for place, state in connected.connections.probe_again().items()
            }
            connected = replace(connected, hosts=self._hosts(states))
        return connected, done

    def plan_recovery(self, connected: ConnectedHosts, left: Recovery) -> Plan:
        """Return the plan by which `recover` ends a rollout; raises FapError if some of its hosts are not
        part of this run."""
        self._refuse_half_of(left)
        return plan_recovery(connected.hosts, connected.info, left)

    def execute(self, plan: Plan, connected: ConnectedHosts, how: Executor = execute.run) -> None:
        """Execute a plan and report it; raises what `how` and `_under_way` raise."""
        self.report.begin(plan)
        with (
            announced(plan, connected.hosts, connected.info, self.verb, self.report.say),
            self._under_way(plan) as stop,
        ):
            how(plan, connected.connections, self.report, time.monotonic, stop)
        hosts = ", ".join(dict.fromkeys(host.place.host for host in plan.hosts))
        self.report.end(plan, where=hosts if "hosts" in self.request.flags else "all hosts")

    def _recorded(
        self, plan: Plan, connected: ConnectedHosts, rollout: Rollout
    ) -> AbstractContextManager[None]:
        if self.request.manager == "converge":  # which writes down by itself where the host stands
            return nullcontext()
        return store_record.recorded(plan, connected.hosts, connected.info, self.report, rollout=rollout)

    @contextmanager
    def named_hints(self) -> Iterator[None]:
        """Fill in the stage and role of this run in the hints of errors from further down."""
        stage, role = self.request.stage, self.request.role
        try:
            yield
        except FapError as error:
            error.hint = error.hint.filled(stage=stage, place=f"{stage} {role}" if role else stage)
            raise

    @contextmanager
    def _under_way(self, plan: Plan) -> Iterator[threading.Event]:
        """Yield an event that the first Ctrl-C sets. After a second one, or a bug in fapkit, nothing was
        undone: raise InterruptedRunError or PartlyDoneError, with what each host was doing."""
        try:
            with stop_on_signals(self.report.say) as stop:
                yield stop
        except FapError:
            raise
        except (KeyboardInterrupt, Exception) as error:
            by_hand = isinstance(error, KeyboardInterrupt)
            kind = InterruptedRunError if by_hand else PartlyDoneError
            why = "stopped immediately" if by_hand else f"aborted by a bug in fapkit, {type(error).__name__}"
            raise kind(
                f"{plan.title}: {why}; what each host was doing:\n{self.report.whereabouts()}",
                hint=f"the next release or rollback finishes or undoes it; to look now: faprelease status"
                f" {self.request.stage}",
            ) from error

    def plugins(self) -> dict[Place, Plugins]:
        """The plugins that each place has for this verb; raises as `registry.load` does."""
        skip = self.verb not in ACTING
        names = {target.place: tuple(target.settings.plugins_of(self.verb)) for target in self.targets}
        loaded = {each: registry.load(each, self.file, skip=skip) for each in dict.fromkeys(names.values())}
        return {place: loaded[each] for place, each in names.items()}

    def _hosts(self, states: Mapping[Place, HostState]) -> list[Host]:
        plugins = self.plugins()
        return [
            Host(
                target=target,
                state=state,
                plugins=registry.with_schedules(
                    plugins[target.place], target, had_schedules=state.had_schedules
                ),
            ).with_brought_files(self.verb)
            for target in self.targets
            if (state := states.get(target.place))
        ]

    def _refuse_half_of(self, left: Recovery) -> None:
        """Raise FapError unless all hosts of the rollout are part of this run, except those that deploy.yml
        lost."""
        if not left.absent:
            return
        # A host that converges named only itself, and no connection.
        own = ("hosts", "connection") if self.request.manager == "converge" else ("hosts",)
        flags = {key: value for key, value in self.request.flags.items() if key not in own}
        # Hosts that the user left out by name, with --without, can't be reached.
        without = [word for word in self.request.flags.get("hosts", ()) if word.startswith("!")]
        flags |= {"hosts": without} if without and "hosts" in own else {}
        stage = self.request.stage
        options = registry.options_of(self.file, skipped=registry.broken_in(self.file))
        known = config.targets(self.file, stage, None, flags, options, Needs("reach", stage))
        named = {target.place for target in known}
        missing = [str(place) for place in left.absent if place in named]
        if missing:
            what = f"a {left.rollout.verb} that {left.rollout.by} began"
            raise FapError(
                f"{what} did not finish, also on {', '.join(missing)}",
                hint=f"finish it on all its hosts at once: give no role and no --hosts after {stage};"
                " without a host that can't be reached: --without HOST",
            )


def load(path: Path, flags: Mapping[str, Any]) -> tuple[DeployFile, dict[str, Key]]:
    """Return a checked deploy.yml, and the keys of its plugins.

    Raises ConfigError if it can't be read, if it builds on hosts, for wrong keys, plugins and values, and for
    flags that are not keys.
    """
    file, options, _ = read(path, flags, EVERYTHING)
    return file, options


def read(
    path: Path, flags: Mapping[str, Any], needs: Needs
) -> tuple[DeployFile, dict[str, Key], tuple[str, ...]]:
    """Return deploy.yml, the keys of its plugins, and a line for each mistake in it that does not matter for
    what a command `needs`. Raises ConfigError as `load` does, for the others."""
    file = deployfile.read(path)
    if needs.is_acting:
        refuse_build_steps(file)
    broken = {} if needs.use == "release" else registry.broken_in(file, flags)
    options = registry.options_of(file, flags, skipped=broken)
    mistakes = list(config.mistakes(file, options))
    stopping = [each.error for each in mistakes if needs.are_broken_by(each)]
    if stopping := [*config.wrong_flags(flags, options), *stopping]:
        raise together(stopping)
    errors = [*broken.values(), *(each.error for each in mistakes)]
    return file, options, _passed_over(list(dict.fromkeys(error.message for error in errors)))


def _passed_over(mistakes: list[str]) -> tuple[str, ...]:
    """A line for each of the first mistakes, and one for the rest."""
    first = [f"{message} (a release is refused until this is fixed)" for message in mistakes[:MOST_SHOWN]]
    more = len(mistakes) - MOST_SHOWN
    rest = [f"deploy.yml has {more} more mistakes; to list them: faprelease config STAGE"]
    return (*first, *(rest if more > 0 else ()))


def _with_user_of_ssh(target: Target) -> Target:
    """Return the target with the `User` of ~/.ssh/config, if deploy.yml does not set `user`."""
    settings, file = target.settings, Path("~/.ssh/config").expanduser()
    is_remote = settings.connection != "local" and settings.use_ssh_config
    if target.origins.get("user") != "default" or not is_remote or not file.exists():
        return target
    from faprelease.transports import ssh_config  # it loads paramiko

    user = ssh_config.user_of(target.address, file)
    if not user:
        return target
    origins = {**target.origins, "user": str(file)}
    return replace(target, settings=msgspec.structs.replace(settings, user=user), origins=origins)


def _new_word() -> str:
    return f"fap-{os.urandom(16).hex()}"


def _who() -> str:
    """Return who releases, for locks and ledgers, in characters that need no quoting."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container with a user id that has no name
        user = f"uid{os.getuid()}"
    who = os.environ.get("FAP_WHO") or f"{user}@{socket.gethostname()}"
    return re.sub(r"[^\w.@+-]", "_", who, flags=re.ASCII)
