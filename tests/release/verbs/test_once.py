"""Admin processes on real hosts: their environment, exit codes, signals, terminal, and what is recorded."""

import json
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.fleet import wait_until
from tests.parts.fleet_site import FleetSite, builds, hosts, site
from tests.parts.repository import ROOT

__all__ = ["builds", "hosts", "site"]
pytestmark = pytest.mark.fleet

VENV = b"""\
mkdir -p venv/bin
printf '#!/bin/sh\\necho tool of the venv: "$@"\\n' >venv/bin/tool
chmod +x venv/bin/tool
"""


def ledger(site: FleetSite) -> list[dict[str, object]]:
    text = site.hosts[0].path("/home/deploy/www/shop/.fap/ledger.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def restricted(site: FleetSite) -> Iterator[None]:
    """The key may log in and do nothing else, as docs/how-to/access.md has it."""
    files = [host.path("/home/deploy/.ssh/authorized_keys") for host in site.hosts]
    before = [file.read_text() for file in files]
    for file, text in zip(files, before, strict=True):
        file.write_text(f"restrict {text}")
    yield
    for file, text in zip(files, before, strict=True):
        file.write_text(text)


@pytest.mark.usefixtures("restricted")
def test_a_command_that_changes_its_release_is_told_and_status_verifies(site: FleetSite) -> None:
    site.configure()
    assert site.release(site.add("1", install_sh=VENV)).returncode == 0
    assert site.run("status", "production", "--verify").returncode == 0
    done = site.run("once", "production", "web", "--command", "chmod u+w app.py && echo '#' >>app.py")
    assert done.returncode == 3, done.stderr
    assert "files of the release have changed since it was installed" in done.stderr
    assert "./app.py" in done.stderr
    seen = site.run("status", "production", "--verify")
    assert seen.returncode == 3
    assert "changed since the release:\n  app.py\n" in seen.stderr
    rows = [
        json.loads(line)
        for line in site.run("status", "production", "--verify", "--json").stdout.splitlines()
    ]
    assert [row["changed"] for row in rows].count(["app.py"]) == 1
    assert site.run("status", "production").returncode == 0
    examined = site.run("doctor", "production", "--json")
    assert examined.returncode == 1, examined.stderr
    found = {(one["check"], one["says"]): len(one["hosts"]) for one in json.loads(examined.stdout)}
    assert found["VI processes", "1 files of the live release changed: app.py"] == 1
    assert (
        found["VI processes", "no file of the live release changed since its install"] == len(site.hosts) - 1
    )
    assert found["clock", "agrees with this machine's clock"] == len(site.hosts)


def trials(site: FleetSite) -> list[str]:
    folder = site.hosts[0].path("/home/deploy/www/shop/.once")
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def snapshot(site: FleetSite) -> dict[str, object]:
    """What is in the app's folder on the first host, but for its ledger and the folders that were touched."""
    root = site.hosts[0].path("/home/deploy/www/shop")
    return {
        str(path): ((found := path.lstat()).st_ino, found.st_mode, found.st_size, found.st_ctime_ns)
        for part in ("releases", "current", ".fap/releases", ".fap/rollout.jsonl", ".fap/envs")
        for path in (root / part, *(root / part).rglob("*"))
        if path.is_symlink() or path.exists()
    }


def test_a_command_runs_in_a_release_of_its_own_that_goes_again(site: FleetSite) -> None:
    more = "environment: {WORD: hello}\nlinked_files: [note]\nplugins: [tests.parts.plugins]\n"
    site.configure(more + "fail_at: updated\npreflight: exit 9\nkeep_releases: 1")
    url = site.add("2", install_sh=VENV)
    words = ("once", "--curl-url", url, "production", "web")
    refused = site.run(*words, "--command", "true")
    assert (refused.returncode, "linked files are missing" in refused.stderr) == (1, True), refused.stderr
    for host in site.hosts:
        host.run(["mkdir", "-p", "www/shop/shared"], check=True)
        host.run(["touch", "www/shop/shared/note"], check=True)
    site.configure(more)
    assert site.release(site.add("1", install_sh=VENV)).returncode == 0
    site.configure(more + "fail_at: updated\npreflight: exit 9\nkeep_releases: 1")
    before = snapshot(site)
    done = site.run(*words, "--command", 'cat app.py; echo "$WORD"; tool x; echo on >note; pwd; exit 7')
    assert done.returncode == 7, done.stderr
    *said, folder = done.stdout.splitlines()
    assert said == ["VERSION = '2'", "hello", "tool of the venv: x"]
    assert folder.startswith("/home/deploy/www/shop/.once/")
    assert trials(site) == []
    assert snapshot(site) == before
    assert site.hosts[0].path("/home/deploy/www/shop/shared/note").read_text() == "on\n"
    last = ledger(site)[-1]
    assert (last["event"], last["code"], last["command"]) == ("once", 7, "cat")
    assert isinstance(last["artifact"], dict)
    assert last["artifact"]["version"] == "2"
    wrong = site.run(*words, "--curl-sha256", "0" * 64, "--", "true")
    assert wrong.returncode == 6, wrong.stderr
    failing = site.add("3", install_sh=b"echo no compiler; exit 1\n")
    failed = site.run("once", "--curl-url", failing, "production", "web", "--", "true")
    assert failed.returncode == 1
    assert "install, contained failed (exit 1), and the command was not run:" in failed.stderr
    assert "no compiler" in failed.stderr
    assert trials(site) == []
    assert snapshot(site) == before
    for flags in (["--everywhere"], ["--release", "261122-120000"]):
        assert site.run(*words, *flags, "--", "true").returncode == 2
    assert site.run("once", "--keep", "production", "web", "--", "true").returncode == 2


def test_a_release_of_its_own_is_kept_if_asked_and_can_be_removed(site: FleetSite) -> None:
    url = site.add("2", install_sh=VENV)
    words = ("once", "--curl-url", url, "production", "web")
    done = site.run(*words, "--keep", "--on", "web1", "--", "pwd")
    assert done.returncode == 0, done.stderr
    assert f"kept: {done.stdout}" in done.stderr
    assert site.run(*words, "--", "true").returncode == 0
    assert site.release(url).returncode == 0
    (kept,) = trials(site)
    line = done.stderr.splitlines()[-1]
    assert line.startswith("to remove it, on web1 as deploy: ")
    site.hosts[0].run(["sh", "-c", line.partition(" as deploy: ")[2]], check=True)
    assert kept in line
    assert trials(site) == []
    assert site.version(site.hosts[0]) == "2"


def test_ctrl_c_while_it_is_prepared_removes_it(site: FleetSite) -> None:
    url = site.add("2", install_sh=VENV)
    process = site.start("once", "--curl-url", url, "production", "web", "--", "echo", "run")
    assert process.stderr is not None
    while "preparing a separate release" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert trials(site) == []


@pytest.mark.parametrize("then", ["once", "release"])
def test_what_a_killed_run_left_goes_with_the_next(site: FleetSite, then: str) -> None:
    url = site.add("2", install_sh=VENV)
    words = ("once", "--curl-url", url, "production", "web", "--command")
    process = site.start(*words, "echo begun; while :; do sleep 0.1; done")
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    assert site.run(*words, "pwd").returncode == 0
    assert len(trials(site)) == 2, "another run leaves alone what is in use"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    process.communicate(timeout=30)
    (left,) = {name.removesuffix(".holder") for name in trials(site)}

    def is_gone() -> bool:
        done = site.run(*words, "true") if then == "once" else site.release(url)
        assert done.returncode == 0, done.stderr
        return trials(site) == []

    wait_until(is_gone, f"{left} is removed", 40)


def test_a_command_runs_once_in_the_live_release(site: FleetSite) -> None:
    site.configure("environment: {WORD: 'it''s & a b'}")
    assert site.release(site.add("1", install_sh=VENV)).returncode == 0
    assert site.release(site.add("2", install_sh=VENV)).returncode == 0
    line = 'SECRET=x; echo "$WORD"; cat app.py; id -un; tool x; basename "$VIRTUAL_ENV"; echo err >&2; exit 7'
    done = site.run("once", "production", "web", "--command", line)
    assert done.returncode == 7, done.stderr
    assert done.stdout == "it's & a b\nVERSION = '2'\ndeploy\ntool of the venv: x\nvenv\n"
    assert done.stderr.endswith("err\n")
    last = ledger(site)[-1]
    assert (last["event"], last["code"], last["who"], last["command"]) == ("once", 7, "ada@ci", "echo")
    words = site.run("once", "production", "web", "--on", "web2", "--", "tool", "--flag", "a b", "$HOME;")
    assert words.stdout == "tool of the venv: --flag a b $HOME;\n"
    assert len(ledger(site)) == 3
    older = str(ledger(site)[0]["release"])
    done = site.run("once", "production", "web", "--release", older, "--everywhere", "--", "cat", "app.py")
    assert done.stdout == "VERSION = '1'\n" * 3
    assert site.run("once", "production", "web", "--on", "db1", "--", "true").returncode == 2
    assert site.run("once", "production", "--", "true").returncode == 2
    assert not list(site.hosts[0].path("/home/deploy/www/shop/.fap/once").iterdir())


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "INT"), (signal.SIGTERM, "TERM")])
def test_a_signal_reaches_the_command_and_its_exit_code_comes_back(
    site: FleetSite, number: signal.Signals, name: str
) -> None:
    assert site.release(site.add("1")).returncode == 0
    script = f"trap 'echo got {name}; exit 9' {name}; echo begun; while :; do sleep 0.1; done"
    process = site.start("once", "production", "web", "--command", script)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (9, f"got {name}\n"), err


