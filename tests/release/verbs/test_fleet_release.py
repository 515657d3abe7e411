"""Releases over ssh to three real hosts: one connection each, all or none, and no secret told."""

import json
import re
import shutil
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path

import pytest

from faprelease.errors import FrozenError
from faprelease.report.report import Report
from faprelease.request import Request
from faprelease.run import connections
from faprelease.run.parallel import MOST_THREADS
from faprelease.run.run import Run
from tests.parts.fleet import Host, wait_until
from tests.parts.fleet_site import FleetSite, builds, hosts, site
from tests.parts.long_sleep import is_running, long_sleep
from tests.parts.repository import ROOT

__all__ = ["builds", "hosts", "site"]
pytestmark = pytest.mark.fleet

SECRET = "s3cr3t-w0rd&a=%2Fx+y$(touch${IFS}never)`id`;'\"[1-3]{a,b}"
QUERY = "X-Sig=a%2Fb%2Bc+d&Expires=60&word=$(touch%20never)&list=[1-3]{a,b}&key=hunter22hunter22"


def test_one_connection_and_one_session_a_host_for_all_its_roles(site: FleetSite) -> None:
    path = 'path: "/home/deploy/www/%(app_name)s-%(role)s"'
    roles = "    web: {hosts: [web1, web2, web3]}\n    worker: {hosts: [web1, web2]}\n"
    site.configure(path, roles)
    before = [(host.connections(), host.exec_sessions()) for host in site.hosts]
    done = site.release(site.add("1"))
    assert done.returncode == 0, done.stderr
    after = [(host.connections(), host.exec_sessions()) for host in site.hosts]
    assert [(c - b, d - e) for (b, e), (c, d) in zip(before, after, strict=True)] == [(1, 1)] * 3
    assert site.versions("shop-web") == ["1", "1", "1"]
    assert site.versions("shop-worker") == ["1", "1", ""]
    assert done.stdout == ""


def test_release_roll_back_and_status(site: FleetSite) -> None:
    for version in ("1", "2"):
        done = site.release(site.add(version), "web")
        assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in site.run("status", "--json", "production").stdout.splitlines()]
    assert [(row["host"], row["version"], row["state"]) for row in rows] == [
        (f"web{number}", "2", "live") for number in (1, 2, 3)
    ]
    assert site.run("rollback", "production", "web").returncode == 0
    assert site.versions() == ["1", "1", "1"]


@pytest.mark.parametrize("ends", ["", "exit 3\n"])
def test_what_an_installer_left_where_nobody_may_write_is_in_nobodys_way(site: FleetSite, ends: str) -> None:
    left = 'mkdir -p "$TMPDIR/a/b" && chmod 555 "$TMPDIR/a"\n'
    done = site.release(site.add("1", install_sh=f"{left}{ends}".encode()))
    assert done.returncode == (1 if ends else 0), done.stderr
    assert not [
        host.name for host in site.hosts if host.path(host.home / "www/shop/.fap/install.tmp").exists()
    ]
    assert site.release(site.add("2")).returncode == 0
    assert site.versions() == ["2", "2", "2"]


def test_a_host_that_can_not_install_keeps_all_from_publishing(site: FleetSite) -> None:
    assert site.release(site.add("1")).returncode == 0
    script = b"[ ! -e ../../shared/full ] || exit 3\n"
    site.hosts[1].run(["touch", "www/shop/shared/full"], check=True)
    done = site.release(site.add("2", install_sh=script))
    site.hosts[1].run(["rm", "www/shop/shared/full"], check=True)
    assert done.returncode == 1, done.stderr
    assert "web2 (web), updated: install" in done.stderr
    assert "web1 (web), updated" not in done.stderr
    assert site.versions() == ["1", "1", "1"]
    assert not site.locked()


@pytest.mark.parametrize("first", [True, False])
def test_a_host_that_fails_after_the_swap_takes_all_back(site: FleetSite, first: bool) -> None:
    if not first:
        assert site.release(site.add("1")).returncode == 0
    site.configure("plugins: [tests.parts.plugins]\nfail_at: published\nfail_on: web3")
    done = site.release(site.add("2"))
    assert done.returncode == 4, done.stderr
    assert "every host runs its old release again" in done.stderr
    assert site.versions() == [""] * 3 if first else ["1"] * 3
    assert not site.locked()


