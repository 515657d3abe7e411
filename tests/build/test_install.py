"""install.sh and .fap/run of a real artifact, on this machine, without network."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.build.conftest import Unpack
from tests.build.project import COMMITTED, PYPROJECT, Project
from tests.build.wheelhouse import make_wheel, pin

SHELLS = [
    shell for shell in (["dash"], ["bash", "--posix"], ["busybox", "sh"], ["sh"]) if shutil.which(shell[0])
]
NO_NETWORK = ["unshare", "-cn"] if os.getuid() else ["unshare", "-n"]
BARE = {"PATH": "/usr/local/bin:/usr/bin:/bin", "FAP_PYTHON": sys.executable}


def install(folder: Path, *, shell: list[str] | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*(shell or ["sh"]), "./install.sh"],
        cwd=folder,
        env={**BARE, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def run(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(folder / ".fap" / "run"), *arguments],
        cwd="/",
        env={"PATH": BARE["PATH"], **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def installed(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run(["tar", "xzf", str(packed)], cwd=folder, check=True)
    done = install(folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_installs_without_network_home_or_a_kind_umask_in_a_path_with_spaces(
    unpack: Unpack, shell: list[str]
) -> None:
    folder = unpack("a release")
    done = subprocess.run(
        [*NO_NETWORK, "sh", "-c", 'umask 077; exec "$@"', "sh", *shell, "./install.sh"],
        cwd=folder,
        env=BARE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith("installed shop ")
    assert ": 2 packages for Python " in done.stdout
    greet = folder / "venv" / "bin" / "greet"
    assert greet.stat().st_mode & 0o777 == 0o755
    assert subprocess.run([greet], capture_output=True, text=True, check=True).stdout == "greet 1.0\n"


def test_a_release_can_be_moved_and_linked_to(unpack: Unpack, tmp_path: Path) -> None:
    folder = unpack()
    assert install(folder).returncode == 0
    moved = folder.rename(tmp_path / "moved away")
    (tmp_path / "current").symlink_to("moved away")
    greet = tmp_path / "current" / "venv" / "bin" / "greet"
    assert subprocess.run([greet], capture_output=True, text=True, check=True).stdout == "greet 1.0\n"
    tool = tmp_path / "current" / "venv" / "bin" / "greet-tool"
    assert subprocess.run([tool], capture_output=True, text=True, check=True).stdout == "greet tool\n"
    shown = run(tmp_path / "current", "--", "python", "-c", "import sys; print(sys.prefix)")
    assert shown.stdout == f"{moved / 'venv'}\n"


def test_files_are_as_old_as_the_commit(installed: Path) -> None:
    assert {(installed / name).stat().st_mtime for name in ("show.py", "Procfile")} == {COMMITTED}


def test_packages_have_bytecode_and_the_venv_has_no_pip(installed: Path) -> None:
    (site,) = (installed / "venv" / "lib").glob("python*/site-packages")
    assert sorted(path.name.split(".")[0] for path in site.glob("__pycache__/*.pyc")) == ["greet", "left_pad"]
    assert not list(site.glob("pip*"))


def test_the_wrong_python_is_named_with_what_was_looked_at(unpack: Unpack, tmp_path: Path) -> None:
    folder = unpack()
    other = tmp_path / "python9"
    other.write_text("#!/bin/sh\necho 9.9\n")
    other.chmod(0o755)
    done = install(folder, FAP_PYTHON=str(other))
    wanted = "{}.{}".format(*sys.version_info[:2])
    assert done.returncode == 1
    assert f"built for Python {wanted}, which was not found" in done.stderr
    assert f"looked at:\n  {other}: 9.9\n" in done.stderr
    assert f"FAP_PYTHON=/path/to/python{wanted}" in done.stderr
    assert not (folder / "venv").exists()


def test_without_any_python_it_says_where_it_looked(unpack: Unpack, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "sed", "dirname"):
        (tools / name).symlink_to(str(shutil.which(name)))
    folder = unpack()
    manifest = folder / ".fap" / "manifest.json"
    here = "cp{}{}".format(*sys.version_info[:2])
    manifest.write_text(manifest.read_text().replace(f'"python":"{here}"', '"python":"cp39999"'))
    done = install(folder, shell=[str(tools / "sh")], PATH=str(tools), FAP_PYTHON="")
    assert done.returncode == 1
    for name in ("python3.9999", "/usr/bin/python3.9999", "/usr/local/bin/python3.9999", "python3"):
        assert f"\n  {name}: not there\n" in done.stderr


def test_an_artifact_for_another_machine_is_refused(unpack: Unpack) -> None:
    folder = unpack()
    manifest = folder / ".fap" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"platform":"', '"platform":"linux_m68k","was":"'))
    done = install(folder)
    assert done.returncode == 1
    assert "the artifact needs linux_m68k" in done.stderr
    assert not (folder / "venv").exists()


@pytest.mark.parametrize("harm", ["changed", "missing", "added"])
def test_wheels_that_are_not_those_of_the_lock_are_refused(unpack: Unpack, harm: str) -> None:
    folder = unpack()
    (wheel,) = (folder / "wheels").glob("greet-*.whl")
    if harm == "changed":
        wheel.write_bytes(wheel.read_bytes() + b"\n")
    elif harm == "missing":
        wheel.unlink()
    else:
        shutil.copy(wheel, folder / "wheels" / "extra-1.0-py3-none-any.whl")
    done = install(folder)
    assert done.returncode == 6
    assert ("extra-1.0" if harm == "added" else wheel.name) in done.stderr
    assert "installed" not in done.stdout
    assert not (folder / "venv").exists()


def test_a_package_without_what_it_needs_is_refused(unpack: Unpack) -> None:
    folder = unpack()
    manifest, lock = folder / ".fap" / "manifest.json", folder / "requirements.lock"
    facts = json.loads(manifest.read_text())
    facts["wheels"] = [wheel for wheel in facts["wheels"] if wheel["name"] != "left-pad"]
    manifest.write_text(json.dumps(facts, separators=(",", ":")))
    lock.write_text("".join(line for line in lock.read_text().splitlines(True) if "left-pad" not in line))
    next((folder / "wheels").glob("left_pad-*")).unlink()
    done = install(folder)
    assert done.returncode == 1
    assert "greet needs left-pad" in done.stderr
    assert not (folder / "venv").exists()


KILLER = """\
#!/bin/sh
[ "$2" != -c ] || exec "$PYTHON" "$@"
exec "$PYTHON" -I -B -c '
import os, runpy, signal, sys
whom, left, me = sys.argv[1], int(sys.argv[2]), os.getpid()
def count(event, arguments):
    global left
    if (os.getpid() == me) == (whom == "installer") and arguments and "venv.tmp" in str(arguments[0]):
        left -= 1
        if left == 0:
            os.kill(me if whom == "parent" else os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
runpy.run_path(".fap/installer", run_name="__main__")
' "$WHOM" "$KILL_AT"
"""


@pytest.mark.parametrize(
    ("whom", "moment"),
    [("installer", 1), ("installer", 9), ("installer", 12), ("parent", 4), ("worker", 1), ("worker", 7)],
)
def test_a_killed_install_starts_over(unpack: Unpack, tmp_path: Path, whom: str, moment: int) -> None:
    """Killed at a moment counted in what is done to venv.tmp: the installer by itself, the installer while
    its workers are at it, or one of the workers."""
    folder = unpack()
    killer = tmp_path / "python"
    killer.write_text(KILLER)
    killer.chmod(0o755)
    done = install(folder, FAP_PYTHON=str(killer), PYTHON=sys.executable, WHOM=whom, KILL_AT=str(moment))
    if whom == "worker":
        assert (done.returncode, done.stderr.count("a worker was killed")) == (1, 1)
    else:
        assert done.returncode == -signal.SIGKILL
    assert done.stdout == ""
    assert not (folder / "venv").exists()
    for _ in range(2):
        done = install(folder)
        assert (done.returncode, done.stderr) == (0, "")
        assert sorted(path.name for path in folder.glob("venv*")) == ["venv"]


def test_a_full_disk_is_an_error_and_a_rerun_finishes(unpack: Unpack) -> None:
    """A limit on the size of files fails a write half-way, as a full disk does."""
    folder = unpack()
    done = install(folder, shell=["sh", "-c", 'ulimit -f 1; exec sh "$@"', "sh"])
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert done.stderr.endswith("mend that, and run it again\n")
    assert not (folder / "venv").exists()
    assert install(folder).returncode == 0


def test_two_packages_may_bring_the_same_file(project: Project, tmp_path: Path) -> None:
    house = tmp_path / "house"
    wheels = [make_wheel(house, name, also={"shared/__init__.py": name}) for name in ("first", "second")]
    project.commit({"requirements.txt": "".join(pin(wheel) for wheel in wheels)})
    folder = tmp_path / "release"
    folder.mkdir()
    path = project.pack(PIP_FIND_LINKS=str(house))["path"]
    subprocess.run(["tar", "xzf", path], cwd=folder, check=True)
    done = install(folder)
    assert (done.returncode, done.stderr) == (0, "")
    (shared,) = folder.glob("venv/lib/python*/site-packages/shared/__init__.py")
    assert shared.read_text() == "second"


def test_two_at_once_are_one_too_many(unpack: Unpack) -> None:
    folder = unpack()
    with (folder / ".fap" / "installer" / "__main__.py").open("rb") as script:
        fcntl.flock(script, fcntl.LOCK_EX)
        done = install(folder)
    assert done.returncode == 1
    assert f"another install.sh is at work in {folder}" in done.stderr
    assert install(folder).returncode == 0


def test_run_gives_the_process_its_folder_path_and_arguments(installed: Path) -> None:
    started = subprocess.Popen(
        [installed / ".fap" / "run", "web", "two words", "$(x)"],
        cwd="/",
        env={"PATH": BARE["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
    )
    out, _ = started.communicate()
    assert out == f"{started.pid} ['web', 'two words', '$(x)'] None {installed}\n"


def test_run_reads_env_and_leaves_no_bytecode(unpack: Unpack) -> None:
    folder = unpack()
    assert install(folder).returncode == 0
    (folder / ".env").write_text("WORD='two $words'\n")
    assert "] two $words " in run(folder, "web").stdout
    assert "] given " in run(folder, "assigned").stdout
    asked = run(folder, "--", "sh", "-c", "echo $PYTHONDONTWRITEBYTECODE; command -v python")
    assert asked.stdout == f"1\n{folder}/venv/bin/python\n"


def test_run_knows_shell_syntax(installed: Path) -> None:
    assert run(installed, "list").stdout.splitlines()[-1] == "b"
    assert run(installed, "spaced", "c").stdout == "a  b c\n"


@pytest.mark.parametrize("name", ["nope", "we.", ".*", "a/b", ""])
def test_run_names_the_processes_there_are(installed: Path, name: str) -> None:
    done = run(installed, name)
    assert done.returncode == 2
    assert done.stderr.splitlines()[1:] == ["  web", "  assigned", "  list", "  spaced"]


@pytest.mark.parametrize("arguments", [(), ("--",)])
def test_run_without_a_process_shows_its_usage(installed: Path, arguments: tuple[str, ...]) -> None:
    done = run(installed, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: .fap/run")


def test_an_own_installer_is_kept_beside_our_parts(project: Project, tmp_path: Path) -> None:
    project.commit(
        {
            "pyproject.toml": PYPROJECT + 'installer = "own"\n',
            "install.sh": "#!/bin/sh\necho mine\n",
        }
    )
    folder = tmp_path / "release"
    folder.mkdir()
    subprocess.run(["tar", "xzf", project.pack()["path"]], cwd=folder, check=True)
    assert install(folder).stdout == "mine\n"
    assert (folder / ".fap" / "installer" / "__main__.py").is_file()
