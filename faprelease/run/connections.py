"""The sessions of one run: connect, lock and probe the hosts; release the locks at the end."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from faprelease import transports
from faprelease.config.target import Target
from faprelease.errors import ConfigError, FapError, FrozenError, LockedError, UnreachableError
from faprelease.hosts import fitness
from faprelease.hosts import state as facts
from faprelease.hosts.state import Freeze, HostState
from faprelease.run.parallel import in_parallel
from faprelease.steps import wire
from faprelease.steps.model import (
    CAN_NOT_CREATE,
    FROZEN,
    LOCK_HELD,
    SAME_FOLDER,
    HostPlan,
    Phase,
    Result,
    Step,
    host_script,
)
from faprelease.steps.place import Place
from faprelease.transports import address
from faprelease.transports.channel import Channel, ChannelLostError, NoShellError
from faprelease.transports.passwords import Passwords
from faprelease.transports.session import HostSession, StepFailedError

Key = tuple[str, str, str, str]
Connect = Callable[[Target, Passwords], Channel]
BEAT_SECONDS = 15
"""How often idle shells hear that the controller lives, so that a few lost beats end nothing."""
WAIT_SECONDS = 2
"""How long to wait between two tries to take locks."""
INSIST_SECONDS = 4
"""How long a run that was refused may take to let the locks go that it had got."""


def connect(target: Target, passwords: Passwords) -> Channel:
    """Open the channel that a target's settings ask for; raises UnreachableError, ConfigError."""
    settings = target.settings
    return transports.connect(
        address.joined(target.address, settings.port),
        settings.user,
        settings.sudo_user,
        connection=settings.connection,
        config_file=Path("~/.ssh/config").expanduser() if settings.use_ssh_config else None,
        passwords=passwords,
    )


