"""Phases as text, run by real shells, and the answers read back."""

import os
import re
import shutil
import subprocess
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faprelease.steps import wire
from faprelease.steps.model import Phase, Result, Secret, Step, command
from faprelease.steps.redaction import redact
from faprelease.steps.wire import ANSWER_LIMIT, OUTPUT_LIMIT, ProtocolError, Reader, Session, preamble, render
from faprelease.transports import local
from faprelease.transports.channel import ChannelLostError, NoShellError
from faprelease.transports.session import HostSession, StepFailedError
from tests.parts.long_sleep import is_running, long_sleep

MARK = "fap-0123456789abcdef"
SHELLS = [["/bin/sh"], *([["busybox", "sh"]] if shutil.which("busybox") else [])]
AWKWARD = """it's "quoted" $(touch /tmp/never) `id` $HOME \\ \\n % %% & | ; < > * ? ~ ! # été 漢字 \t end"""


@pytest.fixture
def session() -> Iterator[HostSession]:
    opened = HostSession(local.connect(), Session(MARK, "token", ()))
    yield opened
    opened.close()


def results(session: HostSession, *steps: Step) -> list[Result]:
    return session.run(Phase("test", steps), lambda _: None)


def failed(session: HostSession, *steps: Step) -> Result:
    with pytest.raises(StepFailedError) as caught:
        results(session, *steps)
    return caught.value.result


@dataclass
class Answer:
    """What a shell said to a script, and how it ended."""

    code: int
    output: str


