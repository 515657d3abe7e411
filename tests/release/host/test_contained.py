"""What an artifact's installer can't do where there are namespaces, and what is said where there are none."""

import errno
import json
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from faprelease.errors import ConfigError, ReleaseFailedError
from faprelease.host.programs import contain, sandbox
from tests.parts.long_sleep import is_running, long_sleep
from tests.parts.site import Site, artifact, sha256_of


def release(site: Site, install: str, **flags: object) -> str:
    """Release an artifact with this install.sh, and return the new release's id."""
    script = f"#!/bin/sh\n{install}\n".encode()
    return site.release(artifact(site.folder / "artifact", "1", {"install.sh": script}), **flags)


def refused(site: Site, install: str, **flags: object) -> str:
    """What is said when that fails; nothing is published then, and nothing is left."""
    with pytest.raises(ReleaseFailedError) as failed:
        release(site, install, **flags)
    assert not site.current()
    assert site.folders() == []
    assert not site.leftovers()
    return failed.value.message


def contained(site: Site, name: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((site.path / f".fap/releases/{name}.install.json").read_text())
    return found


def test_the_installer_has_no_network(site: Site) -> None:
    release(site, "cat /proc/self/net/dev >devices; ! curl -sS --noproxy '*' http://127.0.0.1:1 2>said")
    devices = (site.path / "current/devices").read_text().split("\n")[2:]
    assert [line.split(":")[0].strip() for line in devices if line] == ["lo"]


def test_it_compiles_nothing_and_says_why(site: Site) -> None:
    said = refused(site, "echo 'int main;' >a.c\ngcc a.c -o a")
    assert "gcc: nothing is compiled on a server (factor V)" in said
    said = refused(site, "echo 'int main;' >a.c\n/usr/bin/gcc a.c -o a")
    assert "gcc" in said


def test_it_writes_nowhere_but_into_its_release(site: Site, tmp_path: Path) -> None:
    assert "Read-only file system" in refused(site, f"touch {tmp_path}/stray || exit 1")
    assert "Read-only file system" in refused(
        site, "mount -o remount,rw,bind / ; touch /etc/fapkit-stray || exit 1"
    )
    assert not (tmp_path / "stray").exists()
    assert not Path("/etc/fapkit-stray").exists()
    release(site, 'echo ok >"$TMPDIR/scratch" && cp "$TMPDIR/scratch" mine')
    assert (site.path / "current/mine").read_text() == "ok\n"


def test_it_leaves_no_process_and_becomes_nobody_else(site: Site) -> None:
    sleep = long_sleep()
    name = release(
        site,
        f"setsid {sleep} </dev/null >/dev/null 2>&1 &\n"
        "grep -E 'NoNewPrivs|CapEff|CapBnd' /proc/self/status >mine",
    )
    assert not is_running(sleep)
    fields = dict(line.split(":\t") for line in (site.path / "current/mine").read_text().splitlines())
    assert fields == {"NoNewPrivs": "1", "CapEff": "0" * 16, "CapBnd": "0" * 16}
    assert contained(site, name) == {
        "contained": "network, files, devices, sockets, compilers, processes, privileges, limits",
        "open": "",
    }


def test_a_gigabyte_of_output_ends_it_and_takes_no_room(site: Site) -> None:
    said = refused(site, "exec yes a line of thirty-two characters...")
    assert "the installer was stopped: it printed more than 256 MB" in said
    assert len(said) < 100_000


WITHOUT_NAMESPACES = """\
for kind in user mnt pid net ipc; do echo 0 >/proc/sys/user/max_${kind}_namespaces || exit 99; done
exec "$@"
"""


def release_where_there_are_none(site: Site, install: str) -> subprocess.CompletedProcess[str]:
    """Release as on a host whose kernel allows no new namespaces: in a user namespace with that limit."""
    url = artifact(site.folder / "artifact", "1", {"install.sh": f"#!/bin/sh\n{install}\n".encode()})
    start = "from faprelease.cli import command; command()"
    argv = [
        sys.executable,
        "-c",
        start,
        "--curl-url",
        url,
        "--curl-sha256",
        sha256_of(url),
        "-f",
        site.deploy_yml,
        "--yes",
        "production",
        "web",
    ]
    host = ["unshare", "--user", "--map-root-user", "sh", "-c", WITHOUT_NAMESPACES, "sh"]
    return subprocess.run([*host, *argv], capture_output=True, text=True)


def test_a_host_without_namespaces_says_what_is_open_and_a_protected_stage_refuses_it(site: Site) -> None:
    site.configure("protected: true")
    done = release_where_there_are_none(site, "touch ran")
    assert done.returncode == 1
    assert "can't contain: network, files, devices, sockets, compilers, processes" in done.stderr
    assert "sysctl user.max_user_namespaces" in done.stderr
    assert site.folders() == []
    assert not site.leftovers()
    site.configure()
    done = release_where_there_are_none(site, "gcc a.c >said 2>&1; :")
    assert done.returncode == 0, done.stderr
    assert contained(site, site.current())["open"].startswith(
        "network, files, devices, sockets, compilers, processes"
    )
    assert "nothing is compiled on a server" in (site.path / "current/said").read_text()


def test_the_network_is_opened_aloud_and_never_on_a_protected_stage(
    site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    name = release(site, "cat /proc/self/net/dev >devices", install_network="allow")
    assert "network" not in contained(site, name)["contained"]
    assert "warning: the installer may use the network" in capfd.readouterr().err
    with pytest.raises(ConfigError, match="an installer can't use the network"):
        release(site, "true", install_network="allow", protected=True)


def test_it_reads_what_install_paths_name(site: Site, tmp_path: Path) -> None:
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor/lib").write_text("library")
    assert "No such file" in refused(site, f"cp {tmp_path}/vendor/lib mine")
    site.configure(f"install_paths: [{tmp_path}/vendor]")
    release(site, f"cp {tmp_path}/vendor/lib mine && ! touch {tmp_path}/vendor/lib")
    assert (site.path / "current/mine").read_text() == "library"


def test_a_release_is_read_only_and_is_removed_all_the_same(site: Site) -> None:
    first = release(site, "mkdir -p venv/bin && ln -s ../../app.py venv/bin/app")
    folder = site.path / "releases" / first
    for path in (folder, folder / "app.py", folder / "venv/bin"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o222, path
    tree = (site.path / f".fap/releases/{first}.files").read_text()
    assert "  ./app.py\n" in tree
    assert "./venv/bin/app -> ../../app.py\n" in tree
    newer = [release(site, "true", keep_releases=1) for _ in range(3)]
    assert not folder.exists()
    assert {path.name for path in (site.path / ".fap/releases").glob("*.files")} == {
        f"{name}.files" for name in newer[1:]
    }


def test_preflight_runs_in_the_new_release_before_anything_is_published(site: Site) -> None:
    site.configure(
        "environment: {STAGE: live}\npreflight: 'test $STAGE = live && test -f app.py && test ! -e broken'"
    )
    release(site, "true")
    said = refused_after(site, "touch broken")
    assert "preflight" in said


def refused_after(site: Site, install: str) -> str:
    before = site.current()
    with pytest.raises(ReleaseFailedError) as failed:
        release(site, install)
    assert site.current() == before
    return failed.value.message


def test_an_installer_that_could_not_start_is_a_failure(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def leave(spaces: list[str]) -> None:
        raise OSError(errno.ENOMEM, f"no {spaces}")

    (tmp_path / "fap").mkdir()
    # No kernel refuses to do nothing.
    kernel = SimpleNamespace(NET="net", MOUNT="mount", PID="pid", leave=leave, Cgroup=sandbox.Cgroup)
    host = contain.Host(str(tmp_path), str(tmp_path / "fap"), "", [])
    assert contain.run(host, kernel, f"touch {tmp_path}/ran", "", "") == (contain.NOT_STARTED, "")
    assert capfd.readouterr().out == "the installer could not start\n"
    assert not (tmp_path / "ran").exists()
