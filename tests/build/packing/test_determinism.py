"""The same commit gives the same bytes under different circumstances."""

import hashlib
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.parts.project import Project

# One worker fetches and builds what only an index has.
pytestmark = pytest.mark.index

LOCK = (Path(__file__).with_name("requirements.txt")).read_text()
PYPROJECT = """\
[tool.fapbuild]
app = "shop"
exclude = ["*.src"]

[[tool.fapbuild.assets]]
name = "front"
run = ["mkdir -p static/dist", "cat front.src > static/dist/app.js", "umask > static/dist/umask"]
outputs = ["static/dist"]
"""


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory, build_env: dict[str, str]) -> Project:
    """A project with one dependency that has only an sdist, one compiled, and awkward files."""
    made = Project(tmp_path_factory.mktemp("big"), build_env)
    made.write(
        {
            "pyproject.toml": PYPROJECT,
            "requirements.in": "docopt==0.6.2\nmarkupsafe\nclick\n",
            "requirements.txt": LOCK,
            "front.src": "compiled",
            "run.sh": "#!/bin/sh\n",
            "large.bin": random.Random(7).randbytes(5 << 20),
            f"{'deep/' * 30}ünïcode and spaces.txt": "x",
            "empty": b"",
            **{f"many/{number}.py": f"number = {number}\n" * number for number in range(150)},
        }
    )
    (made.folder / "run.sh").chmod(0o755)
    (made.folder / "link").symlink_to("many/1.py")
    return made.commit()


@pytest.fixture(scope="module")
def digest(big: Project) -> str:
    return big.pack()["digest"]


@pytest.fixture
def clone(big: Project, tmp_path: Path) -> Project:
    folder = tmp_path / "another folder"
    subprocess.run(["git", "clone", "--quiet", big.folder, folder], check=True)
    return Project(folder, big.env)


def test_the_digest_is_that_of_the_file(big: Project, digest: str) -> None:
    (path,) = (big.folder / "dist").glob("*.tgz")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


def test_in_another_folder_at_another_time(clone: Project, digest: str) -> None:
    for path in clone.folder.rglob("*.py"):
        os.utime(path, (1, 1))
    assert clone.pack(TZ="Pacific/Kiritimati", LANG="C", PYTHONHASHSEED="1")["digest"] == digest


def test_under_another_umask(clone: Project, digest: str) -> None:
    shell = ("sh", "-c", 'umask 077; exec "$@"', "sh")
    assert clone.pack(wrap=shell)["digest"] == digest


def test_on_one_core(clone: Project, digest: str) -> None:
    assert clone.pack(wrap=("taskset", "-c", "0"))["digest"] == digest


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user can reach; pytest's own are for its user alone."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_by_another_user(clone: Project, digest: str, open_folder: Path) -> None:
    clone = Project(clone.folder.rename(open_folder / "theirs"), clone.env)
    if os.getuid() == 0:
        for path in (open_folder, *open_folder.rglob("*")):
            os.chown(path, 4321, 4321, follow_symlinks=False)
        # Another user, who may still read the Python that root has in its home.
        reading = "+dac_read_search"
        other = ("setpriv", "--reuid=4321", "--regid=4321", "--clear-groups")
        other += (f"--inh-caps={reading}", f"--ambient-caps={reading}")
    else:
        other = ("unshare", "--user", "--map-root-user")
    who = subprocess.run([*other, "id", "-u"], capture_output=True, text=True, check=True).stdout
    assert int(who) != os.getuid()
    assert clone.pack(wrap=other, HOME=str(open_folder))["digest"] == digest


def test_with_a_cache_that_was_lost(clone: Project, digest: str, tmp_path: Path, big: Project) -> None:
    """All wheels come back the same, except those built from sdists, which the cache must keep."""
    kept = Path(big.env["FAP_CACHE"]) / "answers" / "built"
    cache = tmp_path / "cache"
    (cache / "answers").mkdir(parents=True)
    subprocess.run(["cp", "-r", str(kept), str(cache / "answers")], check=True)
    subprocess.run(["cp", "-r", str(kept.parent.parent / "blobs"), str(cache)], check=True)
    facts = clone.pack(FAP_CACHE=str(cache))
    assert re.search(r"downloading (\d+) of \1 wheels", facts["talk"])
    assert "from its sdist" not in facts["talk"]
    assert facts["digest"] == digest


def test_sources_date_epoch_wins(clone: Project, digest: str) -> None:
    facts = clone.pack(SOURCE_DATE_EPOCH="1000000000")
    assert facts["digest"] != digest
    shown = clone.run("inspect", "--json", facts["path"]).stdout
    assert '"epoch":1000000000,' in shown


def test_a_bad_source_date_epoch_is_refused(clone: Project) -> None:
    done = clone.run("pack", SOURCE_DATE_EPOCH="yesterday")
    assert done.returncode == 2
    assert "SOURCE_DATE_EPOCH is 'yesterday'" in done.stderr


def test_two_at_once(project: Project, local_lock: str, tmp_path: Path) -> None:
    """Two builds with an empty cache give complete and identical artifacts."""
    project.commit({"requirements.txt": local_lock})
    env = {**os.environ, **project.env, "FAP_CACHE": str(tmp_path / "cache")}
    argv = [sys.executable, "-m", "fapbuild", "pack", "--version=1"]
    running = [
        subprocess.Popen(argv, cwd=project.folder, env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert said[0] == said[1]
    (path,) = (project.folder / "dist").glob("*.tgz")
    assert said[0].split()[1] == hashlib.sha256(path.read_bytes()).hexdigest()


FILES = st.dictionaries(
    st.text("ab ü.-", min_size=1, max_size=6).map(lambda name: f"d/{name.strip('. -') or 'x'}"),
    st.one_of(st.binary(max_size=50), st.integers(60_000, 70_000).map(bytes)),
    min_size=1,
    max_size=12,
)
PLACES = st.fixed_dictionaries(
    {
        "TZ": st.sampled_from(["UTC", "Pacific/Kiritimati", "America/Caracas"]),
        "LC_ALL": st.sampled_from(["C", "C.UTF-8", "POSIX"]),
        "PYTHONHASHSEED": st.sampled_from(["0", "1", "77"]),
    }
)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=FILES,
    executable=st.booleans(),
    order=st.randoms(use_true_random=False),
    umask=st.sampled_from(["022", "077", "002"]),
    cores=st.sampled_from(["0", f"0-{(os.cpu_count() or 1) - 1}"]),
    place=PLACES,
)
def test_any_tree_anywhere(
    build_env: dict[str, str],
    files: dict[str, bytes],
    executable: bool,
    order: random.Random,
    umask: str,
    cores: str,
    place: dict[str, str],
) -> None:
    """Two folders, filled in different order and packed in different environments, give one digest."""
    names = list(files)
    with tempfile.TemporaryDirectory() as name:
        digests = []
        for number in range(2):
            folder = Path(name) / ("a" * (1 + 40 * number))
            folder.mkdir()
            made = Project(folder, build_env)
            made.write({"pyproject.toml": '[tool.fapbuild]\napp = "any"\n'})
            made.write({path: files[path] for path in names})
            (folder / min(names)).chmod(0o755 if executable else 0o644)
            order.shuffle(names)
            made.commit()
            wrap = ("taskset", "-c", cores, "sh", "-c", f'umask {umask}; exec "$@"', "sh") if number else ()
            digests.append(made.pack(wrap=wrap, **(place if number else {}))["digest"])
        assert digests[0] == digests[1]