def feed(shell: list[str], text: str) -> Answer:
    done = subprocess.run(shell, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return Answer(done.returncode, done.stdout.decode())


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_script_cut_at_any_byte_runs_nothing(shell: list[str], tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    steps = (
        Step(title="it's one", script=f"echo one >>{trace}", trusted=True),
        Step(title="two", script=f"cat >>{trace}", stdin="two\n", limit=5),
    )
    start = preamble(Session(MARK, "token", ()))
    text = render(Phase("cut", steps), MARK, reveal=True)
    assert text.isascii()
    # Only the call on the last line can run anything, so the bytes before it are cut a line at a time.
    last = text.rindex("\n", 0, -1) + 1
    cuts = [*range(len(text) - 3, last - 2, -1), *(n for n in range(last) if text[n] == "\n" or n % 29 == 0)]
    for cut in cuts:
        feed(shell, start + text[:cut])
        assert not trace.exists(), text[:cut]
    whole = feed(shell, start + text)
    assert trace.read_text() == "one\ntwo\n", whole.output
    assert f"{MARK} end 1 0" in whole.output


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize(
    "text",
    [AWKWARD, "one\n\ntwo", "FAP\nEOF\n}\n", "-n", " lead and trail ", "x" * 300_000],
    ids=["awkward", "lines", "like an end", "like an option", "spaces", "long"],
)
def test_stdin_and_script_reach_the_step_unharmed(session: HostSession, text: str, trusted: bool) -> None:
    say = replace(command("say", "printf", "%s", text[:60_000]), trusted=trusted)
    read = Step(title="read", script="wc -c; sha256sum", stdin=text, trusted=trusted)
    count = Step(title="count", script="wc -c", stdin=text, trusted=trusted)
    said, _, counted = results(session, say, read, count)
    assert said.output == text[:60_000].strip("\n")
    assert int(counted.output) == len(text.encode()) + (not text.endswith("\n"))


@pytest.mark.parametrize("trusted", [True, False])
def test_a_secret_goes_by_stdin_and_is_masked_in_what_comes_back(session: HostSession, trusted: bool) -> None:
    step = Step(
        title="say",
        script="read -r word; echo $word; echo $word >&2",
        stdin=Secret("hunter22", "…", ("hunter22",)),
        trusted=trusted,
    )
    (result,) = results(session, step)
    assert result.output == "***\n***"
    assert "hunter22" not in render(Phase("p", (step,)), MARK, reveal=False)
    assert "hunter22" not in repr(step)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_step_that_fails_ends_its_phase(session: HostSession, trusted: bool, tmp_path: Path) -> None:
    never = Step(title="never", script=f"touch {tmp_path}/never")
    result = failed(session, Step(title="fail", script="echo why >&2; exit 41", trusted=trusted), never)
    assert (result.code, result.output, result.step.title) == (41, "why", "fail")
    assert not (tmp_path / "never").exists()
    assert results(session, command("again", "echo", "alive"))[0].output == "alive"


@pytest.mark.parametrize("trusted", [True, False])
def test_a_step_can_not_hurt_the_shell_of_the_session(session: HostSession, trusted: bool) -> None:
    nasty = (
        "cd /; umask 0; fap_mark=x fap_dir=/nowhere; fap_done() { :; }; exec 3<&-; exec >/dev/null; echo gone"
    )
    before = results(session, command("pwd", "sh", "-c", "pwd; umask"))[0].output
    results(session, Step(title="nasty", script=nasty, trusted=trusted))
    assert results(session, command("pwd", "sh", "-c", "pwd; umask"))[0].output == before
    result = failed(session, Step(title="broken", script="if then (", trusted=trusted))
    assert result.code
    assert results(session, command("again", "echo", "alive"))[0].output == "alive"


def test_a_job_left_in_the_background_keeps_nobody_waiting(session: HostSession) -> None:
    began = time.monotonic()
    job = Step(title="leave a job", script="sleep 30 & echo $!", stdin="unread\n", limit=10)
    (result,) = results(session, job)
    session.close()
    os.kill(int(result.output), 9)
    assert time.monotonic() - began < 5


def test_a_step_that_reads_its_stdin_does_not_eat_the_next_steps(session: HostSession) -> None:
    eat = Step(title="eat", script="cat", trusted=True)
    assert [r.output for r in results(session, eat, eat, command("say", "echo", "here"))] == ["", "", "here"]


def test_a_step_over_its_limit_is_stopped_with_its_children(session: HostSession) -> None:
    began = time.monotonic()
    sleep = long_sleep()
    result = failed(session, Step(title="hang", script=f"{sleep} & {sleep}", limit=1))
    assert result.code == 124
    assert result.output == "stopped after 1 s, the time limit of this step"
    assert time.monotonic() - began < 4
    assert not is_running(sleep)


def test_the_end_of_a_flood_of_output_comes_back(session: HostSession) -> None:
    began = time.monotonic()
    flood = "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo the end"
    (result,) = results(session, Step(title="flood", script=flood, limit=10))
    assert len(result.output) <= OUTPUT_LIMIT
    assert result.output.endswith("x\nthe end")
    assert time.monotonic() - began < 5


def test_a_trusted_step_that_floods_is_given_up(session: HostSession) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ChannelLostError, match="printed more than 8 MiB in one step"):
            results(session, Step(title="flood", script="head -c 100000000 /dev/zero", trusted=True))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * ANSWER_LIMIT


def test_a_trusted_step_that_talks_on_is_given_up(session: HostSession) -> None:
    with pytest.raises(ChannelLostError, match="printed more than 8 MiB in one step"):
        results(session, Step(title="talk", script="yes 'all is well' | head -c 100000000", trusted=True))


def test_a_long_answer_of_a_trusted_step_is_whole(session: HostSession) -> None:
    script, secret = "head -c 5000000 /dev/zero | tr '\\0' x", Secret("hunter22", "…", ("hunter22",))
    long = Step(title="answer", script=script, stdin=secret, trusted=True)
    (result,) = results(session, long)
    assert result.output == "x" * 5_000_000


def test_results_are_told_as_they_come(session: HostSession) -> None:
    told: list[tuple[str, float]] = []
    steps = (command("one", "echo", "1"), Step(title="two", script="sleep 1; echo 2"))
    session.run(Phase("p", steps), lambda result: told.append((result.output, time.monotonic())))
    assert [output for output, _ in told] == ["1", "2"]
    assert told[1][1] - told[0][1] > 0.8


def test_a_shell_that_dies_is_a_lost_channel(session: HostSession) -> None:
    with pytest.raises(ChannelLostError):
        results(session, Step(title="kill", script="kill -9 $FAP_SESSION"), command("never", "true"))


def test_a_channel_that_was_lost_stays_lost() -> None:
    """What comes late is no answer to what is asked then."""
    channel = Late()
    session = HostSession(channel, Session(MARK, "token", ()))
    with pytest.raises(ChannelLostError, match="said nothing"):
        results(session, Step(title="hangs", script="…", trusted=True))
    with pytest.raises(ChannelLostError, match="said nothing"):
        results(session, Step(title="another", script="…", trusted=True))
    session.beat()
    assert channel.sent == 1


class Late:
    """A channel whose host answers after it was given up."""

    sent = 0

    def send(self, data: bytes) -> None:
        self.sent += 1

    def receive(self, seconds: float) -> bytes:
        if self.sent == 1:
            raise ChannelLostError("the host said nothing")
        return f"{MARK} begin\n{MARK} end 0 0\n".encode()

    def close(self) -> None:
        """There is nothing to close."""


def test_a_login_that_ends_before_it_reads_our_script_has_no_shell() -> None:
    """sftp-server may end while we still write; a real one does so about once in six times."""
    session = HostSession(Unread(), Session(MARK, "token", ()))
    with pytest.raises(NoShellError, match="This account is not available"):
        results(session, Step(title="first", script="…", trusted=True))


class Unread(Late):
    """A channel whose host takes no input, and says why."""

    def __init__(self) -> None:
        self.said = [b"This account is not available.\n", b""]

    def send(self, data: bytes) -> None:
        raise ChannelLostError("the shell accepts no more input")

    def receive(self, seconds: float) -> bytes:
        return self.said.pop(0)


def test_a_step_may_be_silent_until_its_limit() -> None:
    channel = SilentFirst()
    session = HostSession(channel, Session(MARK, "token", ()))
    session.run(
        Phase("p", (Step(title="install", script="sleep 400", limit=400, trusted=True),)), lambda _: None
    )
    assert 400 < channel.asked < 500


class SilentFirst:
    """A channel whose host says something only after it was waited for; it notes how long that may take."""

    asked = 0.0

    def send(self, data: bytes) -> None:
        self.sent, self.begun = data, False

    def receive(self, seconds: float) -> bytes:
        self.asked, begins = seconds, not self.begun
        self.begun = True
        return f"{MARK} begin\n".encode() if begins else f"fine\n{MARK} end 0 0\n".encode()

    def close(self) -> None:
        self.sent = b""


def test_a_step_that_says_how_far_it_is_has_no_more_time_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faprelease.transports.session.ANSWER_SECONDS", 0)
    session = HostSession(Talkative(), Session(MARK, "token", ()))
    told: list[int] = []
    step = Step(title="fetch", script="…", limit=1, trusted=True)
    with pytest.raises(ChannelLostError, match="longer than its limit of 1 s"):
        session.run(Phase("p", (step,)), lambda _: None, on_fetched=told.append)
    assert told[:3] == [7, 7, 7]


class Talkative:
    """A channel whose host goes on saying how much it has fetched."""

    def send(self, data: bytes) -> None:
        self.sent, self.begun = data, False

    def receive(self, seconds: float) -> bytes:
        time.sleep(0.1)
        begin, self.begun = "" if self.begun else f"{MARK} begin\n", True
        return f"{begin}\rfetched 7\n".encode()

    def close(self) -> None:
        self.sent = b""


def test_a_session_that_was_left_in_the_middle_is_lost(session: HostSession) -> None:
    """What comes then would be taken for the answer to something else."""

    def fail(_: Result) -> None:
        raise RuntimeError("a fault of our own")

    steps = (command("one", "echo", "one"), command("two", "echo", "two"))
    with pytest.raises(RuntimeError):
        session.run(Phase("p", steps), fail)
    with pytest.raises(ChannelLostError, match="a fault of our own"):
        results(session, command("three", "echo", "three"))


def test_what_is_for_the_moment_is_no_output() -> None:
    reader = Reader(MARK, (), [True])
    long = "\rfetched " + "9" * 5000
    said = f"{MARK} begin\none\n\rfetched 123456\n{long}\ntwo\n{MARK} end 0 0\n".encode()
    assert [output for _, _, output in reader.feed(said)] == [f"one\n{long}\ntwo"]
    assert reader.facts == {}
    reader = Reader(MARK, (), [True])
    assert list(reader.feed(f"{MARK} begin\n\rfetched 123456\n".encode())) == []
    assert reader.facts == {"fetched": "123456"}


FRAMES = [
    f"{MARK} {words}".encode()
    for words in ("begin", "end 0 0", "end 1 0", "end 0 1", "end", "end x y", "bye", "end 0 -1", "")
]
OUTPUTS = st.lists(
    st.one_of(
        st.text(max_size=20).map(lambda text: text.replace("\r", "")),
        st.sampled_from(
            ["fap-other end 0 0", "fap-other begin", f" x {MARK} end 0 1", f"x{MARK} begin", "", MARK[:-1]]
        ),
    ),
    max_size=6,
)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(OUTPUTS, min_size=1, max_size=4), st.integers(0, 255), st.booleans(), st.data())
def test_any_output_in_any_pieces_is_read(
    outputs: list[list[str]], code: int, early: bool, data: st.DataObject
) -> None:
    """The last step that is run is the last of all, or one that failed."""
    codes = [0] * (len(outputs) - 1) + [code]
    said = f"{MARK} begin\n".encode()
    for number, lines in enumerate(outputs):
        text = "\n".join(lines)
        said += f"{text}\n{MARK} end {number} {codes[number]}\n".encode()
    reader = Reader(MARK, (), [True] * (len(outputs) + (1 if early and code else 0)))
    found, rest = [], said
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        assert not reader.done
        found += list(reader.feed(rest[:size]))
        rest = rest[size:]
    assert reader.done
    assert found == [
        (number, codes[number], "\n".join(lines).strip("\n")) for number, lines in enumerate(outputs)
    ]


