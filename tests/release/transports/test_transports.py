"""One suite for all transports: what a channel promises, whatever carries it."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from faprelease import transports
from faprelease.transports.channel import Channel, ChannelLostError
from faprelease.transports.passwords import Passwords
from tests.parts.fleet import Host, fleet

pytestmark = pytest.mark.fleet

Open = Callable[[], Channel]
MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with fleet(tmp_path_factory.mktemp("transports"), 1) as (started,):
        yield started


@pytest.fixture(params=["local", "ssh", "openssh"])
def connection(request: pytest.FixtureRequest) -> transports.Connection:
    return cast(transports.Connection, request.param)


@pytest.fixture
def channel(host: Host, connection: transports.Connection) -> Iterator[Channel]:
    opened = transports.connect(
        "web1",
        "deploy",
        "deploy",
        connection=connection,
        config_file=host.ssh_config,
        passwords=Passwords(),
        seconds=5,
    )
    yield opened
    opened.close()


def read_to(channel: Channel, end: bytes, seconds: float = 20) -> bytes:
    said = b""
    while not said.endswith(end):
        data = channel.receive(seconds)
        assert data, said
        said += data
    return said


def end_of(channel: Channel) -> bytes:
    """What is said until the shell has ended, or the connection has."""
    said = b""
    try:
        while data := channel.receive(10):
            said += data
    except ChannelLostError:
        pass
    return said


def memory() -> dict[str, int]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}


def test_a_shell_keeps_its_state_and_both_its_streams_come_back(channel: Channel) -> None:
    channel.send(b"cd /; word=here\n")
    channel.send(b'echo "$word $PWD"; echo complaint >&2; echo end\n')
    said = b""
    while said.count(b"\n") < 3:
        said += channel.receive(20)
    # Across ssh, the two streams keep an order of their own only.
    assert sorted(said.splitlines()) == [b"complaint", b"end", b"here /"]


def test_much_output_takes_little_memory(channel: Channel) -> None:
    channel.send(b"echo begin\n")
    read_to(channel, b"begin\n")
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark of memory begins anew
    before = memory()["VmRSS"]
    channel.send(f"head -c {100 * MEGABYTE} /dev/zero; echo end\n".encode())
    count, last = 0, b""
    while not last.endswith(b"end\n"):
        last = channel.receive(20)
        count += len(last)
    assert count == 100 * MEGABYTE + len("end\n")
    assert memory()["VmHWM"] - before < 16 * MEGABYTE


def test_much_input_while_output_flows(channel: Channel) -> None:
    data = bytes(range(256)) * (5 * MEGABYTE // 256)
    channel.send(f"{{ echo begin; head -c {len(data)}; echo end; }}\n".encode())
    # By then the shell reads no further: what comes now is for `head`.
    read_to(channel, b"begin\n")
    sender = threading.Thread(target=channel.send, args=(data,))
    sender.start()
    assert read_to(channel, b"end\n") == data + b"end\n"
    sender.join()


def test_a_shell_that_dies_ends_the_output_and_takes_no_more(channel: Channel) -> None:
    channel.send(b"echo last; kill -9 $$\n")
    assert end_of(channel) == b"last\n"
    with pytest.raises(ChannelLostError):
        channel.send(b"x" * 8 * MEGABYTE)


def test_silence_over_the_limit_is_told(channel: Channel) -> None:
    channel.send(b"sleep 1.5\n")
    began = time.monotonic()
    with pytest.raises(ChannelLostError, match="sent nothing for"):
        channel.receive(0.2)
    assert time.monotonic() - began < 1.4


def test_closing_lets_the_shell_tidy_up_even_if_nobody_read_what_it_said(
    channel: Channel, host: Host, connection: str, tmp_path: Path
) -> None:
    lock = tmp_path / "lock" if connection == "local" else host.path("/home/deploy/lock")
    inside = lock if connection == "local" else Path("/home/deploy/lock")
    channel.send(f"mkdir {inside}; trap 'rmdir {inside}; echo x bye' EXIT; echo begin\n".encode())
    read_to(channel, b"begin\n")
    assert lock.is_dir()
    channel.send(f"head -c {3 * MEGABYTE} /dev/zero\n".encode())
    channel.close()
    assert not lock.exists()


@pytest.mark.parametrize("connection", ["ssh", "openssh"], indirect=True)
def test_a_connection_that_is_cut_is_noticed_at_once(channel: Channel) -> None:
    channel.send(b"echo begin\n")
    read_to(channel, b"begin\n")
    channel.send(b"kill -9 $PPID; sleep 20\n")
    began = time.monotonic()
    end_of(channel)
    assert time.monotonic() - began < 5
