"""A session on a host: phases run one after another over one open channel."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from faprelease.steps import wire
from faprelease.steps.model import Phase, Result
from faprelease.transports.channel import Channel, ChannelLostError, NoShellError

ANSWER_SECONDS = 30
"""How many seconds after a step's limit the channel counts as lost."""

BEGIN_SECONDS = 30
"""How many seconds a new shell may take to begin."""

OnResult = Callable[[Result], None]
OnFetched = Callable[[int], None]


class StepFailedError(Exception):
    """A step ended with an exit code other than 0."""

    def __init__(self, result: Result) -> None:
        super().__init__(result)
        self.result = result


class HostSession:
    """A shell on a host that has read the preamble. Only `beat` may be called from other threads.

    A lost channel stays lost: output that still arrives belongs to an abandoned step, and would be mistaken
    for the answer to another one.
    """

    def __init__(self, channel: Channel, session: wire.Session) -> None:
        self._channel = channel
        self._session, self._mark = session, session.mark
        self._kept: set[str] = set()
        """The paths of the programs that the host keeps."""
        self._preamble = wire.preamble(session).encode()
        self._secrets: set[str] = set()
        self._lost = ""
        """The reason why no more phases can run; empty if they can."""
        self._has_answered = False
        self._busy = threading.Lock()

    def run(
        self,
        phase: Phase,
        on_result: OnResult,
        *,
        on_fetched: OnFetched = lambda _: None,
        last: bool = False,
    ) -> list[Result]:
        """Run the steps of a phase in order, up to the first that fails. `on_result` gets each result
        immediately; `on_fetched` gets the bytes that the running step has fetched, about once a second. After
        the `last` phase the shell ends and releases its locks by itself.

        Raises StepFailedError, or ChannelLostError if the connection is lost, or a step exceeds its limits.
        """
        with self._busy:
            if self._lost:
                raise ChannelLostError(self._lost)
            try:
                return self._run(phase, on_result, on_fetched, last)
            except StepFailedError:
                raise
            except BaseException as error:
                # Later output would be mistaken for the answer to another script.
                self._lost = str(error) or type(error).__name__
                raise

    def beat(self) -> None:
        """Show an idle shell that its controller is alive. Never raises; the next phase reports a problem."""
        if self._busy.acquire(blocking=False):
            try:
                with suppress(ChannelLostError, ValueError):  # ValueError: the channel was closed
                    if not self._lost:
                        self._channel.send(wire.BEAT)
            finally:
                self._busy.release()

    def _run(self, phase: Phase, on_result: OnResult, on_fetched: OnFetched, last: bool) -> list[Result]:
        text = wire.render(phase, self._mark, reveal=True, kept=self._kept).encode(errors="surrogateescape")
        sent = self._preamble + text
        self._send(sent + (wire.END if last else b""))
        self._preamble, self._lost = b"", "its shell was closed" if last else ""
        # A later phase may print secrets of an earlier one: a crashing program shows its environment.
        self._secrets |= {secret for step in phase.steps for secret in step.secrets}
        reader = wire.Reader(
            self._mark,
            tuple(self._secrets),
            [step.trusted for step in phase.steps],
            [step.parsed for step in phase.steps],
        )
        results: list[Result] = []
        began = time.monotonic()
        while not reader.done:
            limit = phase.steps[len(results)].limit
            remaining = began + limit + ANSWER_SECONDS - time.monotonic()
            if remaining <= 0:
                raise ChannelLostError(f"a step took longer than its limit of {limit} s")
            if not self._has_answered:
                remaining = min(remaining, BEGIN_SECONDS)
            try:
                data = self._channel.receive(remaining)
            except ChannelLostError as lost:
                if self._has_answered:
                    raise
                raise NoShellError(_in_short(f"{reader.said_outside()}\n{lost}", sent)) from None
            if not data and not self._has_answered:
                raise NoShellError(_in_short(reader.said_outside(), sent))
            if not data:
                raise ChannelLostError(f"the shell on the host ended: {reader.said_outside()}")
            for number, code, output in _read(reader, data):
                now = time.monotonic()
                step = phase.steps[number]
                facts = reader.facts if step.trusted else {}
                results.append(Result(step, code, output, now - began, facts))
                began = now
                on_result(results[-1])
            self._has_answered = self._has_answered or reader.has_begun
            self._kept.update(self._session.kept(reader.kept))
            if reader.fetched is not None:
                on_fetched(reader.fetched)
                reader.fetched = None
        if results and results[-1].code:
            raise StepFailedError(results[-1])
        return results

    def _send(self, data: bytes) -> None:
        try:
            self._channel.send(data)
        except ChannelLostError:
            # A login that runs something else may end before it has read our script; its output says why.
            if self._has_answered:
                raise

    def close(self) -> None:
        """End the shell, which releases its locks."""
        self._channel.close()


def _in_short(text: str, sent: bytes) -> str:
    """The last lines of what a host printed; one that only repeats our script says nothing."""
    own = {line.strip() for line in sent.decode(errors="replace").splitlines()}
    lines = [line.strip()[:200] for line in text.splitlines() if line.strip() not in own]
    return " / ".join(lines[-3:]) or "it printed nothing"


def _read(reader: wire.Reader, data: bytes) -> Iterator[tuple[int, int, str]]:
    try:
        yield from reader.feed(data)
    except wire.ProtocolError as error:
        raise ChannelLostError(f"the host broke the protocol: {error}") from None
