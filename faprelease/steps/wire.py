"""The text of a phase on a channel, and the parser of the host's answer.

The remote end is one `sh` that reads scripts from its standard input during the whole release. It gets a
preamble once, then scripts, each with one or more phases. A script is a single function that its last line
calls, in braces, so a script that arrives incomplete runs nothing. Each step is a separate process, stopped
at its limit unless it is trusted. It reads its script from descriptor 3, so that no argument list shows it,
and its input from descriptor 4. It writes to a file, so that a process that it leaves behind holds no stream
of the channel.

Lines that begin with the mark, a random word of this session, are frames: one before the first step, and one
after each, up to the first that fails. Only the memory of the shell has the mark: it is in no argument,
variable of a step or file name. The output of untrusted code also comes indented by a space. So no output can
be mistaken for a frame.
"""

import hashlib
import re
import shlex
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from faprelease.steps.host_files import with_libraries
from faprelease.steps.model import Phase, Step
from faprelease.steps.redaction import redact

OUTPUT_LIMIT = 65536
"""How much of an untrusted step's output is returned, in bytes from its end."""
BEGIN_LIMIT = 65536
"""The longest line before the first step, in bytes. It lists the programs that the host keeps."""
ANSWER_LIMIT = 8 * 1024 * 1024
"""The most bytes that a step may print. The output of a trusted step is parsed, so it can't be cut; no host
has so many records, so a larger answer is an error."""
IDLE_SECONDS = 60
"""After so many seconds without a script or a beat, an idle shell ends and releases its locks."""
END = b"exit\n"
"""A script that ends the shell."""
FACT = re.compile(rb"\r(fetched \d{1,15}|digest [0-9a-f]{64}|stop \d{1,6})")
"""A line with which a step reports a value (host/programs/fetch.py, host/supervisor/stop.sh); it is not part
of the output."""
BEAT = b":\n"
"""A script that does nothing. It shows that the controller is alive."""


@dataclass(frozen=True)
class Session:
    """The facts shared by all scripts of a channel: the mark, the lock's token, the folders that it may
    lock."""

    mark: str
    token: str
    lock_folders: tuple[str, ...]

    @property
    def output_name(self) -> str:
        """A word that nobody can guess, and that does not tell the mark: other users may see it in /tmp."""
        return hashlib.sha256(b"output " + self.mark.encode()).hexdigest()[:32]

    def kept(self, words: Iterable[str]) -> Iterator[str]:
        """The paths of the programs that a host keeps; each word is the number of a folder, and a name."""
        for word in words:
            number, _, name = word.partition("/")
            if re.fullmatch(r"\d{1,3}", number, re.ASCII) and int(number) < len(self.lock_folders):
                yield f"{self.lock_folders[int(number)]}/code/{name}"


def preamble(session: Session) -> str:
    """Return the functions that every phase uses. They also release the locks, however the session ends."""
    lines = [
        f"fap_mark={shlex.quote(session.mark)}",
        f"fap_output_name=fap-output.{session.output_name}",
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
    """Return the script of a phase, without the programs that are `kept` on the host. Secrets are redacted
    unless `reveal`."""
    lines = [f"# {' '.join(phase.name.split())}", "fap_phase() {"]
    for number, step in enumerate(phase.steps):
        lines.append(f"# {' '.join(step.title.split())}")
        lines += _render_step(number, step, mark, stdin_of(step, reveal=reveal, kept=kept))
    lines += ["}", "{ fap_phase; }", ""]
    return "\n".join(lines)


def stdin_of(step: Step, *, reveal: bool, kept: Container[str] = ()) -> str:
    """The standard input of a step: its program, unless that is `kept` on the host, and its own input."""
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
    """A host gave an answer that the protocol does not allow."""


@dataclass
class Reader:
    """Reads the answer of a host to one phase; `feed` yields `(step number, exit code, output)`.

    A host may be hostile: an answer that does not follow the protocol raises ProtocolError, and the memory
    for an answer is bounded. `trusted` is whether each step of the phase is trusted. `done` becomes true at
    the end of the last step, or of one that failed.
    """

    mark: str
    secrets: tuple[str, ...]
    trusted: Sequence[bool]
    parsed: Sequence[bool] = ()
    """Whether the output of each step is only parsed; empty: of none."""
    done: bool = False
    fetched: int | None = None
    """How many bytes the running step has fetched; the reader's owner sets it to None."""
    facts: dict[str, str] = field(default_factory=dict)
    """The values that the running step has reported; at its end, all of them."""
    kept: tuple[str, ...] = ()
    """The programs that the host keeps, from the line before the first step."""
    stray: bytearray = field(default_factory=bytearray)
    """Output outside of steps: errors of the shell, a login banner."""
    _pending: bytes = b""
    _output: bytearray = field(default_factory=bytearray)
    _received: int = 0
    """The number of bytes received since the last frame."""
    _inside: bool = False
    _number: int = 0
    """The number of the running step, or of the next one."""

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

    @property
    def has_begun(self) -> bool:
        """Whether a step began, or one has ended."""
        return self._inside or self._number > 0 or self.done

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
            # The output of untrusted code is indented, so that it can't be mistaken for a frame or a fact.
            if line and not line.startswith(b" "):
                raise ProtocolError("a line of a step's output is not indented")
            self._output += line[1:] + b"\n" if line else b""
        elif fact := FACT.fullmatch(line):
            name, value = fact[1].decode().split()
            self.facts[name] = value
            if name == "fetched":
                self.fetched = int(value)
        else:
            self._output += line + b"\n"

    def _text(self) -> str:
        data = self._output[:-1]
        text = data.decode(errors="replace")
        if not self.trusted[self._number] and len(data) == OUTPUT_LIMIT:
            # Its head was cut off, and may have taken the head of a secret with it.
            text = text[max(map(len, self.secrets), default=0) :]
        if self.parsed and self.parsed[self._number]:
            return text.strip("\n")
        return redact(text.strip("\n"), self.secrets)


def _code(words: list[bytes], number: int) -> int | None:
    """Return the exit code of the frame that ends step `number`; None for any other frame."""
    if len(words) != 3 or words[:2] != [b"end", b"%d" % number]:
        return None
    return int(words[2]) if re.fullmatch(rb"0|[1-9]\d?\d?", words[2]) else None
