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
from pathlib import Path

from artifact_store.errors import FapError

LAST_LINES = 40
_LONGEST = 4096
_GRACE = 5.0
_LOGIN = re.compile(r"://[^\s/@]+@")
_streaming: set["subprocess.Popen[bytes]"] = set()
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
        if stdout is None:
            done = subprocess.run(
                argv, cwd=cwd, env=environment, input=stdin, capture_output=True, check=False, umask=0o022
            )
        else:
            with stdout.open("wb") as file:
                done = subprocess.run(
                    argv,
                    cwd=cwd,
                    env=environment,
                    input=stdin,
                    stdout=file,
                    stderr=subprocess.PIPE,
                    check=False,
                    umask=0o022,
                )
    except FileNotFoundError as error:
        raise FapError(
            f"can't run {argv[0]}: {error.strerror} ({error.filename})", hint=f"install {argv[0]}"
        ) from error
    if done.returncode != 0:
        said = _failure(_shown(argv), done.returncode, done.stdout or b"", done.stderr, last_lines)
        raise FapError(said, hint=hint)
    return done.stdout or b""


def stream(line: str, *, cwd: Path, env: Mapping[str, str], heard: Callable[[str], None]) -> None:
    """Run a line of shell (`sh -e`) with the variables `env` alone, and hand on each line it writes at once.

    What it leaves running is stopped. Raises FapError as `run` does, and if `stopped_on_error` stopped it.
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
    _streaming.add(started)
    if _stopped.is_set():
        _stop(started)

    def listen() -> None:
        assert started.stdout is not None  # noqa: S101
        while data := started.stdout.readline(_LONGEST):
            said = data.decode("utf-8", "replace").rstrip()
            last.append(said)
            heard(said)

    with ThreadPoolExecutor(1) as beside:
        listening = beside.submit(listen)
        started.wait()
        # What it left running in the background holds its output open, and would go on for ever.
        _stop(started)
        if not wait([listening], timeout=_GRACE).done:
            _stop(started, signal.SIGKILL)
        listening.result()
    _streaming.discard(started)
    if started.returncode != 0:
        raise FapError(_failure(repr(line), started.returncode, "\n".join(last).encode(), b""))


@contextlib.contextmanager
def stopped_on_error() -> Iterator[None]:
    """If the block ends in an error, stop what `stream` runs in other threads, and all that it started."""
    _stopped.clear()
    try:
        yield
    except BaseException:
        _stopped.set()
        for started in list(_streaming):
            _stop(started)
        raise


def _stop(started: "subprocess.Popen[bytes]", how: signal.Signals = signal.SIGTERM) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, how)


def _failure(what: str, code: int, out: bytes, err: bytes, last_lines: int = LAST_LINES) -> str:
    text = "\n".join(part.decode("utf-8", "replace").strip() for part in (out, err) if part.strip())
    how = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
    lines = _LOGIN.sub("://***@", text).splitlines()[-last_lines:]
    return "\n".join([f"{what} {how}", *(f"  {line}" for line in lines)])


def _shown(argv: Sequence[str]) -> str:
    name = Path(argv[0]).name
    if "-m" in argv[:3]:
        return f"{name} -m {argv[list(argv).index('-m') + 1]}"
    return " ".join([name, *argv[1:3]])
