"""Runs other programs. This is the only module of the package that does."""

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

from artifact_store.core import git
from artifact_store.core.errors import FapError

FIRST_LINES, LAST_LINES = 8, 40
"""How much of a program's output an error shows: npm gives the reason first, and Python last."""
_LONGEST = 4096
_WIDE = 400
_GRACE = 5.0
_LOGIN = re.compile(r"://[^\s/@]+@")
_stops: set[Callable[[], None]] = set()
"""A function for each running program that stops it."""
_stopped = threading.Event()
_STEADY = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}


class ProgramError(FapError):
    """A program failed; `output` is all that it wrote, without logins."""

    output: str = ""


def run(
    argv: Sequence[str],
    *,
    start: Sequence[str] = (),
    cwd: Path,
    env: Mapping[str, str] | None = None,
    clean: bool = False,
    stdin: bytes = b"",
    stdout: Path | None = None,
    hint: str = "",
    last_lines: int = LAST_LINES,
    on_error_line: Callable[[str], None] | None = None,
) -> bytes:
    """Run `argv` in `cwd` under umask 022 and return its standard output.

    `start` is the command that runs it, if it is not run by itself. `env` is added to the environment of this
    process, or replaces it if `clean`; language and time zone are always the same. With `stdout` the output
    goes to that file, and b"" is returned.

    `on_error_line` is called with each line of its standard error, as it is written.

    Raises ProgramError (with the given hint) if the program can't be started or exits non-zero; its message
    ends with the first and the last lines that the program wrote, at most `last_lines` of these.
    """
    environment = {**({} if clean else os.environ), **_STEADY, **(env or {})}
    try:
        with contextlib.nullcontext(subprocess.PIPE) if stdout is None else stdout.open("wb") as into:
            process = subprocess.Popen(
                [*start, *argv],
                cwd=cwd,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=into,
                stderr=subprocess.PIPE,
                umask=0o022,
                # What builds packages starts other programs, which have to end with it.
                start_new_session=bool(start),
            )
    except FileNotFoundError as error:
        raise FapError(
            f"can't run {argv[0]}: {error.strerror} ({error.filename})", hint=f"install {argv[0]}"
        ) from error
    stop = partial(_stop, process) if start else process.terminate
    with _stoppable(stop):
        try:
            out, err = _communicate(process, stdin, on_error_line)
        except BaseException:
            stop()
            process.kill()
            raise
        finally:
            if start and (process.returncode or _stopped.is_set()):
                _stop(process, signal.SIGKILL)
    if process.returncode != 0:
        failure = _failure(_shown(argv, start), process.returncode, out or b"", err, last_lines)
        failed = ProgramError(failure, hint=hint)
        failed.output = _LOGIN.sub("://***@", ((out or b"") + b"\n" + err).decode("utf-8", "replace"))
        raise failed
    return out or b""


def _communicate(
    process: "subprocess.Popen[bytes]", stdin: bytes, on_error_line: Callable[[str], None] | None
) -> tuple[bytes, bytes]:
    if on_error_line is None:
        return process.communicate(stdin)
    assert process.stdin is not None  # noqa: S101
    assert process.stderr is not None  # noqa: S101
    process.stdin.write(stdin)
    process.stdin.close()
    process.stdin = None
    pipe, process.stderr, lines = process.stderr, None, []

    def listen() -> None:
        for line in pipe:
            lines.append(line)
            on_error_line(line.decode("utf-8", "replace").rstrip())

    with ThreadPoolExecutor(1) as pool, pipe:
        listening = pool.submit(listen)
        out, _ = process.communicate()
        listening.result()
    return out, b"".join(lines)


def stream(
    line: str,
    *,
    start: Sequence[str] = (),
    cwd: Path,
    env: Mapping[str, str],
    on_line: Callable[[str], None],
) -> None:
    """Run a line of shell (`sh -e`) with only the variables `env`; call `on_line` for each line it writes.

    `start` is the command that runs the shell, if it is not run by itself. Processes that the line leaves
    running are stopped. Raises FapError as `run` does, and if `in_parallel` stopped it.
    """
    first: list[str] = []
    last: deque[str] = deque(maxlen=LAST_LINES + 1)  # one more shows that some are left out
    process = subprocess.Popen(
        [*start, "/bin/sh", "-e", "-c", line],
        cwd=cwd,
        env={**_STEADY, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        umask=0o022,
        start_new_session=True,
    )

    def listen() -> None:
        assert process.stdout is not None  # noqa: S101
        while data := process.stdout.readline(_LONGEST):
            text = data.decode("utf-8", "replace").rstrip()
            if len(first) < FIRST_LINES:
                first.append(text)
            else:
                last.append(text)
            on_line(text)

    with _stoppable(partial(_stop, process)), ThreadPoolExecutor(1) as pool:
        listening = pool.submit(listen)
        process.wait()
        # A process left in the background keeps the output open, and may never end.
        _stop(process)
        if not wait([listening], timeout=_GRACE).done:
            _stop(process, signal.SIGKILL)
        listening.result()
    if process.returncode != 0:
        written = "\n".join([*first, *last]).encode()
        raise FapError(_failure(repr(line), process.returncode, written, b""))


@contextlib.contextmanager
def in_parallel(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for jobs that run programs. An error in the block stops those programs, and is raised then."""
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
    """Let `in_parallel` call `stop` until the end of the block."""
    _stops.add(stop)
    try:
        if _stopped.is_set():
            stop()
        yield
    finally:
        _stops.discard(stop)


def _stop(process: "subprocess.Popen[bytes]", how: signal.Signals = signal.SIGTERM) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, how)


def _failure(what: str, code: int, out: bytes, err: bytes, last_lines: int = LAST_LINES) -> str:
    text = "\n".join(part.decode("utf-8", "replace").strip() for part in (out, err) if part.strip())
    how = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
    lines = [_shortened(line) for line in _LOGIN.sub("://***@", text).splitlines()]
    if len(lines) > FIRST_LINES + last_lines:
        lines = [*lines[:FIRST_LINES], "…", *lines[-last_lines:]]
    return "\n".join([f"{what} {how}", *(f"  {line}" for line in lines)])


def _shortened(line: str) -> str:
    """The line without its middle if it is long: pip lists every version that a package ever had."""
    return line if len(line) <= _WIDE else f"{line[: _WIDE // 2]} … {line[-_WIDE // 4 :]}"


def _shown(argv: Sequence[str], start: Sequence[str]) -> str:
    name = Path(argv[0]).name
    if start:
        return name
    if "-m" in argv[:3]:
        return f"{name} -m {argv[list(argv).index('-m') + 1]}"
    words = git.without_options(argv) if name == "git" else list(argv)
    return " ".join([name, *words[1:3]])