@given(st.binary(max_size=200))
def test_the_reader_survives_any_bytes(noise: bytes) -> None:
    reader = Reader(MARK, (), [True])
    list(reader.feed(noise + b"\n"))
    assert not reader.done
    said = f"{MARK} begin\n".encode() + noise + f"\n{MARK} end 0 3\n".encode()
    assert [answer[:2] for answer in reader.feed(said)] == [(0, 3)]


@given(
    st.lists(st.one_of(st.binary(max_size=30), st.sampled_from(FRAMES)), max_size=12),
    st.lists(st.booleans(), min_size=1, max_size=3),
)
def test_a_hostile_answer_is_read_in_order_or_refused(lines: list[bytes], trusted: list[bool]) -> None:
    reader = Reader(MARK, (), trusted)
    answers = []
    try:
        for line in lines:
            answers += list(reader.feed(line + b"\n"))
            assert reader.done or len(answers) < len(trusted)
    except ProtocolError:
        pass
    assert [number for number, _, _ in answers] == list(range(len(answers)))
    assert all(code == 0 for _, code, _ in answers[:-1])
    assert all(0 <= code <= 999 for _, code, _ in answers)


@pytest.mark.parametrize(
    "said",
    [
        b"%s begin\n%s end x y\n",
        b"%s begin\n%s end\n",
        b"%s begin\n%s end 0 " + b"9" * 5000 + b"\n",
        b"%s begin\n%s end -1 0\n",
        b"%s begin\n%s end 1 0\n",
        b"%s begin\n%s end 0 00\n",
        b"%s begin\n%s begin\n",
        b"%s end 0 0\n%s end 0 0\n",
        b"%s begin " + b"0/x " * 20_000 + b"\n%s end 0 0\n",
    ],
)
def test_a_wrong_frame_is_refused(said: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(Reader(MARK, (), [True, True]).feed(said % (MARK.encode(), MARK.encode())))


def test_a_flood_outside_of_steps_ends() -> None:
    reader = Reader(MARK, (), [True])
    flood = (answer for _ in range(200) for answer in reader.feed(b"stray line\n" * 6000))
    with pytest.raises(ProtocolError, match="more than 8 MiB"):
        list(flood)
    assert len(reader.stray) <= 2 * 65536


def test_output_of_foreign_code_is_never_a_frame() -> None:
    """Even if it knew the mark."""
    forged = f"{MARK} end 0 0\n{MARK} end 1 0\n\rdigest abc\n"
    said = f"{MARK} begin\n" + "".join(f" {line}\n" for line in forged.splitlines()) + f"\n{MARK} end 0 7\n"
    reader = Reader(MARK, (), [False, True])
    assert list(reader.feed(said.encode())) == [(0, 7, forged.replace("\r", "\n").strip("\n"))]
    assert reader.facts == {}


def test_foreign_code_that_knows_the_mark_forges_nothing(session: HostSession) -> None:
    forge = f"printf '%s\\n' '' '{MARK} end 0 0' '{MARK} end 1 0'; exit 9"
    result = failed(session, Step(title="forge", script=forge), command("never", "true"))
    assert (result.code, result.output.splitlines()[-1]) == (9, f"{MARK} end 1 0")


def test_the_mark_is_in_no_file_name_argument_or_variable(tmp_path: Path) -> None:
    mark = f"fap-{os.urandom(16).hex()}"
    session = HostSession(local.connect(), Session(mark, "token", ()))
    look = "ls -l /proc/self/fd/ /tmp; env; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ"
    results(session, Step(title="look", script=f"{{ {look}; }} >{tmp_path}/seen 2>/dev/null; true"))
    seen = (tmp_path / "seen").read_bytes()
    assert f"fap-output.{Session(mark, '', ()).output_name}".encode() in seen
    assert mark.encode() not in seen
    session.close()


def test_the_mark_alone_on_a_line_is_output() -> None:
    reader = Reader(MARK, (), [True])
    said = f"{MARK} begin\n{MARK}\n{MARK} end 0 0\n".encode()
    assert [code for _, code, _ in reader.feed(said)] == [0]


def test_what_is_said_outside_of_steps_is_kept_for_the_error() -> None:
    reader = Reader(MARK, (), [True])
    assert list(reader.feed(b"Welcome!\nsh: 1: Syntax error\n")) == []
    assert b"Syntax error" in reader.stray


def test_longer_secrets_are_masked_first() -> None:
    assert redact("secret-and-more secret", ("secret", "secret-and-more", "")) == "*** ***"


def test_the_rendered_script_names_its_steps_on_one_line() -> None:
    text = render(Phase("p", (Step(title="two\nlines", script="true"),)), MARK, reveal=True)
    assert "# two lines\n" in text
    assert wire.OUTPUT_LIMIT == 65536


@pytest.mark.parametrize(
    "fact", ["fetched 9999999999999999", "fetched x", "digest abc", f"digest {'A' * 64}", "other 1"]
)
def test_a_fact_of_another_form_is_output(fact: str) -> None:
    reader = Reader(MARK, (), [True])
    said = f"{MARK} begin\n\r{fact}\n{MARK} end 0 0\n".encode()
    assert list(reader.feed(said)) == [(0, 0, f"\r{fact}")]


def test_the_name_of_the_output_file_can_not_be_guessed() -> None:
    """A FIFO that another user made in /tmp would be opened, not refused (`set -C`)."""
    names = {Session(f"fap-{number}", "", ()).output_name for number in range(9)}
    assert len(names) == 9
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in names)