@pytest.mark.parametrize("bound", ["", "--curl-sha256"])
def test_hosts_that_get_other_bytes_publish_nothing(site: FleetSite, bound: str) -> None:
    url = site.add("1")
    (right,) = site.builds.bodies["/1.tgz"]
    site.add("2")
    site.builds.bodies["/1.tgz"] = [right, *site.builds.bodies["/2.tgz"]]
    done = site.release(url, *([bound, sha256(right).hexdigest()] if bound else []))
    assert done.returncode == 6, done.stderr
    assert site.versions() == ["", "", ""]
    assert not site.locked()


def test_a_dead_host_changes_nothing(site: FleetSite) -> None:
    assert site.release(site.add("1")).returncode == 0
    with (site.home / ".ssh/config").open("a") as config:
        config.write("\nHost dead\n    HostName 127.9.9.9\n    Port 9\n")
    site.configure(roles="    web: {hosts: [web1, dead, web2]}\n")
    done = site.release(site.add("2"))
    assert done.returncode == 7, done.stderr
    assert "dead: can't connect to 127.9.9.9, port 9" in done.stderr
    assert "hint" in done.stderr
    assert site.versions() == ["1", "1", "1"]
    assert not site.locked()


def test_hosts_whose_sh_is_bash_or_busybox(site: FleetSite) -> None:
    sh = str(Path("/bin/sh").resolve())
    shells = [(site.hosts[1], "bash"), (site.hosts[2], "busybox")]
    for host, shell in shells:
        _mount(host, "mount", "--bind", str(Path(shutil.which(shell) or shell).resolve()), sh)
    try:
        assert site.hosts[1].run(["sh", "-c", "echo $BASH_VERSION"]).stdout.strip()
        site.configure("environment: {A: it's}\nlinked_dirs: [log, a b]\nkeep_releases: 1")
        for version in ("1", "2", "3"):
            done = site.release(site.add(version))
            assert done.returncode == 0, done.stderr
        done = site.release(site.add("4", install_sh=b"echo no >&2; exit 4\n"))
        assert done.returncode == 1
        assert (
            "3 hosts (web1 (web), web2 (web), web3 (web)), updated: install, contained: exit 4\n    no\n"
            in (done.stderr)
        )
        assert site.run("rollback", "production").returncode == 0
        assert site.versions() == ["2", "2", "2"]
        assert not site.locked()
    finally:
        for host, _ in shells:
            _mount(host, "umount", "--lazy", sh)


def _mount(host: Host, *argv: str) -> None:
    """Mount or unmount something for one host alone."""
    subprocess.run(["nsenter", "--target", str(host.pid), "--mount", "--pid", "--", *argv], check=True)


def test_a_folder_that_can_not_be_made_is_told_with_the_line_that_makes_it(site: FleetSite) -> None:
    site.configure("path: /srv/fapkit-nobody/shop")
    done = site.release(site.add("1"))
    assert done.returncode == 1, done.stderr
    assert "web1 (web): mkdir: cannot create directory" in done.stderr
    assert "on web1: sudo install -d -o deploy /srv/fapkit-nobody/shop" in done.stderr


def test_many_hosts_more_than_threads(site: FleetSite) -> None:
    """Names enough that some wait for others: nobody waits for ever, and they are named as one machine."""
    hosts = {f"n{number}": site.hosts[number % 3] for number in range(MOST_THREADS + 6)}
    with (site.home / ".ssh/config").open("a") as config:
        for name, host in hosts.items():
            entry = host.ssh_config.read_text().split("Host ")[1 + site.hosts.index(host)]
            config.write(f"\nHost {name}\n" + entry.partition("\n")[2])
    done = site.run("status", "--hosts", ",".join(hosts), "production")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1 + len(hosts)
    done = site.release(site.add("1"), "--hosts", ",".join(hosts))
    assert done.returncode == 2, done.stderr
    assert "is the same folder as on" in done.stderr
    assert not site.locked()


