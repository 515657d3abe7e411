"""install.sh and .fap/run of a real artifact, on this machine, without network."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.build.conftest import Unpack
from tests.parts.installer import BARE, install
from tests.parts.laid_out import with_facts
from tests.parts.project import COMMITTED, PYPROJECT, Project
from tests.parts.wheelhouse import make_wheel, pin

SHELLS = [
    shell for shell in (["dash"], ["bash", "--posix"], ["busybox", "sh"], ["sh"]) if shutil.which(shell[0])
]
NO_NETWORK = ["unshare", "-cn"] if os.getuid() else ["unshare", "-n"]


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
        assert f"\n  {name}: not found\n" in done.stderr


def test_an_artifact_for_another_machine_is_refused(unpack: Unpack) -> None:
    folder = unpack()
    manifest = folder / ".fap" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"platform":"', '"platform":"linux_m68k","was":"'))
    done = install(folder)
    assert done.returncode == 1
    assert "the artifact needs linux_m68k" in done.stderr
    assert not (folder / "venv").exists()


def test_an_artifact_for_a_free_threaded_python_is_refused(unpack: Unpack) -> None:
    folder = unpack()
    manifest = folder / ".fap" / "manifest.json"
    here = "cp{}{}".format(*sys.version_info[:2])
    manifest.write_text(manifest.read_text().replace(f'"abi":"{here}"', f'"abi":"{here}t"'))
    done = install(folder)
    assert done.returncode == 1
    assert f"this Python is not free-threaded, but the artifact needs {here}t" in done.stderr
    assert not (folder / "venv").exists()


def test_a_missing_file_is_named(unpack: Unpack) -> None:
    folder = unpack()
    (folder / "show.py").unlink()
    done = install(folder)
    assert (done.returncode, done.stdout) == (6, "")
    assert "install.sh: show.py is missing: was the whole artifact unpacked?" in done.stderr
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
[ "$3" != -c ] || exec "$PYTHON" "$@"
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
    """Killed at a moment that is counted in operations on venv.tmp: the installer alone, the installer while
    its workers run, or one of the workers."""
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


NEW_MOUNTS = ["unshare", "-m"] if not os.getuid() else ["unshare", "-rm"]


def mounted(folder: Path, script: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run install.sh after `script` has changed the mounts, in a mount namespace of its own."""
    return install(folder, shell=[*NEW_MOUNTS, "sh", "-e", "-c", f'{script}; exec sh "$@"', "sh"], **env)


@pytest.mark.parametrize("kilobytes", [0, 8, 16, 24])
def test_a_full_disk_is_an_error_and_a_rerun_finishes(unpack: Unpack, kilobytes: int) -> None:
    """With this much free space."""
    folder = unpack()
    copy = "mount -t tmpfs -o size=1m tmpfs /mnt && cp -a . /mnt && cd /mnt"
    fill = f"(cat /dev/zero >fill 2>/dev/null || truncate -s -{kilobytes}k fill)"
    again = 'set +e; sh "$@"; code=$?; rm fill; sh "$@" >&2 && exit $code'
    done = mounted(folder, f"{copy} && {fill}; {again}")
    first, second = done.stderr.rsplit("\n", 2)[:2]
    assert "No space left on device" in first
    assert first.endswith("fix this, then run it again")
    assert second.startswith("installed shop ")
    assert (done.returncode, done.stdout) == (1, "")


def test_a_read_only_folder_is_an_error(unpack: Unpack) -> None:
    folder = unpack()
    done = mounted(folder, "mount --bind . . && mount -o remount,bind,ro . && cd $PWD")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr


SYSTEM = "/usr/bin/python3"


def hide(module: str) -> str:
    """The command that hides a package of the system's Python with a mount."""
    code = f"import {module}; print({module}.__path__[0])"
    found = subprocess.run([SYSTEM, "-c", code], capture_output=True, text=True, check=True)
    return f"mount -t tmpfs tmpfs {found.stdout.strip()}"


def test_a_python_without_venv_and_ensurepip_will_do(unpack: Unpack) -> None:
    """Like Debian without python3-venv, but with even less."""
    done = mounted(unpack(), hide("venv"), FAP_PYTHON=SYSTEM)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_python_with_half_of_its_library_is_passed_over(unpack: Unpack) -> None:
    """Like python3-minimal of Debian, which lacks json and other modules."""
    done = mounted(unpack(), hide("json"), FAP_PYTHON=SYSTEM)
    assert done.returncode == 1
    assert (
        f"looked at:\n  {SYSTEM}: {{}}.{{}} without json.decoder\n".format(*sys.version_info[:2])
        in done.stderr
    )


@pytest.mark.parametrize(
    "place", [".pyenv/versions/3.9999.4/bin", ".local/share/uv/python/cpython-3.9999.1-x/bin"]
)
def test_pythons_of_version_managers_are_found(unpack: Unpack, tmp_path: Path, place: str) -> None:
    """With a made-up version, because real ones are found on the PATH first."""
    folder = unpack()
    manifest = folder / ".fap" / "manifest.json"
    here = "cp{}{}".format(*sys.version_info[:2])
    manifest.write_text(manifest.read_text().replace(f'"python":"{here}"', '"python":"cp39999"'))
    python = tmp_path / "home" / place / "python3"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\n[ "$3" != -c ] || { echo 3.9999; exit; }\necho "$0 $*"\n')
    python.chmod(0o755)
    done = install(folder, FAP_PYTHON="", HOME=str(tmp_path / "home"))
    assert done.stdout == f"{python} -I -S -B .fap/installer\n"


