"""A phase as the text that goes down a channel, and the host's answer read back into results.

The remote end is one `sh` that reads from its standard input for the whole release. It gets a preamble
once, then scripts, each of one or more phases. A script is a single function that its last line calls, in
braces, so that a script cut on the way runs nothing. Each step is a process of its own, stopped at its limit
unless it is trusted: it reads its script from descriptor 3 (so that nothing of it shows in an argument list),
its input from descriptor 4, and writes into a file, so that a job it leaves behind holds none of the
channel's streams.
Lines that begin with the mark, a random word of this session, frame each step's output: one before the first
step, and one after each, up to the first that fails. The mark is in the memory of the shell alone: in no
argument, variable of a step or file name. The output of foreign code comes indented by a space besides, so no
output can be taken for a frame, whoever wrote it.
"""

import re
import shlex
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from faprelease.steps.host_files import with_libraries
from faprelease.steps.model import Phase, Step
from faprelease.steps.redaction import redact

OUTPUT_LIMIT = 65536
"""How much of a step's output comes back, in bytes from its end; of a trusted step all of it."""
BEGIN_LIMIT = 65536
"""How long the line before the first step may be, in bytes: it names the programs that the host has."""
ANSWER_LIMIT = 8 * 1024 * 1024
"""How much a trusted step may say, in bytes. What is read for its meaning can't be cut short like the rest,
and so many records no host has: one that says more is out of order."""
IDLE_SECONDS = 60
"""After how many seconds without a script or a beat an idle shell ends itself, and lets its locks go."""
END = b"exit\n"
"""A script that ends the shell."""
FACT = re.compile(rb"\r(fetched|digest) (\w{1,64})")
"""A line by which a program hands over a value (host/programs/fetch.py); it is not part of the output."""
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
            if re.fullmatch(r"\d{1,3}", number, re.ASCII) and int(number) < len(self.lock_folders):
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


class ProtocolError(Exception):
    """A host answered something that no shell of ours says."""


@dataclass
class Reader:
    """Reads the answer of a host to one phase; `feed` yields `(step number, exit code, output)`.

    A host may be hostile: whatever does not follow the protocol raises ProtocolError, and what is kept of an
    answer is bounded. `trusted` says of each step of the phase whether its script is one of our own. `done`
    turns true with the end of the last step, or of one that failed.
    """

    mark: str
    secrets: tuple[str, ...]
    trusted: Sequence[bool]
    done: bool = False
    fetched: int | None = None
    """How many bytes the running step has fetched; the reader's owner sets it to None."""
    facts: dict[str, str] = field(default_factory=dict)
    """The values that the running step has handed over; at its end, all of them."""
    kept: tuple[str, ...] = ()
    """The programs that the host has, as it says before the first step."""
    stray: bytearray = field(default_factory=bytearray)
    """What was printed outside of steps: complaints of the shell, a login banner."""
    _pending: bytes = b""
    _output: bytearray = field(default_factory=bytearray)
    _received: int = 0
    """The bytes that came since the last frame."""
    _inside: bool = False
    _number: int = 0
    """The step that runs, or comes next."""

    def feed(self, data: bytes) -> Iterator[tuple[int, int, str]]:
        self._received += len(data)
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            words = line.split(b" ")
            if words[0] == self.mark.encode() and len(words) > 1:
                yield from self._frame(words[1:], len(line))
                self._received = len(self._pending)
            else:
                self._keep(line)
        if self._received > ANSWER_LIMIT:
            raise ProtocolError(f"it printed more than {ANSWER_LIMIT >> 20} MiB in one step")

    def said_outside(self) -> str:
        """Return `stray` for people, without secrets."""
        return redact(self.stray.decode(errors="replace").strip(), self.secrets)

    def _frame(self, words: list[bytes], length: int) -> Iterator[tuple[int, int, str]]:
        if words[0] == b"begin" and not self._inside and self._number == 0 and length <= BEGIN_LIMIT:
            self._inside, self.facts = True, {}
            self.kept = tuple(word.decode(errors="replace") for word in words[1:])
        elif self._inside and (code := _code(words, self._number)) is not None:
            number, text = self._number, self._text()
            self.done = code != 0 or number == len(self.trusted) - 1
            self._output, self._inside, self._number = bytearray(), not self.done, number + 1
            yield number, code, text
            self.facts = {}
        elif words[0] != b"bye":
            frame = b" ".join(words)[:60].decode(errors="replace")
            raise ProtocolError(f"it answered {frame!r} to step {self._number + 1} of {len(self.trusted)}")

    def _keep(self, line: bytes) -> None:
        if not self._inside:
            self.stray += line[-OUTPUT_LIMIT:] + b"\n"
            if len(self.stray) > 2 * OUTPUT_LIMIT:
                del self.stray[:-OUTPUT_LIMIT]
        elif not self.trusted[self._number]:
            # Output of foreign code comes indented, so it can't be taken for a frame or a fact.
            if line and not line.startswith(b" "):
                raise ProtocolError("a line of a step's output is not indented")
            self._output += line[1:] + b"\n" if line else b""
        elif fact := FACT.fullmatch(line):
            name, value = fact[1].decode(), fact[2].decode()
            self.facts[name] = value
            if name == "fetched" and value.isdecimal() and len(value) <= 15:
                self.fetched = int(value)
        else:
            self._output += line + b"\n"

    def _text(self) -> str:
        data = self._output[:-1]
        text = data.decode(errors="replace")
        if not self.trusted[self._number] and len(data) == OUTPUT_LIMIT:
            # Its head was cut off, and may have taken the head of a secret with it.
            text = text[max(map(len, self.secrets), default=0) :]
        return redact(text.strip("\n"), self.secrets)


def _code(words: list[bytes], number: int) -> int | None:
    """Return the exit code of the frame that ends step `number`; None for any other frame."""
    if len(words) != 3 or words[:2] != [b"end", b"%d" % number]:
        return None
    return int(words[2]) if re.fullmatch(rb"0|[1-9]\d?\d?", words[2]) else None
