"""Hosts whose logins are odd: each ends with its own words, and leaves the fleet as it was.

A login shell belongs to the machine, which all hosts of a fleet share. So a forced command in authorized_keys
takes its place: the same program, started by a real sshd.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.parts.fleet import Host, make_key
from tests.parts.fleet_site import FleetSite, builds, hosts, site

__all__ = ["builds", "hosts", "site"]

pytestmark = pytest.mark.fleet
RUN = 'eval "$SSH_ORIGINAL_COMMAND"'


@contextmanager
def shell(host: Host, command: str) -> Iterator[None]:
    """Logins of deploy run this command."""
    file = host.path("/home/deploy/.ssh/authorized_keys")
    before = file.read_text()
    quoted = command.replace('"', '\\"')
    file.write_text(f'command="{quoted}" {before}')
    try:
        yield
    finally:
        file.write_text(before)


SHELLS = {
    "nologin": ("/usr/sbin/nologin", "This account is currently not available"),
    "false": ("/bin/false", "it printed nothing"),
    "sftp only": ("internal-sftp", ""),
    "restricted": (f"bash --restricted -c '{RUN}'", "restricted"),
    "a bashrc that ends": (f"exit 3; {RUN}", "it printed nothing"),
    "a bashrc that reads": (f"read -r line; cat >/dev/null; {RUN}", ""),
    "another shell": ("exec cat", ""),
}


@pytest.mark.parametrize(("command", "printed"), SHELLS.values(), ids=SHELLS.keys())
def test_a_login_that_runs_no_commands_is_explained(site: FleetSite, command: str, printed: str) -> None:
    url = site.add("1")
    with shell(site.hosts[1], command):
        done = site.run("release", "--curl-url", url, "production", main="tests.parts.impatient")
    assert done.returncode == 7, done.stderr
    assert "web2: the login runs no commands: " in done.stderr
    assert printed in done.stderr
    assert "try: ssh deploy@web2 'echo ok'" in done.stderr
    assert "getent passwd deploy" in done.stderr
    assert "fap_" not in done.stderr
    assert site.versions() == ["", "", ""]
    assert not site.locked()


def test_a_bashrc_that_prints_is_no_problem(site: FleetSite) -> None:
    with shell(site.hosts[1], f"echo Welcome; printf 'no newline'; {RUN}"):
        done = site.release(site.add("1"))
    assert done.returncode == 0, done.stderr
    assert site.versions() == ["1", "1", "1"]


def test_a_limit_of_open_files_is_named(site: FleetSite) -> None:
    with shell(site.hosts[1], f"ulimit -n 20; {RUN}"):
        done = site.release(site.add("1"))
    assert done.returncode == 7, done.stderr
    assert "this user may open only 20 files here (ulimit -n)" in done.stderr


def test_one_machine_under_two_names_is_named(site: FleetSite) -> None:
    config = site.home / ".ssh/config"
    config.write_text(config.read_text().replace("Host web1\n", "Host web1 alias\n"))
    site.configure(roles="    web: {hosts: [web1, alias]}\n")
    done = site.release(site.add("1"), "--lock-wait", "20")
    assert done.returncode == 2, done.stderr
    assert "is the same folder as on" in done.stderr
    assert "both are one machine, or share a disk" in done.stderr
    assert not site.locked()


def test_the_user_of_ssh_config_logs_in(site: FleetSite) -> None:
    config = site.home / ".ssh/config"
    site.configure("sudo_user: deploy")
    text = config.read_text()
    assert "User" not in text or "deploy" in text
    config.write_text(f"Host web2\n  User nobody9\n{text}")
    done = site.release(site.add("1"))
    assert done.returncode == 7, done.stderr
    assert "login as nobody9@" in done.stderr
    site.configure("user: deploy")
    assert site.release(site.add("1")).returncode == 0


@contextmanager
def sshd_with(host: Host, line: str) -> Iterator[None]:
    """Its sshd has one more line of configuration."""
    file = host.machine.prepared.config
    before = file.read_text()

    def reload(text: str) -> None:
        file.write_text(text)
        host.machine.cut_power()
        host.machine.start()
        host.machine.wait_until_ready()

    reload(f"{line}\n{before}")
    try:
        yield
    finally:
        reload(before)


def test_an_sshd_that_opens_no_session_is_explained(site: FleetSite) -> None:
    with sshd_with(site.hosts[1], "MaxSessions 0"):
        done = site.release(site.add("1"))
    assert done.returncode == 7, done.stderr
    assert "the server logs in, and opens no session: MaxSessions" in done.stderr


def test_too_many_keys_are_explained(site: FleetSite, tmp_path: Path) -> None:
    config = site.home / ".ssh/config"
    names = [f"wrong{number}" for number in range(3)]
    for name in names:
        make_key(tmp_path / name, name)
    lines = "".join(f"  IdentityFile {tmp_path / name}\n" for name in names)
    config.write_text(f"Host web2\n{lines}{config.read_text()}")
    with sshd_with(site.hosts[1], "MaxAuthTries 2"):
        done = site.release(site.add("1"))
    assert done.returncode == 7, done.stderr
    assert "(MaxAuthTries there)" in done.stderr
    assert "IdentitiesOnly yes" in done.stderr
