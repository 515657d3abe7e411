"""The project's lock: reading it, noticing that it is stale, writing it."""

import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from artifact_store.core.errors import UsageError
from fapbuild.locks import Pin, parse_lock, stale
from fapbuild.locks.requirements_file import parse, with_extras
from tests.parts.lock_texts import LOCK, ONE, TWO
from tests.parts.project import PYPROJECT, Project
from tests.parts.wheelhouse import make_wheel, pin

INDEX = "https://example.org/simple"
FLASK = Pin("flask", "3.1.0", frozenset({"async"}), frozenset({ONE, TWO}), index=INDEX)
ZOPE = Pin("zope-interface", "5.0", frozenset(), frozenset({TWO}), index=INDEX)


def test_a_lock_is_read_for_this_interpreter() -> None:
    assert parse_lock(LOCK, "requirements.txt") == (FLASK, ZOPE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flask", "lock line 1: flask is not pinned"),
        (f"\nflask>=3 --hash=sha256:{ONE}", "lock line 2: flask>=3 is not pinned"),
        (f"flask==3.* --hash=sha256:{ONE}", "is not pinned"),
        ("flask==3.0", "is not pinned"),
        ("flask==3.0 --hash=md5:00", "is not pinned"),
        (f"not a name --hash=sha256:{ONE}", "is not a requirement"),
        ("flask @ https://example.org/f.whl", "has no --hash=sha256"),
        ("flask @ git+https://example.org/f@main", "is not pinned to a commit"),
        (f"flask @ git+https://me:secret@example.org/f@{'a' * 40}", "contains a user or password"),
        (f"flask @ git+https://ghp_secret@example.org/f@{'a' * 40}", "contains a user or password"),
        ("--index-url https://me:secret@example.org/simple", "contains a user or password"),
        ("flask @ hg+https://example.org/f@1", "only git repositories"),
        ("flask @ file:///home/me/flask", "is an absolute path"),
        ("./libs/flask", "has no name"),
        (f"a==1 --hash=sha256:{ONE}\nA==2 --hash=sha256:{ONE}", "pins a more than once"),
    ],
)
def test_other_lines_are_refused_by_number(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_lock(text, "lock")
    assert message in caught.value.message
    assert "secret" not in caught.value.message
    assert caught.value.hint or message in ("is not a requirement", "only git repositories")


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ("flask", ""),
        ("Flask[async]>=3", ""),
        ("zope_interface", ""),
        ('absent; sys_platform == "win32"', ""),
        ("absent>=1", "absent>=1 is not in it"),
        ("flask>=4", "it has flask 3.1.0, but flask>=4 is required"),
        ("flask[dotenv]", "it has flask without [dotenv]"),
    ],
)
def test_a_lock_is_stale_when_a_requirement_is_not_met(wanted: str, reason: str) -> None:
    assert stale(parse([wanted], "here"), [FLASK, ZOPE]) == reason


def test_a_lock_without_extras_stands_for_those_that_are_asked_for() -> None:
    """uv writes such locks, and so does pip-compile with --strip-extras."""
    required = parse(["flask[dotenv]", "Flask[async]"], "here")
    bare = replace(FLASK, extras=frozenset())
    assert with_extras((bare, ZOPE), required) == (
        replace(FLASK, extras=frozenset({"async", "dotenv"})),
        ZOPE,
    )
    assert with_extras((FLASK, ZOPE), required) == (FLASK, ZOPE)
    assert stale(required, with_extras((bare, ZOPE), required)) == ""


def test_a_committed_lock_is_used_as_it_is(project: Project, local_lock: str) -> None:
    project.commit({"requirements.in": "greet\n", "requirements.txt": local_lock})
    assert "warning" not in project.pack()["talk"]


def test_a_missing_lock_is_made_for_this_build_only(project: Project) -> None:
    project.commit({"requirements.in": "greet\n"})
    facts = project.pack()
    assert "warning: requirements.txt is not committed" in facts["talk"]
    assert "hint: run `fapbuild lock`, then commit requirements.txt" in facts["talk"]
    assert not (project.folder / "requirements.txt").exists()
    shown = project.run("inspect", facts["path"]).stdout
    assert "  greet 1.0\n  left-pad 1.0\n" in shown


def test_lock_writes_a_lock_that_pack_is_content_with(project: Project, local_lock: str) -> None:
    project.commit({"pyproject.toml": '[project]\nname = "Shop"\ndependencies = ["greet"]\n'})
    done = project.run("lock")
    assert done.returncode == 0
    assert done.stdout == f"{project.folder / 'requirements.txt'}\n"
    text = (project.folder / "requirements.txt").read_text()
    assert parse_lock(text, "lock") == parse_lock(local_lock, "lock")
    assert "# via pyproject.toml" in text
    assert "/tmp" not in text
    assert "find-links" not in text
    assert "warning" not in project.commit().pack()["talk"]


