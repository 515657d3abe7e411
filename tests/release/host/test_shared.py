"""Releases that share packages, and apps that share unpacked wheels: a program of the host makes them."""

import os
import random
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.parts import host_install
from tests.parts.installer import install, output, site_of
from tests.parts.laid_out import with_facts, with_wheels
from tests.parts.packed_shop import packed
from tests.parts.wheelhouse import make_wheel

__all__ = ["packed"]

HOOKED = """\
import os, shutil, signal, sys
count, me = 0, os.getpid()
def hook(event, arguments):
    global count
    if {when}:
        count += 1
        if count == {at}:
            {what}
sys.addaudithook(hook)
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

    def __init__(self, root: Path, packed: Path, wheels: list[Path]) -> None:
        self.cache, self._root, self._packed, self._wheels = root / "cache", root, packed, wheels

    def release(self, place: str, name: str) -> Path:
        """A release of an app; `place` is the app's name, or that and a role's (`shop-worker`)."""
        folder = self._root / place / "releases" / name
        folder.mkdir(parents=True)
        subprocess.run(["tar", "xzf", self._packed], cwd=folder, check=True)
        return with_wheels(folder, self._wheels, app=place.partition("-")[0])

    def install(self, release: Path) -> subprocess.CompletedProcess[str]:
        return host_install.install(release, self.cache)

    def installed(self, app: str, name: str) -> tuple[Path, str]:
        """A new release, and the output of its install."""
        release = self.release(app, name)
        done = self.install(release)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        return release, done.stdout

    def hooked(self, release: Path, when: str, at: int, what: str) -> subprocess.CompletedProcess[str]:
        """Install, and do something at the n-th event of that kind."""
        before = HOOKED.format(when=when, at=at, what=what)
        chosen = {"FAP_INSTALL_PYTHON": sys.executable}
        return host_install.install(release, self.cache, python=sys.executable, before=before, env=chosen)

    def entries(self) -> list[Path]:
        return sorted(path for path in (self.cache / "wheels").iterdir() if path.name != ".lock")


@pytest.fixture
def machine(tmp_path: Path, packed: Path, wheels: list[Path]) -> Machine:
    return Machine(tmp_path, packed, wheels)


def envs(release: Path) -> Path:
    return host_install.state_of(release) / "envs"


def tree(venv: Path) -> dict[str, bytes]:
    """The content of every file, through all links, but for the prompt, which is the app's name."""
    found = {}
    for folder, folders, names in os.walk(venv, followlinks=True):
        folders[:] = [name for name in folders if name not in ("packages", "lib64")]
        found |= {
            os.path.relpath(Path(folder) / name, venv): (Path(folder) / name).read_bytes() for name in names
        }
    found["pyvenv.cfg"] = found["pyvenv.cfg"].partition(b"prompt =")[0]
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


def test_files_that_became_writable_are_not_damaged(machine: Machine) -> None:
    """As after `chmod -R u+w` before a release is removed by hand: its files are links into the cache."""
    machine.installed("shop", "1")
    for entry in machine.entries():
        subprocess.run(["chmod", "-R", "u+w", entry], check=True)
    _, said = machine.installed("worker", "1")
    assert "damaged" not in said


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
    shutil.move(envs(release), release.parents[1] / "old-envs")
    assert machine.install(release).returncode == 0
    assert is_right(release)
    shutil.rmtree(envs(release))
    for entry in machine.entries():
        shutil.rmtree(entry)
    done = machine.install(release)
    assert done.returncode == 6
    assert "is missing, and the cache has none: release the artifact again" in done.stdout


def test_packages_that_someone_changed_are_not_used_again(machine: Machine) -> None:
    first, _ = machine.installed("shop", "1")
    package = (site_of(first) / "both.py").resolve()
    package.parent.chmod(0o755)
    package.unlink()
    package.write_text("WHO = 'edited by hand'\n")
    second, said = machine.installed("shop", "2")
    assert f"warning: someone changed {envs(first)}/" in said
    assert is_right(second)
    assert package.read_text() == "WHO = 'edited by hand'\n", "the release that runs on it keeps it"
    machine.installed("shop", "3")
    assert len([path for path in envs(first).iterdir() if path.is_dir()]) == 2


