"""Connecting to real sshds: keys, known hosts, configuration, jumps, and what answers but is no sshd.

Every way that paramiko can't go is gone by the system's ssh, so these tests are about both.
"""

import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest

from faprelease import transports
from faprelease.errors import ConfigError, UnreachableError
from faprelease.transports import ssh, ssh_config
from faprelease.transports.channel import Channel
from faprelease.transports.passwords import Passwords
from tests.parts.fleet import Host, fleet, make_key

pytestmark = pytest.mark.fleet

Connect = Callable[..., str]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    with fleet(tmp_path_factory.mktemp("ssh"), 3) as started:
        yield started


@pytest.fixture
def host(hosts: list[Host]) -> Host:
    return hosts[0]


@pytest.fixture(autouse=True)
def _no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def open_to(name: str, config: Path, connection: transports.Connection = "ssh") -> Channel:
    return transports.connect(
        name,
        "deploy",
        "deploy",
        connection=connection,
        config_file=config,
        passwords=Passwords(),
        seconds=1 if name == "tarpit" else 10,
    )


@pytest.fixture
def connect(host: Host, tmp_path: Path) -> Connect:
    """Connect by the fleet's configuration, with the pattern `old` replaced; what a command prints there."""

    def connected(
        old: str = "$^",
        new: str = "",
        more: str = "",
        first: str = "",
        name: str = "web1",
        connection: transports.Connection = "ssh",
        command: str = "id -un",
    ) -> str:
        config = tmp_path / "config"
        config.write_text(first + re.sub(old, new, host.ssh_config.read_text()) + more)
        channel = open_to(name, config, connection)
        try:
            channel.send(f"{command}\nexit\n".encode())
            said = b""
            while data := channel.receive(10):
                said += data
            return said.decode().removesuffix("\n")
        finally:
            channel.close()

    return connected


@contextmanager
def agent_with(folder: Path, monkeypatch: pytest.MonkeyPatch, *keys: Path) -> Iterator[None]:
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", folder / "agent"], stdout=subprocess.PIPE)
    assert agent.stdout is not None
    agent.stdout.readline()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(folder / "agent"))
    try:
        for key in keys:
            subprocess.run(["ssh-add", "-q", key], check=True)
        yield
    finally:
        agent.kill()
        agent.communicate()


def test_a_key_that_is_not_there_is_passed_over(connect: Connect) -> None:
    assert connect("    IdentityFile", "    IdentityFile ~/no/such/key\n    IdentityFile") == "deploy"


def test_an_encrypted_key_needs_an_agent_or_somebody_to_ask(
    connect: Connect, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    shutil.copy(host.key, key)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key], check=True)
    with pytest.raises(
        UnreachableError, match=rf"no agent has it: ssh-add {key} \(no ssh agent is running\)"
    ):
        connect("IdentityFile .*", f"IdentityFile {key}")
    with agent_with(tmp_path, monkeypatch, host.key):
        assert connect("IdentityFile .*", f"IdentityFile {key}") == "deploy"
    monkeypatch.delenv("SSH_AUTH_SOCK")
    asked: list[Path] = []
    monkeypatch.setattr(Passwords, "for_key", lambda _, path: asked.append(path) or "secret")
    assert connect("IdentityFile .*", f"IdentityFile {key}") == "deploy"
    assert asked == [key]