def test_a_stale_lock_keeps_its_other_pins(project: Project, tmp_path: Path) -> None:
    house = tmp_path / "house"
    old = make_wheel(house, "steady", "1.0")
    make_wheel(house, "steady", "2.0")
    make_wheel(house, "added", "1.0")
    project.commit({"requirements.in": "steady\nadded\n", "requirements.txt": pin(old)})
    facts = project.pack(PIP_FIND_LINKS=str(house))
    assert "warning: requirements.txt is stale: added is not in it" in facts["talk"]
    assert "  added 1.0\n  steady 1.0\n" in project.run("inspect", facts["path"]).stdout
    assert (project.folder / "requirements.txt").read_text() == pin(old)


def test_included_requirements_count(project: Project, local_lock: str) -> None:
    project.commit(
        {
            "requirements.in": "-r more/web.in\n-c limits.txt\n--pre\n",
            "more/web.in": "-r ../base.in\n",
            "base.in": "elsewhere\n",
            "limits.txt": "",
            "requirements.txt": local_lock,
        }
    )
    done = project.run("pack")
    assert done.returncode == 1
    assert "requirements.txt is stale: elsewhere is not in it" in done.stderr
    assert "No matching distribution found for elsewhere" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-e ./here\n", "here is required, but it is not committed"),
        ("-e ../here\n", "../here is required, but it is not committed"),
        ("git+https://example.org/x\n", "has no name"),
        ("x @ git+https://me:secret@example.org/x\n", "contains a user or password"),
        ("\n-r requirements.in\n", "requirements.in line 2: requirements.in includes itself"),
        ("-r absent.in\n", "absent.in is missing"),
        ("~~\n", "'~~' is not a requirement"),
    ],
)
def test_requirements_that_cannot_be_vendored(project: Project, text: str, message: str) -> None:
    done = project.commit({"requirements.in": text}).run("pack")
    assert done.returncode == 2
    assert message in done.stderr


def test_lock_without_requirements_says_where_they_go(project: Project) -> None:
    done = project.run("lock")
    assert done.returncode == 2
    assert "there is nothing to lock" in done.stderr
    assert "hint: list the packages that you import" in done.stderr


def test_a_project_without_dependencies_has_an_empty_lock(project: Project) -> None:
    path = project.pack()["path"]
    assert "\nwheels     0\n" in project.run("inspect", path).stdout
    assert project.run("verify", path).returncode == 0


def test_one_package_with_and_without_extras_is_one_pin() -> None:
    text = f"a==1 --hash=sha256:{ONE}\na[b]==1 --hash=sha256:{ONE}\na[c]==1 --hash=sha256:{ONE}\n"
    assert parse_lock(text, "lock") == (Pin("a", "1", frozenset({"b", "c"}), frozenset({ONE})),)


def test_a_lock_has_what_any_release_of_the_python_needs(project: Project, tmp_path: Path) -> None:
    minor = ".".join(map(str, sys.version_info[:2]))
    for name in ("old", "new", "never"):
        make_wheel(tmp_path / "house", name)
    marks = {"old": f"< '{minor}.1'", "new": f">= '{minor}.1'", "never": f"< '{minor}.0'"}
    requires = tuple(f"{name}; python_full_version {mark}" for name, mark in marks.items())
    make_wheel(tmp_path / "house", "app", requires=requires)
    project.commit({"requirements.in": "app\n"})
    house = {"PIP_FIND_LINKS": str(tmp_path / "house"), "PIP_NO_INDEX": "1"}
    assert project.run("lock", **house).returncode == 0
    names = re.findall(r"^(\w+)==", (project.folder / "requirements.txt").read_text(), re.MULTILINE)
    assert names == ["app", "new", "old"]


def test_a_lock_for_the_oldest_release_of_the_hosts(project: Project, tmp_path: Path) -> None:
    minor = ".".join(map(str, sys.version_info[:2]))
    assert sys.version_info.micro > 1
    for version, needed in (("1.0", ">=3"), ("2.0", f">={minor}.{sys.version_info.micro}")):
        path = make_wheel(tmp_path / "house", "app", version)
        with zipfile.ZipFile(path, "a") as archive:
            name = f"app-{version}.dist-info/METADATA"
            text = f"{archive.read(name).decode()}Requires-Python: {needed}\n"
            archive.writestr(name, text)
    files = {"requirements.in": "app\n", "pyproject.toml": f'{PYPROJECT}target = "{TARGET}"\n'}
    house = {"PIP_FIND_LINKS": str(tmp_path / "house"), "PIP_NO_INDEX": "1"}
    assert project.commit({"requirements.in": "app\n"}).run("lock", **house).returncode == 0
    assert "app==2.0" in (project.folder / "requirements.txt").read_text()
    assert project.commit(files).run("lock", "--upgrade", **house).returncode == 0
    assert "app==1.0" in (project.folder / "requirements.txt").read_text()


TARGET = f"cp3{sys.version_info.minor}.1-manylinux_2_17_x86_64"