def test_what_a_crash_took_is_seen_after_it(machine: Machine) -> None:
    """The contents of a file are lost, and the machine was restarted."""
    first, _ = machine.installed("shop", "1")
    (seen,) = envs(first).glob("*.seen")
    package = (site_of(first) / "both.py").resolve()
    package.chmod(0o644)
    package.write_text("")
    _, *rest = seen.read_text().split("\n")
    seen.write_text("\n".join(["another boot", *rest]))
    second, said = machine.installed("shop", "2")
    assert "someone changed" in said
    assert is_right(second)
    (again,) = (path for path in envs(first).glob("*.seen") if ".1." in path.name)
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
    touches = touches.replace("PLACES", "('/cache/wheels', '/shop/.fap/envs')")
    done = machine.hooked(release, touches, moment, f"os.kill(os.getpid(), {signal.SIGKILL:d})")
    assert done.returncode == -signal.SIGKILL if whom == "installer" else "a worker was killed" in done.stdout
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
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(machine.install, releases))
    for one, release in zip(done, releases, strict=True):
        assert one.returncode == 0, one.stdout
        assert "warning" not in one.stdout
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
    assert (envs(release)).is_dir()
    assert [path.name for path in (envs(release)).iterdir() if "new" in path.name] == []


def test_bytecode_of_the_projects_files_is_made_when_they_change(machine: Machine) -> None:
    first, _ = machine.installed("shop", "1")
    made = next(first.glob("__pycache__/app.*.pyc")).read_bytes()
    (kept,) = (machine.cache / "bytecode").iterdir()
    second, _ = machine.installed("shop", "2")
    assert next(second.glob("__pycache__/app.*.pyc")).read_bytes() == made
    third = machine.release("shop", "3")
    (third / "app.py").write_text("print('changed')\n")
    assert machine.install(third).returncode == 0
    assert next(third.glob("__pycache__/app.*.pyc")).read_bytes() != made
    kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    fourth, _ = machine.installed("shop", "4")
    assert next(fourth.glob("__pycache__/app.*.pyc")).read_bytes() == made


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mode, path.read_bytes()) for path in files}


def test_a_wheel_under_another_name_changes_nothing_for_others(machine: Machine, tmp_path: Path) -> None:
    """The name of a wheel decides where its data goes: this one's would go elsewhere."""
    good, _ = machine.installed("shop", "1")
    wanted = tree(good / "venv")
    shutil.rmtree(machine.cache)
    renamed = []
    for wheel in sorted((machine.release("other", "0") / "wheels").iterdir()):
        renamed.append(tmp_path / wheel.name.replace("parts-1.0", "Parts-1.0"))
        shutil.copy(wheel, renamed[-1])
    hostile = with_wheels(machine.release("other", "1"), renamed)
    (hostile / "requirements.lock").write_bytes((good / "requirements.lock").read_bytes())
    machine.install(hostile)
    assert tree(machine.installed("third", "1")[0] / "venv") == wanted
    assert tree(machine.installed("other", "2")[0] / "venv") == wanted


NOT_A_DIGEST = "../../../third/releases/1/entry"


