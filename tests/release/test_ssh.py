"""Connecting to a real sshd: keys, known hosts, configuration, sudo, and what answers but is no sshd."""

import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faprelease.errors import ConfigError, UnreachableError
from faprelease.transports import ssh
from tests.fleet import Host, fleet, make_key

pytestmark = pytest.mark.xdist_group("fleet")

Connect = Callable[..., str]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with fleet(tmp_path_factory.mktemp("ssh"), 1, users=("deploy", "fapkit-login")) as (started,):
        yield started


@pytest.fixture
def connect(host: Host, tmp_path: Path) -> Connect:
    """Connect by the fleet's configuration, with the pattern `old` replaced; who one is there."""

    def connected(
        old: str = "$^", new: str = "", more: str = "", user: str = "deploy", name: str = "web1"
    ) -> str:
        config = tmp_path / "config"
        config.write_text(re.sub(old, new, host.ssh_config.read_text()) + more)
        channel = ssh.connect(name, user, "deploy", use_ssh_config=True, config_file=config, seconds=1)
        try:
            channel.send(b"id -un; umask; echo $HOME\nexit\n")
            said = b""
            while data := channel.receive(10):
                said += data
            return said.decode()
        finally:
            channel.close()

    return connected


def test_a_key_that_is_not_there_is_passed_over(connect: Connect) -> None:
    assert connect("    IdentityFile", "    IdentityFile ~/no/such/key\n    IdentityFile").startswith(
        "deploy\n"
    )


def test_an_encrypted_key_needs_an_agent(
    connect: Connect, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    shutil.copy(host.key, key)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key], check=True)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(UnreachableError, match=r"file is encrypted \(no ssh agent runs here\)"):
        connect("IdentityFile .*", f"IdentityFile {key}")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", tmp_path / "agent"], stdout=subprocess.PIPE)
    assert agent.stdout is not None
    agent.stdout.readline()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    subprocess.run(["ssh-add", "-q", host.key], check=True)
    try:
        assert connect("IdentityFile .*", f"IdentityFile {key}").startswith("deploy\n")
    finally:
        agent.kill()
        agent.communicate()


@pytest.mark.parametrize("line", ["nonsense\n", "\nHost web1\n    Port many\n"])
def test_a_configuration_that_can_not_be_read_is_named(connect: Connect, line: str) -> None:
    with pytest.raises(ConfigError, match="config: what it says of web1 can't be read"):
        connect(" +Port .*\n", "", line)


@pytest.mark.parametrize("line", ["ProxyJump jump", "ProxyCommand nc %h %p", "HostKeyAlias other"])
def test_a_way_that_can_not_be_gone_is_refused_and_not_passed_by(connect: Connect, line: str) -> None:
    with pytest.raises(ConfigError, match=f"{line.split()[0]} of web1 is not supported yet"):
        connect("", "", f"\nHost web1\n    {line}\n")


def test_known_hosts_of_all_kinds(connect: Connect, host: Host, tmp_path: Path) -> None:
    """Hashed names, lines of authorities, and an older key of the same machine before the right one."""
    known = tmp_path / "known_hosts"
    own = host.known_hosts.read_text()
    other = make_key(tmp_path / "other", "other").with_suffix(".pub").read_text().split()[1]
    old = f"{own.split()[0]} ssh-ed25519 {other}\n"
    changed = ("UserKnownHostsFile .*", f"UserKnownHostsFile {known}")
    known.write_text(old + own)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, stderr=subprocess.DEVNULL)
    known.write_text(f"@cert-authority *.example ssh-ed25519 {other}\n# note\n\n|1|no\n{known.read_text()}")
    assert connect(*changed).startswith("deploy\n")
    known.write_text(own + f"@revoked * {own.split()[1]} {own.split()[2]}\n")
    with pytest.raises(UnreachableError, match="host key is not known here"):
        connect(*changed)
    known.write_text(old)
    with pytest.raises(UnreachableError, match="another machine may be answering"):
        connect(*changed)


@pytest.mark.parametrize("banner", [b"", b"SSH-2.0-tarpit\r\n"])
def test_what_answers_and_is_no_sshd_holds_nobody_up(
    connect: Connect, banner: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with server.accept()[0] as client:
                client.sendall(banner)
                ended.wait(20)

        thread = threading.Thread(target=greet)
        thread.start()
        port = server.getsockname()[1]
        more = f"\nHost tarpit\n    HostName 127.0.0.1\n    Port {port}\n"
        with pytest.raises(UnreachableError, match=f"port {port}: something answers there"):
            connect(more=more, name="tarpit")
        ended.set()
        thread.join()
    assert capfd.readouterr().err == ""


def test_another_user_logs_in_and_becomes_the_one_who_releases(
    connect: Connect, host: Host, tmp_path: Path
) -> None:
    assert "sudo: a password is required" in connect(user="fapkit-login")
    sudoers = tmp_path / "sudoers"
    sudoers.write_text("Defaults use_pty\nfapkit-login ALL=(deploy) NOPASSWD: ALL\n")
    sudoers.chmod(0o440)
    enter = ["nsenter", "--target", str(host.pid), "--mount", "--"]
    subprocess.run([*enter, "mount", "--bind", sudoers, "/etc/sudoers"], check=True)
    assert connect(user="fapkit-login") == "deploy\n0022\n/home/deploy\n"
