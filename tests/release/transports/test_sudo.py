"""Becoming another user by a real sudo, with and without a password, over both kinds of ssh."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faprelease import transports
from faprelease.errors import UnreachableError
from faprelease.transports.passwords import COMMAND, PASSWORD, Passwords
from tests.parts.fleet import Host, fleet

pytestmark = pytest.mark.fleet

LOGIN, WORD = "fapkit-login", "correct horse 'stapler' $taple"
Become = Callable[[], str]


def mount(host: Host, target: str, text: str) -> None:
    """Give a host a file of its own in place of the machine's."""
    file = host.log.parent / target.replace("/", "-")
    file.write_text(text)
    file.chmod(0o440)
    enter = ["nsenter", "--target", str(host.pid), "--mount", "--"]
    subprocess.run([*enter, "mount", "--bind", file, target], check=True)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host that knows a password of its login user; this machine does not."""
    with fleet(tmp_path_factory.mktemp("sudo"), 1, users=("deploy", LOGIN)) as (started,):
        argv = ["openssl", "passwd", "-6", "-stdin"]
        made = subprocess.run(argv, input=WORD, capture_output=True, text=True, check=True).stdout.strip()
        others = [
            line for line in Path("/etc/shadow").read_text().splitlines() if not line.startswith(f"{LOGIN}:")
        ]
        mount(started, "/etc/shadow", "\n".join([*others, f"{LOGIN}:{made}:19000:0:99999:7:::", ""]))
        yield started


@pytest.fixture(params=["ssh", "openssh"])
def become(host: Host, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Become:
    """Log in as one user and become the other; what the shell says of itself."""
    monkeypatch.delenv(PASSWORD, raising=False)
    monkeypatch.delenv(COMMAND, raising=False)

    def became() -> str:
        channel = transports.connect(
            "web1",
            LOGIN,
            "deploy",
            connection=request.param,
            config_file=host.ssh_config,
            passwords=Passwords(),
            seconds=5,
        )
        try:
            channel.send(b"id -un; umask; echo $HOME; env; exit\n")
            said = b""
            while data := channel.receive(10):
                said += data
            return said.decode()
        finally:
            channel.close()

    return became


def sudoers(host: Host, *lines: str) -> None:
    mount(host, "/etc/sudoers", "\n".join(["Defaults use_pty, timestamp_timeout=0", *lines, ""]))


def test_without_a_password_one_session_is_enough(become: Become, host: Host) -> None:
    sudoers(host, f"{LOGIN} ALL=(deploy) NOPASSWD: ALL")
    before = host.exec_sessions()
    assert become().splitlines()[:3] == ["deploy", "0022", "/home/deploy"]
    assert host.exec_sessions() - before == 1


def test_a_password_reaches_sudo_and_nothing_else(
    become: Become, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    sudoers(host, f"{LOGIN} ALL=(deploy) ALL")
    seen: list[bytes] = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(0.005):
            for file in (*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")):
                try:
                    seen.append(file.read_bytes())
                except OSError:
                    continue

    watcher = threading.Thread(target=sample)
    watcher.start()
    try:
        monkeypatch.setenv(PASSWORD, WORD)
        said = become()
    finally:
        ended.set()
        watcher.join()
    assert said.splitlines()[:3] == ["deploy", "0022", "/home/deploy"]
    for text in (said.encode(), host.log.read_bytes(), *seen):
        assert b"stapler" not in text
    assert any(b"sudo" in text for text in seen)


def test_a_command_gives_the_password(become: Become, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    sudoers(host, f"{LOGIN} ALL=(deploy) ALL")
    file = host.log.parent / "word"
    file.write_text(f"{WORD}\nlogin: other lines of a password store\n")
    monkeypatch.setenv(COMMAND, f"cat {file}")
    assert become().startswith("deploy\n")
    monkeypatch.setenv(COMMAND, "echo locked >&2; exit 1")
    with pytest.raises(UnreachableError, match=f"{COMMAND} failed: locked"):
        become()


def test_a_wrong_password_is_tried_once_and_told_as_such(
    become: Become, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    sudoers(host, f"{LOGIN} ALL=(deploy) ALL")
    monkeypatch.setenv(PASSWORD, "wrong")
    with pytest.raises(UnreachableError, match=f"web1: sudo rejected the password of {LOGIN}") as refused:
        become()
    assert refused.value.exit_code == 7
    assert "wrong" not in str(refused.value)


def test_without_anybody_to_ask_the_ways_out_are_told(
    become: Become, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    sudoers(host, f"{LOGIN} ALL=(deploy) ALL")
    monkeypatch.setattr("faprelease.transports.passwords._ask", lambda _: None)
    with pytest.raises(UnreachableError, match=f"sudo asks for the password of {LOGIN}") as refused:
        become()
    assert COMMAND in refused.value.hint
    assert f"{LOGIN} ALL=(deploy) NOPASSWD: /bin/sh" in refused.value.hint
    assert refused.value.hint.endswith(f"in deploy.yml: sudo_user: {LOGIN}")


@pytest.mark.parametrize(
    ("lines", "said", "hint"),
    [
        (
            [f"Defaults:{LOGIN} requiretty", f"{LOGIN} ALL=(deploy) NOPASSWD: ALL"],
            "must have a tty",
            "requiretty",
        ),
        ([f"{LOGIN} ALL=(deploy) NOPASSWD: /bin/true"], "", "NOPASSWD: /bin/sh"),
    ],
)
def test_what_sudo_forbids_is_told_with_the_line_that_allows_it(
    become: Become, host: Host, lines: list[str], said: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sudoers(host, *lines)
    monkeypatch.setenv(PASSWORD, WORD)
    with pytest.raises(
        UnreachableError, match=f"(?s)sudo does not allow {LOGIN} to become deploy: .*{said}"
    ) as refused:
        become()
    assert hint in refused.value.hint
    assert (f"in deploy.yml: sudo_user: {LOGIN}" in refused.value.hint) == ("NOPASSWD" in hint)