def test_a_manifest_leads_out_of_nothing(machine: Machine, tmp_path: Path) -> None:
    """Trusted code reads it: as a path of the cache, and as paths of files to compile."""
    good, _ = machine.installed("shop", "1")
    before = everything(good) | everything(machine.cache)
    hostile = machine.release("third", "1")
    (hostile / "behind").symlink_to(good)
    paths = ["../../../shop/releases/1/app.py", f"{good}/app.py", "behind/app.py", "app.py"]
    with_facts(hostile, files=[[path, 1, "0" * 64] for path in paths])
    done = machine.install(hostile)
    assert everything(good) | everything(machine.cache) == before | everything(machine.cache)
    assert everything(good) == {path: facts for path, facts in before.items() if path.startswith(str(good))}
    assert list((hostile / "__pycache__").iterdir()), done.stdout
    shutil.rmtree(hostile / "wheels")
    with_facts(hostile, wheels=[{"file": "parts-1.0-py3-none-any.whl", "sha256": NOT_A_DIGEST}])
    (hostile / "requirements.lock").write_text(f"parts==1.0 --hash=sha256:{NOT_A_DIGEST}\n")
    done = machine.install(hostile)
    assert done.returncode == 6
    assert "the manifest lists a wheel that can't be one" in done.stdout


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"target":1}', '{"target":{"python":"cp311"},"files":[1]}', '{"target":{"python":"cp311"}}'],
)
def test_a_damaged_manifest_is_refused(machine: Machine, text: str) -> None:
    release = machine.release("shop", "1")
    manifest = release / ".fap/manifest.json"
    target = manifest.read_text().partition('"target":{')[2].partition("}")[0]
    manifest.write_text(text.replace('"python":"cp311"', target))
    done = machine.install(release)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr, done.stdout


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_our_libraries_are_used_only_if_their_bytes_are_known(machine: Machine, tmp_path: Path) -> None:
    """The artifact brings them; other ones run in the container alone, like its installer."""
    release = machine.release("shop", "1")
    (library,) = (release / ".fap").glob("installer-*.whl")
    with zipfile.ZipFile(library, "a") as archive:
        archive.writestr("installer/exceptions.py", f"open({str(tmp_path / 'ran')!r}, 'w')")
    done = machine.install(release)
    assert "other versions of `installer` or `packaging`" in done.stdout
    assert not (tmp_path / "ran").exists()
    assert not envs(release).exists() or list(envs(release).iterdir()) == []


def test_a_wheel_that_is_a_bomb_fills_no_disk(packed: Path, wheels: list[Path], tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small], check=True)
    try:
        release = Machine(small, packed, wheels).release("shop", "1")
        (wheel,) = (release / "wheels").glob("parts-*")
        data = wheel.read_bytes()
        at = data.index(b"PK\x01\x02") + 24  # where the directory of a zip file says how long a file is
        wheel.write_bytes(data[:at] + (100 << 20).to_bytes(4, "little") + data[at + 4 :])
        with_wheels(release, [Path(shutil.copy(wheel, tmp_path)), wheels[1]])
        done = host_install.install(release, small / "cache")
        assert done.returncode == 1
        assert "needs 1048" in done.stdout
        assert "No space left on device; fix this, then release again" in done.stdout
    finally:
        subprocess.run(["umount", small], check=True)


def test_nothing_is_writable_for_others_whatever_the_umask(machine: Machine) -> None:
    release = machine.release("shop", "1")
    old = os.umask(0)
    try:
        assert machine.install(release).returncode == 0
    finally:
        os.umask(old)
    places = [release.parents[1] / ".fap", machine.cache, release / "venv", *release.glob("__pycache__")]
    made = [path for place in places for path in (place, *place.rglob("*")) if not path.is_symlink()]
    assert len(made) > 20
    mine = (release.parents[1] / ".fap", release.parents[1] / ".fap/releases")  # the test made these
    assert [path for path in made if path.stat().st_mode & 0o022 and path not in mine] == []