def test_two_packages_may_bring_the_same_file(project: Project, tmp_path: Path) -> None:
    house = tmp_path / "house"
    wheels = [make_wheel(house, name, also={"shared/__init__.py": name}) for name in ("first", "second")]
    text = PYPROJECT + 'allow = [{path = "venv/site-packages/shared/", reason = "either will do"}]\n'
    project.commit({"pyproject.toml": text, "requirements.txt": "".join(pin(wheel) for wheel in wheels)})
    folder = tmp_path / "release"
    folder.mkdir()
    path = project.pack(PIP_FIND_LINKS=str(house))["path"]
    subprocess.run(["tar", "xzf", path], cwd=folder, check=True)
    done = install(folder)
    assert (done.returncode, done.stderr) == (0, "")
    (shared,) = folder.glob("venv/lib/python*/site-packages/shared/__init__.py")
    assert shared.read_text() == "second"


def test_two_at_once_are_one_after_the_other(unpack: Unpack) -> None:
    folder = unpack()
    argv, env = ["sh", "./install.sh"], BARE
    pair = [subprocess.Popen(argv, cwd=folder, env=env, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in pair] == [0, 0]
    assert run(folder, "--", "greet").stdout == "greet 1.0\n"


def test_one_that_waits_too_long_says_for_what(unpack: Unpack) -> None:
    folder = unpack()
    with (folder / ".fap" / "installer" / "__main__.py").open("rb") as script:
        fcntl.flock(script, fcntl.LOCK_EX)
        done = install(folder)
    assert done.returncode == 1
    assert f"another install.sh is running in {folder}" in done.stderr
    assert install(folder).returncode == 0


def test_post_install_runs_in_the_release_without_its_secrets(unpack: Unpack) -> None:
    commands = ["pwd; cat", "greet", 'echo "$SECRET:$(command -v python)"']
    folder = with_facts(unpack("a release"), post_install=commands)
    (folder / ".env").write_text("SECRET=hidden\n")
    done = install(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:-1] == [
        "post_install: pwd; cat",
        str(folder),
        "post_install: greet",
        "greet 1.0",
        f"post_install: {commands[2]}",
        f":{folder}/venv/bin/python",
    ]


def test_a_post_install_that_fails_fails_the_install(unpack: Unpack) -> None:
    folder = with_facts(unpack(), post_install=["false; echo on", "echo never"])
    done = install(folder)
    assert done.returncode == 1
    assert done.stdout == "post_install: false; echo on\n"
    assert "post_install failed with exit code 1: false; echo on" in done.stderr


def test_post_install_of_the_config_gets_into_the_manifest(project: Project) -> None:
    project.commit({"pyproject.toml": PYPROJECT + 'post_install = ["python app.py"]\n'})
    with tarfile.open(project.pack()["path"]) as tar:
        manifest = json.load(tar.extractfile(".fap/manifest.json"))  # type: ignore[arg-type]
    assert manifest["post_install"] == ["python app.py"]


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
    assert run(installed, "loop").stdout == "a\nb\n"


@pytest.mark.parametrize("name", ["nope", "we.", ".*", "a/b", ""])
def test_run_names_the_processes_there_are(installed: Path, name: str) -> None:
    done = run(installed, name)
    assert done.returncode == 2
    assert done.stderr.splitlines()[1:] == ["  web", "  assigned", "  list", "  spaced", "  loop"]


@pytest.mark.parametrize("arguments", [(), ("--",)])
def test_run_without_a_process_shows_its_usage(installed: Path, arguments: tuple[str, ...]) -> None:
    done = run(installed, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: .fap/run")


def test_an_own_installer_is_kept_and_without_packages_has_none_of_ours_beside_it(
    project: Project, tmp_path: Path
) -> None:
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
    assert (folder / ".fap/run").is_file()
    assert not [*folder.glob(".fap/installer*"), *folder.glob(".fap/*.whl")]


def test_what_packaging_cannot_compare_is_no_traceback(project: Project, tmp_path: Path) -> None:
    """Releases of kernels are no versions, and builds of a branch of Python call themselves 3.11.7+."""
    info = "odd-1.0.dist-info/METADATA"
    text = "Metadata-Version: 2.1\nName: odd\nVersion: 1.0\nRequires-Python: >=3.8\n"
    text += "Requires-Dist: absent; platform_release >= '600.0'\n"
    wheel = make_wheel(tmp_path / "house", "odd", also={info: text})
    path = project.commit({"requirements.txt": pin(wheel)}).pack(PIP_FIND_LINKS=str(wheel.parent))["path"]
    folder = tmp_path / "release"
    folder.mkdir()
    subprocess.run(["tar", "xzf", path], cwd=folder, check=True)
    odd = (
        f"import platform\nplatform.python_version = lambda: '{'.'.join(map(str, sys.version_info[:3]))}+'\n"
    )
    odd += "platform.release = lambda: '6.18.44-fc'\n"
    main = folder / ".fap" / "installer" / "__main__.py"
    main.write_text(odd + main.read_text())
    done = install(folder)
    assert (done.returncode, done.stderr) == (0, "")
