"""The only place of this package that starts other programs."""

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

from artifact_store.core.errors import FapError

LAST_LINES = 40
_LONGEST = 4096
_WIDE = 400
_GRACE = 5.0
_LOGIN = re.compile(r"://[^\s/@]+@")
_stops: set[Callable[[], None]] = set()
"""What stops the programs that run now."""
_stopped = threading.Event()
_STEADY = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    clean: bool = False,
    stdin: bytes = b"",
    stdout: Path | None = None,
    hint: str = "",
    last_lines: int = LAST_LINES,
) -> bytes:
    """Run `argv` in `cwd` under umask 022 and return its standard output.

    `env` is added to this process's environment, or with `clean` replaces it; language and time zone are
    always the same. With `stdout` the output goes to that file, and b"" is returned.

    Raises FapError (with the given hint) if the program can't be started or exits non-zero; its message
    ends with the `last_lines` that the program wrote.
    """
    environment = {**({} if clean else os.environ), **_STEADY, **(env or {})}
    try:
        with contextlib.nullcontext(subprocess.PIPE) if stdout is None else stdout.open("wb") as into:
            started = subprocess.Popen(
                argv,
                cwd=cwd,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=into,
                stderr=subprocess.PIPE,
                umask=0o022,
            )
    except FileNotFoundError as error:
        raise FapError(
            f"can't run {argv[0]}: {error.strerror} ({error.filename})", hint=f"install {argv[0]}"
        ) from error
    with _stoppable(started.terminate):
        try:
            out, said = started.communicate(stdin)
        except BaseException:
            started.kill()
            raise
    if started.returncode != 0:
        failure = _failure(_shown(argv), started.returncode, out or b"", said, last_lines)
        raise FapError(failure, hint=hint)
    return out or b""


def stream(line: str, *, cwd: Path, env: Mapping[str, str], heard: Callable[[str], None]) -> None:
    """Run a line of shell (`sh -e`) with the variables `env` alone, and hand on each line it writes at once.

    What it leaves running is stopped. Raises FapError as `run` does, and if `side_by_side` stopped it.
    """
    last: deque[str] = deque(maxlen=LAST_LINES)
    started = subprocess.Popen(
        ["/bin/sh", "-e", "-c", line],
        cwd=cwd,
        env={**_STEADY, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        umask=0o022,
        start_new_session=True,
    )

    def listen() -> None:
        assert started.stdout is not None  # noqa: S101
        while data := started.stdout.readline(_LONGEST):
            said = data.decode("utf-8", "replace").rstrip()
            last.append(said)
            heard(said)

    with _stoppable(partial(_stop, started)), ThreadPoolExecutor(1) as beside:
        listening = beside.submit(listen)
        started.wait()
        # What it left running in the background holds its output open, and would go on for ever.
        _stop(started)
        if not wait([listening], timeout=_GRACE).done:
            _stop(started, signal.SIGKILL)
        listening.result()
    if started.returncode != 0:
        raise FapError(_failure(repr(line), started.returncode, "\n".join(last).encode(), b""))


@contextlib.contextmanager
def side_by_side(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for jobs that start programs; an error in the block stops those, and comes out afterwards."""
    try:
        with ThreadPoolExecutor(count) as jobs:
            try:
                yield jobs
            except BaseException:
                _stopped.set()
                for stop in list(_stops):
                    stop()
                raise
    finally:
        _stopped.clear()


@contextlib.contextmanager
def _stoppable(stop: Callable[[], None]) -> Iterator[None]:
    """While a program runs, `side_by_side` may call what stops it."""
    _stops.add(stop)
    try:
        if _stopped.is_set():
            stop()
        yield
    finally:
        _stops.discard(stop)


def _stop(started: "subprocess.Popen[bytes]", how: signal.Signals = signal.SIGTERM) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, how)


def _failure(what: str, code: int, out: bytes, err: bytes, last_lines: int = LAST_LINES) -> str:
    text = "\n".join(part.decode("utf-8", "replace").strip() for part in (out, err) if part.strip())
    how = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
    lines = map(_shortened, _LOGIN.sub("://***@", text).splitlines()[-last_lines:])
    return "\n".join([f"{what} {how}", *(f"  {line}" for line in lines)])


def _shortened(line: str) -> str:
    """pip lists every version that a package ever had."""
    return line if len(line) <= _WIDE else f"{line[: _WIDE // 2]} … {line[-_WIDE // 4 :]}"


def _shown(argv: Sequence[str]) -> str:
    name = Path(argv[0]).name
    if "-m" in argv[:3]:
        return f"{name} -m {argv[list(argv).index('-m') + 1]}"
    return " ".join([name, *argv[1:3]])
