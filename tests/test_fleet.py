"""The hosts that other tests rely on are real, distinct and gone afterwards."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from tests.parts.fleet import Host, fleet, make_key, wait_until
from tests.parts.supervisord import supervisord_in, supervisord_on

pytestmark = pytest.mark.fleet

PROGRAM = """\
[program:sleeper]
command=/bin/sleep 1000
startsecs=1
stopasgroup=true
killasgroup=true
"""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    with fleet(tmp_path_factory.mktemp("fleet"), 2) as started:
        yield started


def ssh(host: Host, command: str) -> subprocess.CompletedProcess[str]:
    argv = ["ssh", "-n", "-F", str(host.ssh_config), "-o", "BatchMode=yes", host.name, command]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_ssh_logs_in_as_deploy_at_home(hosts: list[Host]) -> None:
    done = ssh(hosts[0], "id -un; pwd; echo $PATH")
    assert done.stdout.splitlines() == [
        "deploy",
        "/home/deploy",
        "/home/deploy/bin:/usr/local/bin:/usr/bin:/bin",
    ], done.stderr


def test_the_same_path_is_another_folder_on_each_host(hosts: list[Host]) -> None:
    for host in hosts:
        assert ssh(host, f"echo {host.name} > /home/deploy/me").returncode == 0
    assert [host.path("/home/deploy/me").read_text() for host in hosts] == ["web1\n", "web2\n"]
    assert [ssh(host, "cat me").stdout for host in hosts] == ["web1\n", "web2\n"]
    assert list(Path("/home/deploy").iterdir()) == []


def test_a_path_that_hosts_share_is_refused(hosts: list[Host]) -> None:
    with pytest.raises(ValueError, match="all hosts share it"):
        hosts[0].path("/etc/passwd")


def test_run_needs_no_ssh_and_sees_what_a_login_sees(hosts: list[Host]) -> None:
    before = hosts[0].connections()
    done = hosts[0].run(["sh", "-c", 'echo "$USER $HOME $PATH"; pwd; cat'], stdin="said\n")
    assert done.stdout == ssh(hosts[0], 'echo "$USER $HOME $PATH"; pwd; echo said').stdout
    assert hosts[0].run(["id", "-u"], user="root").stdout == "0\n"
    assert hosts[0].connections() == before + 1


def test_connections_and_sessions_are_counted(hosts: list[Host]) -> None:
    host = hosts[1]
    before = host.connections(), host.exec_sessions()
    client = paramiko.SSHClient()
    client.load_host_keys(str(host.known_hosts))
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    options = paramiko.SSHConfig.from_path(str(host.ssh_config)).lookup(host.name)
    client.connect(
        options["hostname"],
        int(options["port"]),
        options["user"],
        key_filename=options["identityfile"],
        allow_agent=False,
        look_for_keys=False,
    )
    for _ in range(3):
        _, stdout, _ = client.exec_command("true")
        assert stdout.channel.recv_exit_status() == 0
    client.close()
    assert (host.connections() - before[0], host.exec_sessions() - before[1]) == (1, 3)


def test_a_host_key_that_changed_is_refused(hosts: list[Host], tmp_path: Path) -> None:
    host = hosts[0]
    stranger = make_key(tmp_path / "stranger", "stranger").with_suffix(".pub").read_text().split()
    known = tmp_path / "known_hosts"
    known.write_text(f"[{host.address}]:{host.port} {stranger[0]} {stranger[1]}\n")
    argv = ["ssh", "-n", "-F", str(host.ssh_config), "-o", f"UserKnownHostsFile={known}", host.name, "true"]
    before = host.exec_sessions()
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 255
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr
    assert host.exec_sessions() == before


def test_two_users_have_homes_of_their_own(tmp_path: Path) -> None:
    with fleet(tmp_path, 1, users=("deploy", "fapother")) as (host,):
        assert ssh(host, "touch mine").returncode == 0
        done = host.run(["sh", "-c", "touch theirs; pwd"], user="fapother")
        assert done.stdout == "/home/fapother\n"
        assert (host.root / "mine").exists()
        assert host.path("/home/fapother/theirs").exists()
        assert not (host.root / "theirs").exists()


def test_everything_on_a_host_ends_with_it_even_after_an_error(tmp_path: Path) -> None:
    sleepers: list[int] = []

    def a_test_that_fails() -> None:
        with fleet(tmp_path, 1) as (host,):
            assert ssh(host, "sleep 1234 >/dev/null 2>&1 </dev/null &").returncode == 0
            sleepers.extend(pid for pid in processes() if command_line(pid) == "sleep 1234")
            raise RuntimeError("it failed")

    with pytest.raises(RuntimeError, match="it failed"):
        a_test_that_fails()
    assert sleepers
    wait_until(lambda: not any(map(is_alive, sleepers)), "what ran on the host is gone", 5)
    assert list(Path("/home/deploy").iterdir()) == []


def test_twenty_hosts_start_in_three_seconds(tmp_path: Path) -> None:
    began = time.monotonic()
    with fleet(tmp_path, 20) as hosts:
        seconds = time.monotonic() - began
        assert len({(host.address, host.root) for host in hosts}) == 20
    assert seconds < 3


def test_supervisorctl_on_a_host_speaks_to_its_supervisord(hosts: list[Host]) -> None:
    with supervisord_on(hosts[0]) as supervisord:
        (supervisord.conf_d / "sleeper.conf").write_text(PROGRAM)
        assert "sleeper: added process group" in ssh(hosts[0], "supervisorctl update").stdout
        wait_until(lambda: "RUNNING" in supervisord.ctl("status").stdout, "sleeper runs", 10)
        pid = supervisord.ctl("pid", "sleeper").stdout.strip()
        assert hosts[0].run(["stat", "-c", "%U", f"/proc/{pid}"]).stdout == "deploy\n"
        inherited = hosts[0].run(["cat", f"/proc/{pid}/environ"]).stdout
        assert "PYTHONPATH" not in inherited
    assert not is_alive(supervisord.pid)
    assert hosts[0].run(["test", "-e", f"/proc/{pid}"]).returncode != 0


def test_supervisord_runs_on_this_machine_too(tmp_path: Path) -> None:
    with supervisord_in(tmp_path, include=str(tmp_path / "www/*/sleeper.conf")) as supervisord:
        (tmp_path / "www/shop").mkdir(parents=True)
        (tmp_path / "www/shop/sleeper.conf").write_text(PROGRAM)
        assert "sleeper: added process group" in supervisord.ctl("update").stdout
        wait_until(lambda: supervisord.ctl("status", "sleeper").returncode == 0, "sleeper runs", 10)
        pid = int(supervisord.ctl("pid", "sleeper").stdout)
    assert not is_alive(supervisord.pid)
    assert not is_alive(pid)