def test_an_unknown_host_key_is_refused_with_the_line_that_scans_it(site: FleetSite) -> None:
    config = site.home / ".ssh/config"
    known = site.home / "known_hosts"
    known.write_text("")
    config.write_text(re.sub("UserKnownHostsFile .*", f"UserKnownHostsFile {known}", config.read_text()))
    done = site.release(site.add("1"))
    assert done.returncode == 7, done.stderr
    assert re.search(rf"ssh-keyscan -p 2222 127\.\S+ >> {known}", done.stderr)
    other = site.hosts[1]
    key = Path(other.known_hosts).read_text().splitlines()[1].split(maxsplit=1)[1]
    known.write_text("".join(f"[{host.address}]:{host.port} {key}\n" for host in site.hosts))
    done = site.release(site.add("1"), "--hosts", "web1")
    assert done.returncode == 7, done.stderr
    assert "another machine may be answering" in done.stderr


def test_of_two_releases_at_once_one_wins_and_the_other_names_it(site: FleetSite) -> None:
    assert site.release(site.add("1")).returncode == 0
    hold = site.hosts[0].path("/home/deploy/www/shop/shared/hold")
    hold.touch()
    slow = site.add("2", install_sh=b"touch begun; while [ -e ../../shared/hold ]; do sleep 0.1; done\n")
    first = site.start("release", "--curl-url", slow, "production")
    releases = site.hosts[0].path("/home/deploy/www/shop/releases")
    wait_until(lambda: any(releases.glob("*/begun")), "the first one installs", 20)
    second = site.release(site.add("3"))
    hold.unlink()
    assert second.returncode == 5, second.stderr
    assert "ada@ci" in second.stderr
    assert first.wait(30) == 0
    first.communicate()
    assert site.versions() == ["2", "2", "2"]
    assert not site.locked()


def test_who_has_the_first_host_insists_on_the_others_for_a_moment(site: FleetSite) -> None:
    assert site.release(site.add("1")).returncode == 0
    slow = site.add("2", install_sh=b"touch begun; sleep 1\n")
    other = site.start("release", "--curl-url", slow, "production", "--hosts", "web2")
    releases = site.hosts[1].path("/home/deploy/www/shop/releases")
    wait_until(lambda: any(releases.glob("*/begun")), "the other run installs", 20)
    done = site.release(site.add("3"))
    assert done.returncode == 0, done.stderr
    assert other.wait(30) == 0
    other.communicate()
    assert site.versions() == ["3", "3", "3"]


def test_a_freeze_of_one_host_alone_is_told_at_once(site: FleetSite, monkeypatch: pytest.MonkeyPatch) -> None:
    assert site.release(site.add("1")).returncode == 0
    frozen = '{"who":"ada","at":"noon","why":"sale"}'
    site.hosts[1].run(["tee", "www/shop/.fap/frozen"], stdin=f"{frozen}\n", check=True)
    monkeypatch.setenv("HOME", str(site.home))
    retried: list[object] = []

    def retry(*asked: object) -> dict[str, object]:
        retried.append(asked)
        return {}

    monkeypatch.setattr(connections.Connections, "_retry_lock", retry)
    request = Request(
        file=site.folder / "deploy.yml", stage="production", role="web", flags={"curl_url": site.add("2")}
    )
    run = Run.of(request, "release", Report())
    with pytest.raises(FrozenError, match="frozen by ada"), run.connect(lock=True):
        pass
    assert not retried
    assert not site.locked()


def test_of_two_that_start_together_exactly_one_wins(site: FleetSite) -> None:
    urls = [site.add("1", install_sh=b"sleep 1\n"), site.add("2", install_sh=b"sleep 1\n")]
    processes = [site.start("release", "--curl-url", url, "production") for url in urls]
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 5], said
    assert len(set(site.versions())) == 1


