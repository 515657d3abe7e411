"""install.sh where releases share their packages and apps their unpacked wheels, as on hosts."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.build.conftest import Unpack
from tests.parts.installer import BARE, install, output, site_of
from tests.parts.laid_out import with_wheels
from tests.parts.wheelhouse import make_wheel

STARTER = """\
#!/bin/sh
[ "$3" != -c ] || exec "$PYTHON" "$@"
exec "$PYTHON" -I -B "$0.py"
"""
HOOKED = """\
import os, runpy, shutil, signal, sys
count, me = 0, os.getpid()
def hook(event, arguments):
    global count
    if {when}:
        count += 1
        if count == {at}:
            {what}
sys.addaudithook(hook)
runpy.run_path(".fap/installer", run_name="__main__")
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Wheels with a part of every kind, and one file that two of them contain."""
    house = tmp_path_factory.mktemp("shared")
    parts = {
        "parts-1.0.data/scripts/where-tool": "#!python\nimport sys; print(sys.prefix)\n",
        "parts-1.0.data/headers/parts.h": "int part;\n",
        "parts-1.0.data/data/share/parts/one.txt": "one\n",
        "parts.pth": "import sys; sys.from_pth = 'yes'\n",
        "parts-1.0.dist-info/entry_points.txt": "[console_scripts]\nparts = parts:main\n",
        "space/one/__init__.py": "",
        "both.py": "WHO = 'parts'\n",
    }
    other = {"space/two/__init__.py": "", "both.py": "WHO = 'later'\n"}
    return [make_wheel(house, "parts", also=parts), make_wheel(house, "zother", also=other)]


class Machine:
    """A host: its cache, and apps with releases, each an unpacked artifact with the same wheels."""

    def __init__(self, root: Path, unpack: Unpack, wheels: list[Path]) -> None:
        self.cache, self._root, self._unpack, self._wheels = root / "cache", root, unpack, wheels

    def release(self, app: str, name: str) -> Path:
        (self._root / app / "releases").mkdir(parents=True, exist_ok=True)
        return with_wheels(self._unpack(f"{app}/releases/{name}"), self._wheels)

    def env(self, release: Path) -> dict[str, str]:
        return {"FAP_CACHE": str(self.cache), "FAP_ENVS": str(release.parents[1] / "envs")}

    def install(self, release: Path, **env: str) -> subprocess.CompletedProcess[str]:
        return install(release, **self.env(release), **env)

    def installed(self, app: str, name: str) -> tuple[Path, str]:
        """A new release, and the output of its install."""
        release = self.release(app, name)
        done = self.install(release)
        assert (done.returncode, done.stderr) == (0, "")
        return release, done.stdout

    def hooked(self, release: Path, when: str, at: int, what: str) -> subprocess.CompletedProcess[str]:
        """Install, and do something at the n-th event of that kind."""
        python = release.parent / "hooked"
        python.write_text(STARTER)
        python.with_name("hooked.py").write_text(HOOKED.format(when=when, at=at, what=what))
        python.chmod(0o755)
        return self.install(release, FAP_PYTHON=str(python), PYTHON=sys.executable)

    def entries(self) -> list[Path]:
        return sorted(path for path in (self.cache / "wheels").iterdir() if path.name != ".lock")


@pytest.fixture
def machine(tmp_path: Path, unpack: Unpack, wheels: list[Path]) -> Machine:
    return Machine(tmp_path, unpack, wheels)


def tree(venv: Path) -> dict[str, bytes]:
    """The content of every file, through all links."""
    found = {}
    for folder, folders, names in os.walk(venv, followlinks=True):
        folders[:] = [name for name in folders if name not in ("packages", "lib64")]
        found |= {
            os.path.relpath(Path(folder) / name, venv): (Path(folder) / name).read_bytes() for name in names
        }
    return found


def is_right(release: Path) -> bool:
    code = "import both, parts, sys, space.one, space.two; print(both.WHO, sys.from_pth, parts.__file__)"
    said = output(release / "venv/bin/python", "-c", code)
    return said == f"later yes {site_of(release)}/parts.py\n"


def test_a_thin_venv_is_what_a_whole_one_is(machine: Machine) -> None:
    release, _ = machine.installed("shop", "1")
    alone = machine.release("alone", "1")
    assert install(alone).returncode == 0
    assert tree(release / "venv") == tree(alone / "venv")
    venv = release / "venv"
    assert is_right(release)
    assert output(venv / "bin/parts") == "parts 1.0\n"
    assert output(venv / "bin/where-tool") == f"{venv}\n"
    assert (venv / "share/parts/one.txt").read_text() == "one\n"
    asked = (
        "import site, sys, sysconfig; from importlib.metadata import entry_points, version\n"
        "print(version('parts'), [e.name for e in entry_points(group='console_scripts')])\n"
        "print(sys.path[-1] == sysconfig.get_paths()['purelib'] == site.getsitepackages()[0], len(sys.path))"
    )
    said = [output(each / "venv/bin/python", "-c", asked) for each in (release, alone)]
    assert said[0] == said[1]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", venv / "bin/python"]
    assert output(*pip, "check") == "No broken requirements found.\n"
    moved = release.parents[1].rename(release.parents[2] / "moved") / "releases" / "1"
    assert is_right(moved)


def test_one_lock_is_installed_once_and_unpacked_once_for_all_apps(machine: Machine) -> None:
    first, _ = machine.installed("shop", "1")
    second = machine.release("shop", "2")
    shutil.rmtree(second / "wheels")
    assert machine.install(second).returncode == 0, "it needs no wheels"
    worker, _ = machine.installed("worker", "1")
    assert not (first / "wheels").exists(), "and keeps none"
    files = [site_of(each) / "both.py" for each in (first, second, worker)]
    assert len({path.stat().st_ino for path in files}) == 1
    assert [path.stat().st_mode & 0o777 for path in files] == [0o444] * 3
    assert len(machine.entries()) == 2
    assert machine.cache.stat().st_mode & 0o077 == 0
    assert all(is_right(each) for each in (first, second, worker))
    shutil.rmtree(first)
    shutil.rmtree(machine.cache)
    assert is_right(second), "losing the cache loses nothing"
    third, said = machine.installed("shop", "3")
    assert "warning" not in said
    assert is_right(third)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[random.Random(str(path.name)).randrange(len(data))] ^= 0x10
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(mode)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a source": lambda entry: flip(next((entry / "tree").rglob("both.py"))),
    "bytecode": lambda entry: flip(next((entry / "tree").rglob("both*.pyc"))),
    "one file gone": lambda entry: next((entry / "tree").rglob("RECORD")).unlink(),
    "one file more": lambda entry: (next((entry / "tree").rglob("site-packages")) / "evil.py").write_text(
        "x"
    ),
    "its digest": lambda entry: (entry / "digest").write_text(""),
    "all of it": lambda entry: shutil.rmtree(entry / "tree"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_in_the_cache_is_repaired(machine: Machine, damage: Callable[[Path], object]) -> None:
    machine.installed("shop", "1")
    wanted = tree(machine.installed("good", "1")[0] / "venv")
    for entry in machine.entries():
        for folder in (entry, *entry.rglob("*/")):
            folder.chmod(0o755)
        damage(entry)
    release, said = machine.installed("worker", "1")
    assert said.count("was damaged, and is made again") == 2
    assert tree(release / "venv") == wanted
    assert len(machine.entries()) == 2


def test_a_release_without_its_wheels_is_installed_again_from_the_cache(machine: Machine) -> None:
    """A rollback with another configuration copies a release; here the set of packages is another one."""
    release, _ = machine.installed("shop", "1")
    shutil.move(release.parents[1] / "envs", release.parents[1] / "old-envs")
    assert machine.install(release).returncode == 0
    assert is_right(release)
    shutil.rmtree(release.parents[1] / "envs")
    for entry in machine.entries():
        shutil.rmtree(entry)
    done = machine.install(release)
    assert done.returncode == 6
    assert "is missing, and the cache has none: release the artifact again" in done.stderr


def test_packages_that_someone_changed_are_not_used_again(machine: Machine) -> None:
    first, _ = machine.installed("shop", "1")
    package = (site_of(first) / "both.py").resolve()
    package.parent.chmod(0o755)
    package.unlink()
    package.write_text("WHO = 'edited by hand'\n")
    second, said = machine.installed("shop", "2")
    assert f"warning: someone changed {first.parents[1]}/envs/" in said
    assert is_right(second)
    assert package.read_text() == "WHO = 'edited by hand'\n", "the release that runs on it keeps it"
    machine.installed("shop", "3")
    assert len([path for path in first.parents[1].glob("envs/*") if path.is_dir()]) == 2


def test_what_a_crash_took_is_seen_after_it(machine: Machine) -> None:
    """The contents of a file are lost, and the machine was restarted."""
    first, _ = machine.installed("shop", "1")
    (seen,) = first.parents[1].glob("envs/*.seen")
    package = (site_of(first) / "both.py").resolve()
    package.chmod(0o644)
    package.write_text("")
    _, *rest = seen.read_text().split("\n")
    seen.write_text("\n".join(["another boot", *rest]))
    second, said = machine.installed("shop", "2")
    assert "someone changed" in said
    assert is_right(second)
    (again,) = (path for path in first.parents[1].glob("envs/*.seen") if ".1." in path.name)
    _, *rest = again.read_text().split("\n")
    again.write_text("\n".join(["yet another boot", *rest]))
    assert is_right(machine.installed("shop", "3")[0])
    assert again.read_text().split("\n")[1:] == rest


@pytest.mark.parametrize(
    ("whom", "moment"),
    [("installer", 3), ("installer", 9), ("installer", 20), ("worker", 2), ("worker", 9), ("worker", 20)],
)
def test_a_killed_install_leaves_nothing_to_be_taken_for_whole(
    machine: Machine, whom: str, moment: int
) -> None:
    """Killed at a moment that is counted in operations on the cache and the shared packages."""
    release = machine.release("shop", "1")
    touches = (
        f"(os.getpid() == me) == ({whom!r} == 'installer') and any(w in str(arguments[:2]) for w in PLACES)"
    )
    touches = touches.replace("PLACES", "('/cache/wheels', '/shop/envs')")
    done = machine.hooked(release, touches, moment, f"os.kill(os.getpid(), {signal.SIGKILL:d})")
    assert done.returncode == -signal.SIGKILL if whom == "installer" else "a worker was killed" in done.stderr
    assert not (release / "venv").exists()
    done = machine.install(release)
    assert (done.returncode, done.stderr) == (0, "")
    assert is_right(release)
    assert is_right(machine.installed("worker", "1")[0])


def test_a_cache_that_is_swept_meanwhile(machine: Machine) -> None:
    """Someone types rm -rf without taking the lock."""
    machine.installed("shop", "1")
    release = machine.release("worker", "1")
    once = f"os.path.exists('once') or (open('once', 'w'), shutil.rmtree({str(machine.cache / 'wheels')!r}))"
    done = machine.hooked(release, "event == 'os.link'", 2, once)
    assert done.returncode == 0, done
    assert "starting again" in done.stdout
    assert is_right(release)


def test_two_at_once(machine: Machine) -> None:
    releases = [machine.release(app, "1") for app in ("shop", "worker", "cron")]
    running = [
        subprocess.Popen(
            ["./install.sh"],
            cwd=release,
            env={**BARE, **machine.env(release)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for release in releases
    ]
    for process, release in zip(running, releases, strict=True):
        said, _ = process.communicate()
        assert process.returncode == 0, said
        assert "warning" not in said
        assert is_right(release)
    assert len(machine.entries()) == 2


@pytest.mark.parametrize("room", [40, 60, 80, 100])
def test_a_full_disk_is_an_error_or_the_cache_gives_way(machine: Machine, tmp_path: Path, room: int) -> None:
    """An app and the cache on a small file system, where the cache already holds something else."""
    release = machine.release("shop", "1")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}k", "tmpfs", str(small)], check=True)
    try:
        old = small / "cache" / "artifacts" / "shop" / "old.tgz"
        old.parent.mkdir(parents=True)
        old.write_bytes(bytes(32 << 10))
        env = {"FAP_CACHE": str(small / "cache"), "FAP_ENVS": str(small / "envs")}
        done = install(release, **env)
        if done.returncode:
            assert "No space left on device" in done.stderr
            assert "fix this, then run it again" in done.stderr
            assert not (release / "venv").exists()
        else:
            assert is_right(release)
        assert not list(small.rglob("*.new*"))
        subprocess.run(["mount", "-o", "remount,size=4m", str(small)], check=True)
        assert install(release, **env).returncode == 0
        assert is_right(release)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_without_a_cache_that_can_be_used_it_works_too(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    release, _ = machine.installed("shop", "1")
    assert is_right(release)
    assert (release.parents[1] / "envs").is_dir()
    assert [path.name for path in (release.parents[1] / "envs").iterdir() if "new" in path.name] == []


def test_bytecode_of_the_projects_files_is_made_when_they_change(machine: Machine) -> None:
    first, _ = machine.installed("shop", "1")
    made = next(first.glob("__pycache__/show.*.pyc")).read_bytes()
    (kept,) = (machine.cache / "bytecode").iterdir()
    second, _ = machine.installed("shop", "2")
    assert next(second.glob("__pycache__/show.*.pyc")).read_bytes() == made
    third = machine.release("shop", "3")
    (third / "show.py").write_text("print('changed')\n")
    assert machine.install(third).returncode == 0
    assert next(third.glob("__pycache__/show.*.pyc")).read_bytes() != made
    kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    fourth, _ = machine.installed("shop", "4")
    assert next(fourth.glob("__pycache__/show.*.pyc")).read_bytes() == made
