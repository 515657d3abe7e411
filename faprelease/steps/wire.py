"""A phase as the text that goes down a channel, and the host's answer read back into results.

The remote end is one `sh` that reads from its standard input for the whole release. It gets a preamble
once, then scripts, each of one or more phases. A script is a single function that its last line calls, in
braces, so that a script cut on the way runs nothing. Each step is a process of its own, stopped at its limit
unless it is trusted: it reads its script from descriptor 3 (so that nothing of it shows in an argument list),
its input from descriptor 4, and writes into a file, so that a job it leaves behind holds none of the
channel's streams.
Lines that begin with the mark, a random word of this session, frame each step's output: one before the first
step, and one after each, up to the first that fails.
"""

import re
import shlex
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field

from faprelease.steps.host_files import with_libraries
from faprelease.steps.model import Phase, Step
from faprelease.steps.redaction import redact

OUTPUT_LIMIT = 65536
"""How much of a step's output comes back, in bytes from its end; of a trusted step all of it."""
ANSWER_LIMIT = 8 * 1024 * 1024
"""How much a trusted step may say, in bytes. What is read for its meaning can't be cut short like the rest,
and so many records no host has: one that says more is out of order."""
IDLE_SECONDS = 60
"""After how many seconds without a script or a beat an idle shell ends itself, and lets its locks go."""
END = b"exit\n"
"""A script that ends the shell."""
FACT = re.compile(rb"\r(fetched|digest) (\w{1,64})")
"""A line by which a program hands over a value (host/programs/fetch.py); it is no part of the output."""
BEAT = b":\n"
"""A script that does nothing: its sender lives."""


@dataclass(frozen=True)
class Session:
    """What one channel's scripts have in common: the mark, the lock's token, and the folders it may lock."""

    mark: str
    token: str
    lock_folders: tuple[str, ...]

    def kept(self, words: Iterable[str]) -> Iterator[str]:
        """The programs that a host says it keeps, as paths: a word is the number of a folder, and a name."""
        for word in words:
            number, _, name = word.partition("/")
            if number.isdecimal() and int(number) < len(self.lock_folders):
                yield f"{self.lock_folders[int(number)]}/code/{name}"


def preamble(session: Session) -> str:
    """The functions that every phase uses; they also let the locks go however the session ends."""
    lines = [
        f"fap_mark={shlex.quote(session.mark)}",
        f"fap_token={shlex.quote(session.token)}",
        f"fap_output_limit={OUTPUT_LIMIT}",
        f"fap_idle_limit={IDLE_SECONDS}",
        "fap_for_each_folder() {",
        *(f'  "$1" {shlex.quote(folder)}' for folder in session.lock_folders),
        "  :",
        "}",
    ]
    return "\n".join([*lines, *(script.text for script in with_libraries(["session/session"]))])


def render(phase: Phase, mark: str, *, reveal: bool, kept: Container[str] = ()) -> str:
    """The script of a phase, without the programs that are `kept` on the host; with `reveal` False secrets
    are replaced by what may be shown of them."""
    lines = [f"# {' '.join(phase.name.split())}", "fap_phase() {"]
    for number, step in enumerate(phase.steps):
        lines.append(f"# {' '.join(step.title.split())}")
        lines += _render_step(number, step, mark, stdin_of(step, reveal=reveal, kept=kept))
    lines += ["}", "{ fap_phase; }", ""]
    return "\n".join(lines)


def stdin_of(step: Step, *, reveal: bool, kept: Container[str] = ()) -> str:
    """What a step reads: a program that is not `kept` on the host, and its own input."""
    text = step.stdin if isinstance(step.stdin, str) else step.stdin.value if reveal else step.stdin.redacted
    if not step.program:
        return text
    return ("" if step.program.place in kept else step.program.text) + f"\n#### input\n{text}"


def _render_step(number: int, step: Step, mark: str, text: str) -> Iterator[str]:
    script = step.script.rstrip("\n")
    call = f"fap_step {number} {0 if step.trusted else step.limit} 3<<'{mark}'"
    if text:
        yield f"{call} 4<<'{mark}' || return"
        yield from (script, mark, text.removesuffix("\n"), mark)
    else:
        yield f"{call} 4</dev/null || return"
        yield from (script, mark)


@dataclass
class Reader:
    """Takes the host's bytes as they come and yields what they mean: `(step number, exit code, output)`.

    `done` turns true with the end of the last of so many `steps`, or of one that failed.
    """

    mark: str
    secrets: tuple[str, ...]
    steps: int
    done: bool = False
    fetched: int | None = None
    """How many bytes the step under way says it has fetched; the reader's owner sets it to None."""
    facts: dict[str, str] = field(default_factory=dict)
    """What the step under way has handed over by now; at its end, all of it."""
    kept: tuple[str, ...] = ()
    """What the host says of the programs it keeps, before the first step."""
    stray: bytes = b""
    """What was said outside of any step: the shell's own complaints, a login banner."""
    _pending: bytes = b""
    _output: bytearray = field(default_factory=bytearray)
    _inside: bool = False

    @property
    def held(self) -> int:
        """How much it keeps of a step that has not ended, in bytes."""
        return len(self._output) + len(self._pending)

    def feed(self, data: bytes) -> Iterator[tuple[int, int, str]]:
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            words = line.split(b" ")
            if words[0] != self.mark.encode():
                self._keep(line)
            elif words[1:2] == [b"begin"]:
                self._output, self._inside, self.facts = bytearray(), True, {}
                self.kept = tuple(word.decode(errors="replace") for word in words[2:])
            elif words[1:2] == [b"end"]:
                number, code, text = int(words[2]), int(words[3]), self._text()
                self.done = code != 0 or number == self.steps - 1
                self._output, self._inside = bytearray(), not self.done
                yield number, code, text
                self.facts = {}

    def said_outside(self) -> str:
        """What `stray` says, for people."""
        return redact(self.stray.decode(errors="replace").strip(), self.secrets)

    def _keep(self, line: bytes) -> None:
        if self._inside and (fact := FACT.fullmatch(line)):
            name, value = fact[1].decode(), fact[2].decode()
            self.facts[name] = value
            if name == "fetched" and value.isdecimal():
                self.fetched = int(value)
        elif self._inside:
            self._output += line + b"\n"
        else:
            self.stray = (self.stray + line + b"\n")[-OUTPUT_LIMIT:]

    def _text(self) -> str:
        data = self._output[:-1]
        text = data.decode(errors="replace")
        if len(data) == OUTPUT_LIMIT:  # its head was cut off, and may have taken the head of a secret with it
            text = text[max(map(len, self.secrets), default=0) :]
        return redact(text.strip("\n"), self.secrets)