def test_a_connection_that_is_cut_hangs_the_command_up(site: FleetSite) -> None:
    assert site.release(site.add("1")).returncode == 0
    # A shell whose child is killed says so, which would end it: nobody reads its complaints any more.
    script = "exec 2>/dev/null; trap 'touch ~/hung-up; exit' HUP; echo begun; while :; do sleep 0.1; done"
    process = site.start("once", "production", "web", "--command", script)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    process.communicate(timeout=30)
    hung_up = site.hosts[0].path("/home/deploy/hung-up")
    wait_until(hung_up.exists, "the command is told", 20)
    hung_up.unlink()


def test_a_terminal_is_passed_through(site: FleetSite, monkeypatch: pytest.MonkeyPatch) -> None:
    assert site.release(site.add("1")).returncode == 0
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from faprelease.cli import main; main()"
    argv = [sys.executable, "-c", code, str(ROOT), "shell", "production", "web"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(site.folder)
        environment = {"HOME": str(site.home), "PATH": "/usr/bin:/bin", "TERM": "dumb", "FAP_WHO": "ada@ci"}
        os.execve(argv[0], argv, environment)
    said = b""

    def hear(word: bytes) -> bytes:
        nonlocal said
        ends = time.monotonic() + 30
        while word not in said and time.monotonic() < ends:
            if select.select([terminal], [], [], 0.1)[0]:
                said += os.read(terminal, 65536)
        assert word in said, said
        return said

    hear(b"$ ")
    os.write(terminal, b"test -t 0 && cat app.py && sh -c 'echo asleep; exec sleep 30'\n")
    hear(b"VERSION = '1'")
    hear(b"asleep\r\n")
    os.write(terminal, b"\x03")
    os.write(terminal, b"echo still $((6 * 7)); exit 5\n")
    hear(b"still 42")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    last = ledger(site)[-1]
    assert (last["event"], last["code"], last["command"]) == ("shell", 5, "shell")


def test_a_restart_goes_batch_by_batch_and_stops_where_it_fails(site: FleetSite) -> None:
    more = "plugins: [tests.parts.plugins]\nbatch: 1\npublished_script: cd; date >>restarts"
    site.configure(more)
    assert site.release(site.add("1")).returncode == 0
    done = site.run("restart", "production", "web")
    assert done.returncode == 0, done.stderr
    assert [line["event"] for line in ledger(site)] == ["released", "restarted"]
    site.configure(f"{more}\nfail_at: checking\nfail_on: web2")
    done = site.run("restart", "production", "web")
    assert done.returncode == 3, done.stderr
    assert "not restarted: web3 (web)" in done.stderr
    counts = [host.run(["wc", "-l", "restarts"]).stdout.split()[0] for host in site.hosts]
    assert counts == ["3", "3", "2"]
    assert site.versions() == ["1", "1", "1"]
    for host in site.hosts:
        host.run(["rm", "-f", "restarts"])
    site.configure()
    done = site.run("restart", "production", "web")
    assert done.returncode == 2
    assert "no plugin restarts anything" in done.stderr
