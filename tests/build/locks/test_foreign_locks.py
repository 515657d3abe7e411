"""Locks of other tools: PEP 751, uv, Poetry."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.markers import default_environment

from artifact_store.core.errors import FapError, UsageError
from fapbuild.locks import Origin, Pin, exporters, pipfile, pylock
from fapbuild.locks.poetry_lock import with_dropped
from fapbuild.project.platforms import marker_environment, parse
from tests.parts.lock_texts import COMMIT, ONE, PYLOCK, TWO
from tests.parts.project import Project
from tests.parts.source_package import below, package
from tests.parts.webserver import offer, serve
from tests.parts.wheelhouse import make_wheel

HERE = {key: str(value) for key, value in default_environment().items()}


def read(text: str, *extras: str, groups: tuple[str, ...] = (), target: str = "") -> dict[str, Pin]:
    environment = marker_environment(parse(target)) if target else HERE
    pins = pylock.read(text, "pylock.toml", Path("/project"), environment, extras, groups)
    return {pin.name: pin for pin in pins}


def test_every_kind_of_package_is_read() -> None:
    pins = read(PYLOCK)
    no = frozenset[str]()
    assert pins["flask"] == Pin(
        "flask", "3.1.0", no, frozenset({ONE, TWO}), index="https://example.org/simple"
    )
    assert pins["fork"].origin == Origin(
        f"git+ssh://git@example.org/me/fork.git@{COMMIT}#subdirectory=python"
    )
    assert pins["shared"].origin == Origin(path="../libs/shared")
    assert pins["loose"] == Pin("loose", "", no, frozenset({TWO}), Origin("https://example.org/loose.zip"))


def test_extras_groups_and_the_target_select() -> None:
    always = {"flask", "fork", "shared", "loose", "server"}
    assert set(read(PYLOCK, target="cp312")) == always
    assert set(read(PYLOCK, target="cp311")) == always | {"old"}
    assert set(read(PYLOCK, "fast", groups=("dev",), target="cp312")) == always | {"quick", "tester"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lock-version", "[[", "pylock.toml can't be read"),
        ('"1.0"', '"2.0"', "pylock.toml can't be read: pylock version 2.0"),
        ('name = "flask"', 'name = "Flask!"', "packages[0]"),
        (f'sha256 = "{ONE}"', f'sha512 = "{ONE}"', "has no sha256"),
        ('type = "git"', 'type = "hg"', "only git"),
        (COMMIT, "main", "not pinned to a commit"),
        ("git@example.org:me/fork.git", "https://me:secret@example.org/x", "contains a user or password"),
        ('name = "quick"', 'name = "flask"', "can't be read"),
        ('created-by', 'requires-python = "<3"\ncreated-by', "does not satisfy the Python version"),
        ('created-by', 'environments = ["os_name == \'nt\'"]\ncreated-by', "does not satisfy any of the"),
    ],
)  # fmt: skip
def test_an_invalid_pylock_is_refused_by_name(old: str, new: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(PYLOCK.replace(old, new))
    assert caught.value.message.startswith("pylock.toml")
    assert message in caught.value.message
    assert "secret" not in caught.value.message
    assert caught.value.hint or "only git" in message or "sha256" in message


def test_an_extra_that_the_lock_does_not_have() -> None:
    with pytest.raises(UsageError, match="no extra 'slow'") as caught:
        read(PYLOCK, "slow")
    assert caught.value.hint == "it has: fast"


def test_a_missing_tool_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [])
    with pytest.raises(FapError, match=r"uv.lock can only be read with uv") as caught:
        exporters.export("uv.lock", tmp_path, (), ())
    assert caught.value.hint == "pip install 'uv>=0.7'"


@pytest.fixture(scope="module")
def index(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real index of `greet`, `left-pad`, `colour` (not for Linux) and `extra`."""
    more = tmp_path_factory.mktemp("more")
    for name in ("colour", "extra"):
        make_wheel(more, name)
    with serve() as site:
        yield offer(site, [*wheelhouse.glob("*.whl"), *more.glob("*.whl")])


UV = """\
[project]
name = "shop"
version = "1"
requires-python = ">=3.11"
dependencies = ["greet"]
[project.optional-dependencies]
more = ["extra"]
[[tool.uv.index]]
url = "{index}"
default = true
"""
POETRY = """\
[tool.poetry]
name = "shop"
package-mode = false
[tool.poetry.dependencies]
python = ">=3.11"
greet = "*"
[tool.poetry.group.more.dependencies]
extra = "*"
[[tool.poetry.source]]
name = "here"
url = "{index}"
"""


PDM = """\
[project]
name = "shop"
version = "1"
requires-python = ">=3.11"
dependencies = ["greet"]
[project.optional-dependencies]
more = ["extra"]
[dependency-groups]
dev = ["extra"]
[[tool.pdm.source]]
name = "pypi"
url = "{index}"
verify_ssl = false
"""
PIPFILE = """\
[[source]]
name = "here"
url = "{index}"
verify_ssl = false
[packages]
greet = "*"
[more]
extra = "*"
[dev-packages]
extra = "*"
"""


