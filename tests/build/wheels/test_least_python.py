"""The patch level of Python counts: the oldest release on which an artifact runs is computed, and shown."""

import json
import sys
from pathlib import Path

import pytest

from tests.parts.project import PYPROJECT, Project
from tests.parts.wheelhouse import make_wheel, pin

HERE = sys.version_info
MINOR = f"3.{HERE.minor}"


def locked(project: Project, house: Path, *lines: str, target: str = "") -> Project:
    """A lock of one wheel whose metadata has these lines."""
    info = "odd-1.0.dist-info/METADATA"
    text = "Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n" + "".join(f"{line}\n" for line in lines)
    wheel = make_wheel(house, "odd", also={info: text})
    settings = PYPROJECT + (f'target = "{target}"\n' if target else "")
    return project.commit(
        {"pyproject.toml": settings, "requirements.in": "odd", "requirements.txt": pin(wheel)}
    )


def least(project: Project, path: str) -> str:
    return str(json.loads(project.run("inspect", "--json", path).stdout)["target"]["least_python"])


@pytest.mark.parametrize(
    ("line", "patch"),
    [
        (f"Requires-Python: >={MINOR}.2", "2"),
        (f"Requires-Python: >=3.8, !={MINOR}.0, !={MINOR}.1", "2"),
        (f'Requires-Dist: absent; python_full_version < "{MINOR}.3"', "3"),
        (f'Requires-Dist: absent; python_full_version <= "{MINOR}.3"', "4"),
        ("Requires-Python: >=3.8", ""),
        ("Requires-Python: some day", ""),
    ],
)
def test_the_least_python_is_computed_and_shown(
    project: Project, tmp_path: Path, line: str, patch: str
) -> None:
    facts = locked(project, tmp_path / "house", line).pack(PIP_FIND_LINKS=str(tmp_path / "house"))
    release = f"{MINOR}.{patch}" if patch else ""
    assert least(project, facts["path"]) == release
    assert (f"hosts need Python {release} or newer: " in facts["talk"]) is bool(patch)
    shown = project.run("inspect", facts["path"]).stdout
    assert (f", Python {release} or newer" in shown) is bool(patch)


def test_another_python_is_not_its_first_release(project: Project, tmp_path: Path) -> None:
    """cryptography 45 excludes 3.9.0 and 3.9.1: a target that names no release is a newer one."""
    lines = (
        "Requires-Python: >=3.7, !=3.9.0, !=3.9.1",
        'Requires-Dist: absent; python_full_version < "3.9.4"',
    )
    locked(project, tmp_path / "house", *lines, target="cp39-manylinux_2_28_x86_64")
    facts = project.pack(PIP_FIND_LINKS=str(tmp_path / "house"))
    assert least(project, facts["path"]) == "3.9.4"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"Requires-Python: >={MINOR}.2", "odd 1.0 needs Python >="),
        (
            f'Requires-Dist: absent; python_full_version < "{MINOR}.3"',
            "odd 1.0 needs absent, which is not in",
        ),
    ],
)
def test_a_release_that_the_target_names_is_refused(
    project: Project, tmp_path: Path, line: str, says: str
) -> None:
    env = {"PIP_FIND_LINKS": str(tmp_path / "house")}
    locked(project, tmp_path / "house", line).pack(**env)
    locked(project, tmp_path / "house", line, target=f"cp3{HERE.minor}.1-manylinux_2_36_x86_64")
    done = project.run("pack", **env)
    assert done.returncode == 1
    assert says in done.stderr


def test_the_python_that_the_project_needs(project: Project) -> None:
    text = f'[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.{HERE.minor + 2}"\n'
    done = project.commit({"pyproject.toml": text}).run("pack")
    assert done.returncode == 2
    assert (
        f"the project needs Python >=3.{HERE.minor + 2}, but it is packed for Python {MINOR}" in done.stderr
    )
    assert "hint: pack with such a Python; or name that of your hosts: --target" in done.stderr
    assert "wrong  II dependencies: the project needs Python" in project.run("check").stdout
    text = text.replace(f">=3.{HERE.minor + 2}", f">={MINOR}.1")
    facts = project.commit({"pyproject.toml": text}).pack()
    assert least(project, facts["path"]) == f"{MINOR}.1"