def test_a_second_role_links_to_the_packages_of_the_first(machine: Machine) -> None:
    first, _ = machine.installed("shop", "1")
    for entry in machine.entries():
        shutil.rmtree(entry / "tree")
    second, said = machine.installed("shop-worker", "1")
    assert "warning" not in said
    assert len({(site_of(each) / "both.py").stat().st_ino for each in (first, second)}) == 1
    assert tree(second / "venv") == tree(first / "venv")
    (files, others) = (next(envs(each).glob("*.files")).read_text() for each in (first, second))
    assert files == others
    (seen,) = envs(second).glob("*.seen")
    made = seen.with_suffix("")
    assert {folder.stat().st_mode & 0o777 for folder in (made, *made.rglob("*/"))} == {0o555}
    shutil.rmtree(first.parents[1])
    assert is_right(second), "a role does not need the other one's folder"
    _, *rest = seen.read_text().split("\n")
    seen.write_text("\n".join(["another boot", *rest]))
    again, said = machine.installed("shop-worker", "2")
    assert "warning" not in said, "all that is checked after a restart is there"
    assert is_right(again)
    third, _ = machine.installed("shop-cron", "1")
    assert (site_of(third) / "both.py").samefile(site_of(second) / "both.py"), (
        "the note of a lost set is renewed"
    )


def _remove_a_file(env: Path) -> None:
    (package,) = env.rglob("both.py")
    package.parent.chmod(0o755)
    package.unlink()


CHANGES: dict[str, Callable[[Path], object]] = {
    "another content": lambda env: flip(next(env.rglob("both.py"))),
    "a file less": _remove_a_file,
    "no list of its files": lambda env: next(env.parent.glob("*.files")).unlink(),
    "no record of its state": lambda env: next(env.parent.glob("*.seen")).unlink(),
    "a damaged record": lambda env: next(env.parent.glob("*.seen")).write_text("x"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_set_that_changed_is_not_linked_for_another_role(
    machine: Machine, change: Callable[[Path], object]
) -> None:
    machine.installed("shop", "1")
    (env,) = (path for path in envs(machine.release("shop", "2")).iterdir() if path.is_dir())
    change(env)
    second, _ = machine.installed("shop-worker", "1")
    assert is_right(second)
    (made,) = (path for path in envs(second).iterdir() if path.is_dir())
    assert not [path for path in envs(second).iterdir() if ".new" in path.name]
    assert (next(made.rglob("both.py"))).read_text() == "WHO = 'later'\n"


def test_a_set_that_is_removed_while_another_role_links_it(machine: Machine) -> None:
    machine.installed("shop", "1")
    release = machine.release("shop-worker", "1")
    place = envs(machine.release("shop", "2"))
    once = (
        f"os.path.exists('once') or (open('once', 'w'), os.rename({str(place)!r}, {str(place) + '.old'!r}))"
    )
    done = machine.hooked(release, "event == 'os.link'", 2, once)
    assert done.returncode == 0, done
    assert is_right(release)


def test_a_set_that_was_changed_is_never_linked_again(machine: Machine) -> None:
    """Another file of the same size and time is in the place of one: the time of its folder shows it."""
    first, _ = machine.installed("shop", "1")
    package = (site_of(first) / "both.py").resolve()
    facts = package.stat()
    package.parent.chmod(0o755)
    package.with_name("other.py").write_text("WHO = 'wrong'\n")
    os.utime(package.with_name("other.py"), ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert package.with_name("other.py").stat().st_size == facts.st_size
    package.with_name("other.py").rename(package)
    second, said = machine.installed("shop", "2")
    assert f"warning: someone changed {envs(first)}/" in said
    assert is_right(second)
    assert is_right(machine.installed("shop-worker", "1")[0])


def test_packages_of_another_python_are_refused(machine: Machine) -> None:
    release, _ = machine.installed("shop", "1")
    (env,) = (path for path in envs(release).iterdir() if path.is_dir())
    other = env.with_name("other")
    (other / "lib/python3.1/site-packages").mkdir(parents=True)
    again = machine.release("shop", "2")
    done = install(again, FAP_PACKAGES=str(other), FAP_PYTHON=sys.executable)
    assert done.returncode == 1
    assert f"the packages in {other} are not for Python 3." in done.stderr
    assert not (again / "venv").exists()