def test_of_an_agent_with_many_keys_the_named_one_comes_first(
    connect: Connect, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An sshd lets six be tried."""
    others = [make_key(tmp_path / f"other{number}", "other") for number in range(7)]
    public = tmp_path / "named.pub"
    public.write_text(host.key.with_suffix(".pub").read_text())
    with agent_with(tmp_path, monkeypatch, *others, host.key):
        named = f"IdentityFile {public}"
        assert connect("IdentityFile .*\n.*IdentitiesOnly yes", named) == "deploy"
        with pytest.raises(UnreachableError, match=r"web1: login as deploy@127\.\S+ failed: "):
            connect("IdentityFile .*\n.*IdentitiesOnly yes", "")
        with pytest.raises(UnreachableError, match="no key to log in with"):
            connect("IdentityFile .*", "IdentityFile ~/no/such/key")


def test_a_certificate_beside_the_key_lets_in(connect: Connect, host: Host, tmp_path: Path) -> None:
    authority, key = make_key(tmp_path / "authority", "ca"), make_key(tmp_path / "key", "certified")
    named = ("IdentityFile .*", f"IdentityFile {key}")
    with pytest.raises(UnreachableError, match=r"login as .* failed"):
        connect(*named)
    allowed = host.path("/home/deploy/.ssh/authorized_keys")
    before = allowed.read_text()
    try:
        allowed.write_text(f"cert-authority {authority.with_suffix('.pub').read_text()}")
        sign = ["ssh-keygen", "-q", "-s", authority, "-I", "ada", "-n", "deploy", "-V", "+1h", f"{key}.pub"]
        subprocess.run(sign, check=True)
        assert connect(*named) == "deploy"
        (tmp_path / "key-cert.pub").rename(tmp_path / "elsewhere-cert.pub")
        assert connect(named[0], f"{named[1]}\n    CertificateFile {tmp_path}/elsewhere-cert.pub") == "deploy"
    finally:
        allowed.write_text(before)


@pytest.mark.parametrize("line", ["\nHost web1\n    nonsense\n", "\nHost web1\n    Port many\n"])
def test_a_configuration_that_can_not_be_read_is_named(connect: Connect, line: str) -> None:
    with pytest.raises(ConfigError, match="config: can't read the settings of web1"):
        connect(" +Port .*\n", "", line)


def test_a_user_and_a_port_beside_the_host_win(connect: Connect, host: Host) -> None:
    """And deploy.yml's user wins over the configuration's, as in fapistrano."""
    right = f"deploy@{host.address}:{host.port}"
    named = f"Host {host.address}\n    User nobody\n    Port 9\n    IdentityFile {host.key}\n"
    named += f"    UserKnownHostsFile {host.known_hosts}\n"
    assert connect(first=named, name=right) == "deploy"
    assert connect(first=named, name=right, connection="openssh") == "deploy"
    with pytest.raises(UnreachableError, match="nobody@"):
        connect(name="nobody@web1")


def test_included_files_and_match_are_read_as_ssh_reads_them(
    connect: Connect, host: Host, tmp_path: Path
) -> None:
    included = tmp_path / "included"
    included.write_text(f"Host other\n    HostName {host.address}\n")
    more = f"\nMatch originalhost other exec true\n    Port {host.port}\n    IdentityFile {host.key}\n"
    more += f"    UserKnownHostsFile {host.known_hosts}\n"
    assert connect(first=f"Include {included}\n", more=more, name="other") == "deploy"


def test_a_proxy_command_is_left_to_the_system_ssh(connect: Connect) -> None:
    python = (
        "import socket, sys, os, threading; s = socket.create_connection((sys.argv[1], int(sys.argv[2])));"
    )
    python += (
        "t = threading.Thread(target=lambda: [os.write(1, d) for d in iter(lambda: s.recv(65536), b'')]);"
    )
    python += "t.start(); [s.sendall(d) for d in iter(lambda: os.read(0, 65536), b'')]"
    assert connect("Host web1\n", f'Host web1\n    ProxyCommand python3 -c "{python}" %h %p\n') == "deploy"


def test_several_jumps(connect: Connect, hosts: list[Host]) -> None:
    """To web1 from web3, and there from web2: as its own configuration says, or all in one line."""

    def came_by(*changes: str) -> list[int]:
        before = [each.connections() for each in hosts]
        assert connect(*changes) == "deploy"
        return [each.connections() - was for each, was in zip(hosts, before, strict=True)]

    by_web3 = "Host web1\n    ProxyJump web3\n"
    by_web2 = "\nHost web3\n    ProxyJump web2\n"
    assert came_by("Host web1\n", by_web3, by_web2) == [1, 1, 1]
    assert came_by("Host web1\n", "Host web1\n    ProxyJump web2,deploy@web3\n") == [1, 1, 1]
    assert came_by("^", "Host *\n    ProxyJump web2\n") == [1, 1, 0]
    with pytest.raises(ConfigError, match="ProxyJump is circular: web1 → web3 → web2 → web3"):
        connect("Host web1\n", by_web3, by_web2 + "\nHost web2\n    ProxyJump web3\n")


def test_all_hosts_behind_a_jump_host_share_one_connection_to_it(hosts: list[Host], tmp_path: Path) -> None:
    config = tmp_path / "config"
    blocks = "".join(f"Host web{number}\n    ProxyJump web3\n" for number in (1, 2))
    config.write_text(blocks + hosts[0].ssh_config.read_text())
    before = hosts[2].connections()
    for _again in range(2):
        with ThreadPoolExecutor(8) as threads:
            opened = list(threads.map(lambda name: open_to(name, config), ["web1", "web2"] * 4))
        for channel in opened:
            channel.send(b"id -un\n")
            assert channel.receive(10) == b"deploy\n"
            channel.close()
    assert hosts[2].connections() - before == 2


def test_a_jump_host_that_is_not_there_is_named(connect: Connect) -> None:
    with pytest.raises(UnreachableError, match=r"gone: can't connect to 127.9.9.9, port 9: "):
        connect(
            "Host web1\n",
            "Host web1\n    ProxyJump gone\n",
            "\nHost gone\n    HostName 127.9.9.9\n    Port 9\n",
        )
    with pytest.raises(UnreachableError, match=r"dead: can't connect to 127.9.9.9, port 9 from web2: "):
        connect(more="\nHost dead\n    HostName 127.9.9.9\n    Port 9\n    ProxyJump web2\n", name="dead")


def test_known_hosts_of_all_kinds(connect: Connect, host: Host, tmp_path: Path) -> None:
    """Hashed names, lines of authorities, and an older key of the same machine before the right one."""
    known = tmp_path / "known_hosts"
    own = host.known_hosts.read_text().splitlines()[0] + "\n"
    other = make_key(tmp_path / "other", "other").with_suffix(".pub").read_text().split()[1]
    old = f"{own.split()[0]} ssh-ed25519 {other}\n"
    changed = ("UserKnownHostsFile .*", f"UserKnownHostsFile {known}")
    known.write_text(old + own)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, stderr=subprocess.DEVNULL)
    known.write_text(f"@cert-authority *.example ssh-ed25519 {other}\n# note\n\n|1|no\n{known.read_text()}")
    assert connect(*changed) == "deploy"
    known.write_text(f"!{host.address},[127.*]:{host.port} {own.split(' ', 1)[1]}")
    assert connect(*changed) == "deploy"
    known.write_text(own + f"@revoked * {own.split()[1]} {own.split()[2]}\n")
    with pytest.raises(UnreachableError, match="was revoked"):
        connect(*changed)
    known.write_text(f"alias {own.split(' ', 1)[1]}")
    assert connect(changed[0], f"{changed[1]}\n    HostKeyAlias alias") == "deploy"


def test_the_lines_that_mend_a_host_key(connect: Connect, host: Host, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    mine = ("UserKnownHostsFile .*", f"UserKnownHostsFile {known}\n    GlobalKnownHostsFile none")
    known.write_text("")
    shown = subprocess.run(
        ["ssh-keygen", "-lf", host.log.parent / "host_key.pub"], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    with pytest.raises(
        UnreachableError, match=re.escape(f"unknown host key: ssh-ed25519 {shown}")
    ) as unknown:
        connect(*mine)
    subprocess.run(unknown.value.hint.partition("then: ")[2], shell=True, check=True, capture_output=True)
    assert connect(*mine) == "deploy"
    other = make_key(tmp_path / "other", "other").with_suffix(".pub").read_text().split()[1]
    known.write_text(f"[{host.address}]:{host.port} ssh-ed25519 {other}\n")
    with pytest.raises(UnreachableError, match="has changed, another machine may be answering") as changed:
        connect(*mine)
    with pytest.raises(UnreachableError, match="has changed: another machine may be answering"):
        connect(*mine, connection="openssh")
    subprocess.run(changed.value.hint.partition("then: ")[2], shell=True, check=True, capture_output=True)
    assert connect(*mine) == "deploy"
    known.write_text("")
    with pytest.raises(UnreachableError, match="unknown host key"):
        connect(*mine, connection="openssh")
    assert known.read_text() == ""


def test_a_host_that_only_an_authority_vouches_for_is_left_to_the_system_ssh(
    connect: Connect, host: Host, tmp_path: Path
) -> None:
    """The host has no certificate, so OpenSSH refuses it; that it was OpenSSH shows that it was asked."""
    known = tmp_path / "known_hosts"
    authority = make_key(tmp_path / "authority", "ca").with_suffix(".pub").read_text()
    known.write_text(f"@cert-authority * {authority}")
    with pytest.raises(UnreachableError, match="unknown host key") as refused:
        connect("UserKnownHostsFile .*", f"UserKnownHostsFile {known}\n    GlobalKnownHostsFile none")
    assert "ssh-keyscan" not in refused.value.hint


def test_a_host_with_a_certificate_needs_no_line_of_its_own(tmp_path: Path) -> None:
    """Only the authority is in known_hosts: the system's ssh is asked by itself, and is content."""
    with fleet(tmp_path / "fleet", 1) as (host,):
        authority, server = make_key(tmp_path / "authority", "ca"), host.machine.prepared
        sign = ["ssh-keygen", "-q", "-s", authority, "-I", "web1", "-h", "-n", host.address, "-V", "+1h"]
        subprocess.run([*sign, server.folder / "host_key.pub"], check=True)
        host.machine.cut_power()
        certificate = f"HostCertificate {server.folder / 'host_key-cert.pub'}\n"
        server.config.write_text(certificate + server.config.read_text())
        host.machine.start()
        host.machine.wait_until_ready()
        host.known_hosts.write_text(f"@cert-authority * {authority.with_suffix('.pub').read_text()}")
        channel = open_to("web1", host.ssh_config)
        channel.send(b"id -un\nexit\n")
        said = channel.receive(20)
        channel.close()
    assert said == b"deploy\n"


@pytest.mark.parametrize(("ciphers", "used"), [("", "aes128-gcm@openssh.com"), ("aes256-ctr", "aes256-ctr")])
def test_a_cipher_without_codes_is_preferred(tmp_path: Path, ciphers: str, used: str) -> None:
    with fleet(tmp_path / "fleet", 1) as (host,):
        if ciphers:
            host.machine.cut_power()
            config = host.machine.prepared.config
            config.write_text(f"Ciphers {ciphers}\n{config.read_text()}")
            host.machine.start()
            host.machine.wait_until_ready()
        server = ssh_config.look_up("web1", "deploy", host.ssh_config)
        session = ssh.connect(server, "deploy", passwords=Passwords(), seconds=10)
        assert isinstance(session, ssh._Session)
        assert session.connection.transport.remote_cipher == used
        session.send(b"id -un\nexit\n")
        assert session.receive(20) == b"deploy\n"
        session.close()


@contextmanager
def tarpit(greet: Callable[[socket.socket], None]) -> Iterator[str]:
    """A listening socket that answers as it likes, and then not at all; its block of a configuration."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as client:
                greet(client)
                ended.wait(20)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"\nHost tarpit\n    HostName 127.0.0.1\n    Port {server.getsockname()[1]}\n"
        finally:
            ended.set()
            thread.join()


@pytest.mark.parametrize("connection", ["ssh", "openssh"])
@pytest.mark.parametrize("banner", [b"", b"SSH-2.0-tarpit\r\n"])
def test_what_answers_and_is_no_sshd_holds_nobody_up(
    connect: Connect, banner: bytes, connection: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with tarpit(lambda client: client.sendall(banner)) as block:
        told = "the server there does not speak SSH|with the system's ssh"
        with pytest.raises(UnreachableError, match=f"tarpit: can't connect.*({told})"):
            connect(more=block, name="tarpit", connection=connection)
    assert capfd.readouterr().err == ""


class _Mute(paramiko.ServerInterface):
    """Lets everybody in, and never answers what is asked then."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        return self.ended.wait(20)


@pytest.mark.parametrize("connection", ["ssh", "openssh"])
def test_a_host_that_never_starts_a_shell_holds_nobody_up(
    connect: Connect, host: Host, connection: str, tmp_path: Path
) -> None:
    mute = _Mute()
    key = paramiko.Ed25519Key.from_private_key_file(str(make_key(tmp_path / "mute", "mute")))

    def serve(client: socket.socket) -> None:
        transport = paramiko.Transport(client)
        transport.add_server_key(key)
        transport.start_server(server=mute)
        mute.ended.wait(20)
        transport.close()

    known = tmp_path / "known"
    with tarpit(serve) as block:
        port = block.split()[-1]
        known.write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
        block += f"    UserKnownHostsFile {known}\n    IdentityFile {host.key}\n    IdentitiesOnly yes\n"
        with pytest.raises(UnreachableError, match=r"tarpit: can't connect.*(no answer|sent nothing)"):
            connect(more=block, name="tarpit", connection=connection)
        mute.ended.set()