def test_secrets_arrive_unharmed_and_show_nowhere(site: FleetSite) -> None:
    site.configure("environment: " + json.dumps({"SECRET": SECRET.replace("%", "%%")}) + "\nkeep_releases: 2")
    path = site.add("1", install_sh=b'cat .env; . ./.env; echo "$SECRET"; sleep 1\n')
    seen: list[str] = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(0.01):
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.append(process.read_bytes().decode(errors="replace"))
                except OSError:
                    continue

    watcher = threading.Thread(target=sample)
    (site.folder / "url").write_text(f"{path}?{QUERY}\n")
    watcher.start()
    code = "import os, sys; sys.path.insert(0, sys.argv.pop(1)); from faprelease.cli import main; main()"
    with (site.folder / "url").open() as stdin:
        done = subprocess.run(
            [sys.executable, "-c", code, str(ROOT), "-v", "--curl-url", "-", "production", "web"],
            cwd=site.folder,
            env={"HOME": str(site.home), "PATH": "/usr/bin:/bin"},
            stdin=stdin,
            capture_output=True,
            text=True,
        )
    ended.set()
    watcher.join()
    assert done.returncode == 0, done.stderr
    assert site.builds.asked[-3:] == [f"/1.tgz?{QUERY}"] * 3
    word = SECRET[:12]
    assert seen
    for said in (done.stdout, done.stderr, *seen):
        for secret in (word, "hunter22", "X-Sig"):
            assert secret not in said
    assert "install, contained" in done.stderr
    for host in site.hosts:
        shown = host.run(["sh", "-c", '. www/shop/current/.env; printf %s "$SECRET"'])
        assert shown.stdout == SECRET
        readable = [
            "find",
            "www",
            "-type",
            "f",
            "-perm",
            "/044",
            "-exec",
            "grep",
            "-l",
            "-e",
            word,
            "-e",
            "hunter22",
            "{}",
            "+",
        ]
        assert host.run(readable).stdout == ""
        assert host.run(["find", "/home/deploy", "-name", "never"]).stdout == ""
    plan = site.run("release", "--dry-run", "-v", "--curl-url", f"{path}?{QUERY}", "production")
    assert plan.returncode == 0, plan.stderr
    assert "SECRET=***" in plan.stdout
    for secret in (word, "hunter22", "X-Sig"):
        assert secret not in plan.stdout + plan.stderr


def test_a_program_that_shows_its_environment_when_it_dies_is_masked(site: FleetSite) -> None:
    script = "cat /home/deploy/www/shop/current/.env; exit 1"
    site.configure(
        f"environment: {{WORD: hunter22}}\nplugins: [tests.parts.plugins]\npublished_script: '{script}'"
    )
    done = site.release(site.add("1"), "-v")
    assert done.returncode == 4, done.stderr
    assert "hunter22" not in done.stderr
    assert "WORD=***" in done.stderr


def test_a_connection_cut_while_publishing_is_opened_again_and_all_go_back(site: FleetSite) -> None:
    assert site.release(site.add("1")).returncode == 0
    script = 'cd; [ ! -e cut ] || { rm cut; ps -o ppid= -p "$FAP_SESSION" | xargs kill; sleep 30; }'
    site.hosts[1].run(["touch", "cut"], check=True)
    site.configure(f"plugins: [tests.parts.plugins]\npublished_script: {json.dumps(script)}")
    done = site.release(site.add("2"))
    assert done.returncode == 4, done.stderr
    assert "web2 (web), published: published: connection lost" in done.stderr
    assert site.versions() == ["1", "1", "1"]
    assert not site.locked()
    site.configure()
    assert site.release(site.add("3")).returncode == 0
    assert site.versions() == ["3", "3", "3"]


def test_a_killed_controller_leaves_no_lock_and_no_installer_behind(site: FleetSite) -> None:
    assert site.release(site.add("1")).returncode == 0
    sleep = long_sleep()
    slow = site.add("2", install_sh=f"touch begun; {sleep}\n".encode())
    process = site.start("release", "--curl-url", slow, "production")
    releases = [host.path("/home/deploy/www/shop/releases") for host in site.hosts]
    wait_until(lambda: all(any(folder.glob("*/begun")) for folder in releases), "all hosts install", 20)
    process.kill()
    process.communicate()
    wait_until(lambda: not site.locked(), "the locks go with their controller", 15)
    assert not is_running(sleep)
    assert site.versions() == ["1", "1", "1"]
    assert site.release(site.add("3")).returncode == 0
    assert site.versions() == ["3", "3", "3"]
