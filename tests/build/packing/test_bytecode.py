"""`bytecode = true`: the artifact has the bytecode of its wheels, from the same Python the same bytes."""

import subprocess
import sys
from pathlib import Path

import pytest

from artifact_store.artifact.archive import read_manifest
from tests.parts.installer import install, output, site_of
from tests.parts.project import PYPROJECT, Project


@pytest.fixture
def compiled(project: Project, local_lock: str) -> Project:
    return project.commit(
        {
            "pyproject.toml": f"{PYPROJECT}bytecode = true\n",
            "requirements.in": "greet\n",
            "requirements.txt": local_lock,
        }
    )


def test_packed_verified_and_installed(compiled: Project, tmp_path: Path) -> None:
    first = compiled.pack()
    again = compiled.pack("-o", str(tmp_path / "again"), FAP_CACHE=str(tmp_path / "cache"))
    assert first["digest"] == again["digest"]
    manifest = read_manifest(Path(first["path"]))
    assert manifest.builder.bytecode == "{}.{}.{}".format(*sys.version_info[:3])
    assert [bool(wheel.bytecode) for wheel in manifest.wheels] == [True, True]
    assert compiled.run("verify", first["path"]).returncode == 0
    folder = tmp_path / "release"
    folder.mkdir()
    subprocess.run(["tar", "xzf", first["path"]], cwd=folder, check=True)
    assert len(list((folder / "wheels").glob("*.bytecode"))) == 2
    assert install(folder).returncode == 0
    assert output(folder / "venv/bin/greet") == "greet 1.0\n"
    assert {path.name.partition(".")[0] for path in site_of(folder).rglob("*.pyc")} == {"greet", "left_pad"}


def test_without_it_the_artifact_is_as_before(compiled: Project) -> None:
    with_it = read_manifest(Path(compiled.pack()["path"]))
    compiled.commit({"pyproject.toml": PYPROJECT})
    path = Path(compiled.pack()["path"])
    without = read_manifest(path)
    assert without.builder.bytecode == ""
    assert [wheel.sha256 for wheel in without.wheels] == [wheel.sha256 for wheel in with_it.wheels]
    assert not any(wheel.bytecode for wheel in without.wheels)


def test_a_target_whose_python_is_not_here_is_refused(compiled: Project) -> None:
    done = compiled.run("pack", "--target", "cp399-manylinux_2_28_x86_64")
    assert done.returncode == 2
    assert "bytecode = true, but this machine has no Python 3.99 to compile it" in done.stderr


def test_an_installer_of_its_own_uses_none(compiled: Project) -> None:
    text = f'{PYPROJECT}bytecode = true\ninstaller = "own"\n'
    done = compiled.commit({"pyproject.toml": text, "install.sh": "#!/bin/sh\n"}).run("pack")
    assert done.returncode == 2
    assert "bytecode: your own install.sh does not use it" in done.stderr
