"""The sessions of one run: connect, lock and probe the hosts; release the locks at the end."""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from faprelease import transports
from faprelease.config.target import Target
from faprelease.errors import FapError, FrozenError, LockedError, UnreachableError
from faprelease.hosts import fitness
from faprelease.hosts import state as facts
from faprelease.hosts.state import Freeze, HostState
from faprelease.run.parallel import in_parallel
from faprelease.steps import wire
from faprelease.steps.model import (
    CAN_NOT_CREATE,
    FROZEN,
    LOCK_HELD,
    HostPlan,
    Phase,
    Result,
    Step,
    host_script,
)
from faprelease.steps.place import Place
from faprelease.transports import address
from faprelease.transports.channel import Channel, ChannelLostError
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

    def __enter__(self) -> "Connections":
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._close_all()

    def probe(
        self, *, lock: bool, lock_wait: float = 0, lost: dict[Place, str] | None = None
    ) -> dict[Place, HostState]:
        """Return the state of every place; with `lock`, no other run can change it until the end.

        All locks are requested at once. Of two runs that start together each may get some: the run that locks
        the first host, in the order of host and path, retries the others for a moment. A run that is refused
        releases all its locks, and tries again for `lock_wait` seconds. Raises LockedError, UnreachableError,
        FapError; FrozenError without waiting. With `lost`, hosts that can't be reached are left out, and the
        reason is put there, by place.
        """
        deadline, told = time.monotonic() + lock_wait, ""
        while True:
            try:
                return self._probe(lock, lost)
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

    def _probe(self, lock: bool, lost: dict[Place, str] | None) -> dict[Place, HostState]:
        first, *rest = self._groups()
        first_is_done, refused = threading.Event(), threading.Event()

        def begin(targets: list[Target]) -> dict[Place, HostState]:
            try:
                session = self._open(targets)
                try:
                    return self._probe_host(session, targets, lock)
                except FrozenError:
                    raise
                except LockedError:
                    if targets is first or (first_is_done.wait() and refused.is_set()):
                        raise
                    return self._retry_lock(session, targets)
            except FapError as error:
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

    def _retry_lock(self, session: HostSession, targets: list[Target]) -> dict[Place, HostState]:
        """Try again to lock hosts that another run holds, which may be about to release them."""
        ends = time.monotonic() + INSIST_SECONDS
        while True:
            time.sleep(INSIST_SECONDS / 20)
            try:
                return self._probe_host(session, targets, True)
            except LockedError:
                if time.monotonic() >= ends:
                    raise

    def probe_again(self) -> dict[Place, HostState]:
        """Return the state of every place again, on the open sessions; the locks stay. Raises as `probe`
        does."""
        states: dict[Place, HostState] = {}
        for found in in_parallel(
            self._groups(), lambda targets: self._probe_host(self._sessions[_key(targets[0])], targets, False)
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

    def _probe_host(self, session: HostSession, targets: list[Target], lock: bool) -> dict[Place, HostState]:
        work = [(t, step) for t in targets for step in ([self._lock(t)] if lock else []) + [facts.probe(t)]]
        results = self._run(session, "probe", work)
        answers = results[1::2] if lock else results
        for target, taken in zip(targets, results[::2] if lock else (), strict=False):
            if taken.output:
                self._say(f"{target.place}: {taken.output}")
        return {t.place: _parsed(t, answer) for t, answer in zip(targets, answers, strict=True)}

    def _run(self, session: HostSession, name: str, work: list[tuple[Target, Step]]) -> list[Result]:
        try:
            return session.run(Phase(name, tuple(step for _, step in work)), lambda _: None)
        except StepFailedError as failed:
            result = failed.result
            target = next(target for target, step in work if step is result.step)
            if result.code == LOCK_HELD:
                raise LockedError(
                    f"{target.place}: another run is in progress: {result.output}",
                    hint="wait for it to finish: --lock-wait SECONDS (its lock ends with its session)",
                ) from None
            if result.code == FROZEN:
                raise frozen(target, facts.read_freeze(result.output)) from None
            if result.code == CAN_NOT_CREATE:
                raise FapError(f"{target.place}: {result.output}", hint=fitness.how_to_own(target)) from None
            raise FapError(
                f"{target.place}: {result.step.title} failed (exit {result.code}): {result.output}",
                hint=f"see {target.layout.state} on {target.host}",
            ) from None
        except ChannelLostError as lost:
            raise UnreachableError(
                f"{work[0][0].host}: {lost}", hint="release again when the host can be reached"
            ) from None

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


def _parsed(target: Target, answer: Result) -> HostState:
    try:
        return facts.parse(answer.output)
    except FapError as error:
        raise FapError(f"{target.place}: {error.message}", hint=error.hint) from error


def _key(target: Target) -> Key:
    settings = target.settings
    return (settings.connection, target.host, settings.user, settings.sudo_user)