@pytest.mark.parametrize(
    ("lock", "source", "text", "choice"),
    [
        ("uv.lock", "pyproject.toml", UV, 'extras = ["more"]\n'),
        ("poetry.lock", "pyproject.toml", POETRY, 'groups = ["more"]\n'),
        ("pdm.lock", "pyproject.toml", PDM, 'extras = ["more"]\n'),
        ("Pipfile.lock", "Pipfile", PIPFILE, 'groups = ["more"]\n'),
    ],
    ids=["uv", "poetry", "pdm", "pipenv"],
)
def test_a_lock_of_another_tool_is_packed_and_renewed(
    project: Project, index: str, lock: str, source: str, text: str, choice: str
) -> None:
    """Only the lock, or what it was made from, names the index."""
    settings = f'[tool.fapbuild]\napp = "shop"\nlock = "{lock}"\n'
    project.write({source: text.format(index=index)})
    text = text.format(index=index) if source == "pyproject.toml" else ""
    project.write({"pyproject.toml": text + settings})
    if lock == "pdm.lock":  # which locks no optional group by itself
        locked = subprocess.run(
            [Path(sys.executable).parent / "pdm", "lock", "--quiet", "--group=more"],
            cwd=project.folder,
            env={**os.environ, **exporters.ENV},
            check=False,
            capture_output=True,
            text=True,
        )
        assert locked.returncode == 0, locked.stderr
    done = project.run("lock", "--upgrade")
    assert (done.returncode, done.stdout) == (0, f"{project.folder / lock}\n"), done.stderr
    assert "newest version of every package" not in done.stderr
    if lock == "Pipfile.lock":
        assert (
            f"the newest version of every package; look at them: git diff {lock}"
            in project.run("lock").stderr
        )
    path = project.commit().pack(PIP_FIND_LINKS="")["path"]
    assert "  greet 1.0\n  left-pad 1.0\n" in project.run("inspect", path).stdout
    assert project.run("verify", path).returncode == 0
    facts = project.commit({"pyproject.toml": text + settings + choice}).pack(PIP_FIND_LINKS="")
    assert "  extra 1.0\n  greet 1.0\n  left-pad 1.0\n" in project.run("inspect", facts["path"]).stdout
    assert project.git("status", "--porcelain") == ""


def test_a_lock_of_an_older_pipenv_is_not_stale(project: Project, index: str) -> None:
    """It has the hash of the names as they are written: `Greet`."""
    text = PIPFILE.format(index=index).replace("greet", "Greet")
    project.write(
        {"Pipfile": text, "pyproject.toml": '[tool.fapbuild]\napp = "shop"\nlock = "Pipfile.lock"\n'}
    )
    assert project.run("lock").returncode == 0
    lock = project.folder / "Pipfile.lock"
    facts = json.loads(lock.read_text())
    older = {**facts, "_meta": {**facts["_meta"], "hash": {"sha256": pipfile.digest(text)}}}
    assert older != facts
    path = project.commit({"Pipfile.lock": json.dumps(older)}).pack(PIP_FIND_LINKS="")["path"]
    assert "  greet 1.0\n  left-pad 1.0\n" in project.run("inspect", path).stdout
    done = project.commit({"Pipfile": text.replace('"*"', '">=1"', 1)}).run("pack")
    assert done.returncode == 2
    assert "Pipfile.lock is stale" in done.stderr


def test_folders_in_a_poetry_lock_are_the_project_s_own(project: Project, index: str) -> None:
    """Poetry writes them as absolute URLs, and without a name if they are editable."""
    folders = 'mine = {path = "a b/mine", develop = true}\nyours = {path = "./yours"}\n'
    text = POETRY.format(index=index).replace('greet = "*"\n', folders)
    project.write(below("a b/mine", package("mine")) | below("yours", package("yours")))
    settings = '[tool.fapbuild]\napp = "shop"\nlock = "poetry.lock"\n'
    done = project.write({"pyproject.toml": text + settings}).run("lock")
    assert done.returncode == 0, done.stderr
    facts = project.commit().pack(PIP_FIND_LINKS="")
    assert "building mine from a b/mine\n" in facts["talk"]
    assert "  left-pad 1.0\n  mine 1.0\n  yours 1.0\n" in project.run("inspect", facts["path"]).stdout


def test_a_stale_lock_of_uv_is_refused(project: Project, index: str) -> None:
    text = UV.format(index=index) + '[tool.fapbuild]\nlock = "uv.lock"\n'
    project.write({"pyproject.toml": text}).run("lock")
    project.commit({"pyproject.toml": text.replace('"greet"', '"greet", "extra>=1"')})
    done = project.run("pack")
    assert done.returncode == 2
    assert "uv.lock is stale: extra>=1 is not in it" in done.stderr
    assert "hint: run `fapbuild lock`" in done.stderr


def test_a_pylock_is_not_written_by_us(project: Project) -> None:
    done = project.write({"pylock.toml": PYLOCK}).run("lock")
    assert done.returncode == 2
    assert "written by other tools" in done.stderr


FILES = [{"hash": f"sha256:{ONE}"}]


def test_what_poetry_does_not_export() -> None:
    lock = {
        "package": [
            {
                "name": "web",
                "version": "1",
                "dependencies": {
                    "Loop": {"version": ">=1", "markers": '(sys_platform != "win32") and extra == "fast"'},
                    "win": {"version": ">=1", "markers": 'sys_platform == "win32" and extra == "fast"'},
                    "known": ">=1",
                    "other": {"version": ">=1", "markers": 'extra == "slow"'},
                },
            },
            {
                "name": "loop",
                "version": "2",
                "files": [{"hash": f"sha256:{ONE}"}],
                "dependencies": {"deep": "*"},
            },
            {"name": "deep", "version": "3", "source": {"type": "git"}},
            {"name": "win", "version": "4"},
            {"name": "other", "version": "5"},
        ]
    }
    pins = [Pin("known", "1", frozenset(), frozenset()), Pin("web", "1", frozenset({"fast"}), frozenset())]
    found = with_dropped(pins, lock, {"sys_platform": "linux"})
    assert found == (pins[0], Pin("loop", "2", frozenset(), frozenset({ONE})), pins[1])