class Connections:
    """One session for each host and user, however many roles are there. A context manager.

    `say` is told what people should know of the locks.
    """

    def __init__(
        self,
        targets: Iterable[Target],
        token: str,
        who: str,
        mark: str,
        connect: Connect = connect,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._targets = sorted(targets, key=lambda target: (target.host, target.layout.path))
        self._by_place = {target.place: target for target in self._targets}
        self._token, self._who, self._mark, self._connect = token, who, mark, connect
        self._passwords = Passwords()
        self._say = say
        self._sessions: dict[Key, HostSession] = {}
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self.unreachable: set[str] = set()
        """The hosts that could not be reached."""

    def __enter__(self) -> "Connections":
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._close_all()

    def probe(
        self,
        *,
        lock: bool,
        lock_wait: float = 0,
        lost: dict[Place, str] | None = None,
        looks: Mapping[Place, Sequence[Step]] | None = None,
    ) -> dict[Place, HostState]:
        """Return the state of every place; with `lock`, no other run can change it until the end.

        `looks` are more steps, by place, which must succeed and change nothing.

        All locks are requested at once. Of two runs that start together each may get some: the run that locks
        the first host, in the order of host and path, retries the others for a moment. A run that is refused
        releases all its locks, and tries again for `lock_wait` seconds. Raises LockedError, UnreachableError,
        FapError; FrozenError without waiting. With `lost`, hosts that can't be reached are left out, and the
        reason is put there, by place.
        """
        deadline, told = time.monotonic() + lock_wait, ""
        while True:
            try:
                return self._probe(lock, lost, looks or {})
            except FrozenError:
                raise
            except LockedError as held:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
                self._close_all()
                if held.message != told:
                    told = held.message
                    self._say(f"{told}; waiting up to {left:.0f} s")
                time.sleep(min(WAIT_SECONDS, left))

    def _probe(
        self, lock: bool, lost: dict[Place, str] | None, looks: Mapping[Place, Sequence[Step]]
    ) -> dict[Place, HostState]:
        first, *rest = self._groups()
        first_is_done, refused = threading.Event(), threading.Event()

        def begin(targets: list[Target]) -> dict[Place, HostState]:
            try:
                session = self._open(targets)
                try:
                    return self._probe_host(session, targets, lock, looks)
                except FrozenError:
                    raise
                except LockedError:
                    if targets is first or (first_is_done.wait() and refused.is_set()):
                        raise
                    return self._retry_lock(session, targets, looks)
            except FapError as error:
                if isinstance(error, UnreachableError):
                    self.unreachable.add(targets[0].host)
                if lost is not None and isinstance(error, UnreachableError):
                    lost.update((target.place, error.message) for target in targets)
                    self._drop(targets)
                    return {}
                if targets is first:
                    refused.set()
                raise
            finally:
                if targets is first:
                    first_is_done.set()

        states: dict[Place, HostState] = {}
        for found in in_parallel([first, *rest], begin):
            states |= found
        return states

    def _retry_lock(
        self, session: HostSession, targets: list[Target], looks: Mapping[Place, Sequence[Step]]
    ) -> dict[Place, HostState]:
        """Try again to lock hosts that another run holds, which may be about to release them."""
        ends = time.monotonic() + INSIST_SECONDS
        while True:
            time.sleep(INSIST_SECONDS / 20)
            try:
                return self._probe_host(session, targets, True, looks)
            except LockedError:
                if time.monotonic() >= ends:
                    raise

    def probe_again(self) -> dict[Place, HostState]:
        """Return the state of every place again, on the open sessions; the locks stay. Raises as `probe`
        does."""
        states: dict[Place, HostState] = {}
        for found in in_parallel(
            self._groups(),
            lambda targets: self._probe_host(self._sessions[_key(targets[0])], targets, False, {}),
        ):
            states |= found
        return states

    def run(self, name: str, step_of: Callable[[Target], Step]) -> dict[Place, str]:
        """Run one step on every target, outside of any plan; return its output, by place.

        Raises FapError for the first that fails, and what `probe` raises.
        """

        def work(targets: list[Target]) -> list[tuple[Place, str]]:
            results = self._run(self._sessions[_key(targets[0])], name, [(t, step_of(t)) for t in targets])
            return [(t.place, result.output) for t, result in zip(targets, results, strict=True)]

        reached = [targets for targets in self._groups() if _key(targets[0]) in self._sessions]
        return dict(pair for pairs in in_parallel(reached, work) for pair in pairs)

    def _drop(self, targets: list[Target]) -> None:
        """Close the session of these targets."""
        with self._guard:
            session = self._sessions.pop(_key(targets[0]), None)
        if session:
            session.close()

    def _close_all(self) -> None:
        """Close all sessions, which releases their locks."""
        with self._guard:
            sessions, self._sessions = list(self._sessions.values()), {}
        in_parallel(sessions, HostSession.close)

    def _beat(self) -> None:
        """Keep the shells alive: one that hears nothing ends itself, since its connection may be dead."""
        while not self._ended.wait(BEAT_SECONDS):
            with self._guard:
                sessions = list(self._sessions.values())
            for session in sessions:
                session.beat()

    def _groups(self) -> list[list[Target]]:
        """Return the targets of each session."""
        groups: dict[Key, list[Target]] = {}
        for target in self._targets:
            groups.setdefault(_key(target), []).append(target)
        return list(groups.values())

    def of(self, plan: HostPlan) -> HostSession:
        """Return the session of a plan's host."""
        return self._sessions[_key(self._target(plan))]

    def renew(self, plan: HostPlan) -> HostSession:
        """Replace a lost session by a new one that holds the same locks; raises FapError."""
        target = self._target(plan)
        same = [other for other in self._targets if _key(other) == _key(target)]
        self._sessions[_key(target)].close()
        session = self._open(same)
        self._run(session, "lock again", [(other, self._lock(other, again=True)) for other in same])
        return session

    def _target(self, plan: HostPlan) -> Target:
        return self._by_place[plan.place]

    def _open(self, targets: list[Target]) -> HostSession:
        shared = wire.Session(
            self._mark, targets[0].lock_token(self._token), tuple(target.layout.state for target in targets)
        )
        session = HostSession(self._connect(targets[0], self._passwords), shared)
        with self._guard:
            self._sessions[_key(targets[0])] = session
        return session

    def _probe_host(
        self,
        session: HostSession,
        targets: list[Target],
        lock: bool,
        looks: Mapping[Place, Sequence[Step]],
    ) -> dict[Place, HostState]:
        locks = [(target, self._lock(target)) for target in targets] if lock else []
        probes = [(target, facts.probe(target)) for target in targets]
        more = [(target, step) for target in targets for step in looks.get(target.place, ())]
        results = self._run(session, "probe", [*locks, *probes, *more], may_fail=[step for _, step in more])
        taken, answers, seen = _split(results, len(locks), len(probes))
        for (target, _), result in zip(locks, taken, strict=True):
            if result.output:
                self._say(f"{target.place}: {result.output}")
        problems = defaultdict[Place, list[str]](list)
        for (target, _), result in zip(more, seen, strict=True):
            if result.code:
                problems[target.place].append(result.output)
            else:
                self._say_warnings(target, result)
        return {
            target.place: replace(_parsed(target, answer), problems=tuple(problems[target.place]))
            for (target, _), answer in zip(probes, answers, strict=True)
        }

    def _say_warnings(self, target: Target, result: Result) -> None:
        for line in result.output.splitlines():
            if line.startswith("warning: "):
                self._say(f"{target.place}: {line}")

    def _run(
        self,
        session: HostSession,
        name: str,
        work: list[tuple[Target, Step]],
        may_fail: Collection[Step] = (),
    ) -> list[Result]:
        """Run steps in order, up to the first that fails; after one that `may_fail`, the rest runs."""
        results: list[Result] = []
        while len(results) < len(work):
            phase = Phase(name, tuple(step for _, step in work[len(results) :]))
            try:
                session.run(phase, results.append)
            except StepFailedError as failed:
                if failed.result.step not in may_fail:
                    raise _failed(failed.result, work) from None
            except ChannelLostError as lost:
                raise _lost(lost, work[0][0]) from None
        return results

    def _lock(self, target: Target, *, again: bool = False) -> Step:
        return host_script(
            "take the lock",
            "lock/lock",
            state=target.layout.state,
            token=target.lock_token(self._token),
            owner=self._who,
            again="yes" if again else "",
        )


def frozen(target: Target, freeze: Freeze) -> FrozenError:
    """Return the error for a frozen host."""
    settings = target.settings
    return FrozenError(
        f"{target.place}: {freeze}",
        hint=f"when it may go on: faprelease unfreeze {settings.stage} {settings.role}",
    )


def _failed(result: Result, work: list[tuple[Target, Step]]) -> FapError:
    """Return the error for a step that failed."""
    target = next(target for target, step in work if step is result.step)
    if result.code == LOCK_HELD:
        return LockedError(
            f"{target.place}: another run is in progress: {result.output}",
            hint="wait for it to finish: --lock-wait SECONDS (its lock ends with its session)",
        )
    if result.code == SAME_FOLDER:
        return ConfigError(
            f"{target.place}: {target.layout.path} is the same folder as on {result.output}: both are one"
            " machine, or share a disk",
            hint=f"leave {target.host} out of the hosts in deploy.yml, or give it a path of its own",
        )
    if result.code == FROZEN:
        return frozen(target, facts.read_freeze(result.output))
    if result.code == CAN_NOT_CREATE:
        return FapError(f"{target.place}: {result.output}", hint=fitness.how_to_own(target))
    return FapError(
        f"{target.place}: {result.step.title} failed (exit {result.code}): {result.output}",
        hint=f"see {target.layout.state} on {target.host}",
    )


def _lost(lost: ChannelLostError, target: Target) -> UnreachableError:
    """Return the error for a connection that was lost, or never had a shell."""
    if not isinstance(lost, NoShellError):
        return UnreachableError(f"{target.host}: {lost}", hint="release again when the host can be reached")
    user = target.settings.user
    login = f"ssh {user}@{target.address}" if target.settings.connection != "local" else "sh -c"
    return UnreachableError(
        f"{target.host}: the login runs no commands: {lost}",
        hint=f"try: {login} 'echo ok'\nlook at the login shell (getent passwd {user}), and whether ~/.bashrc"
        " or ~/.profile there ends, reads its input or starts another shell",
    )


def _split(results: list[Result], *sizes: int) -> Iterator[list[Result]]:
    """Yield the first results, by these sizes, and the rest."""
    begin = 0
    for size in sizes:
        yield results[begin : begin + size]
        begin += size
    yield results[begin:]


def _parsed(target: Target, answer: Result) -> HostState:
    try:
        return facts.parse(answer.output)
    except FapError as error:
        raise FapError(f"{target.place}: {error.message}", hint=error.hint) from error


def _key(target: Target) -> Key:
    settings = target.settings
    return (settings.connection, target.host, settings.user, settings.sudo_user)
