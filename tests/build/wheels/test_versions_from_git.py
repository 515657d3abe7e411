"""Packages that ask git while they are built: they get the commit and its tags, as in a clone."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from fapbuild.project.git_versions import asks_git
from tests.parts.project import Project

pytestmark = pytest.mark.slow  # fetches build backends

APP = '[project]\nname = "shop"\ndynamic = ["version"]\n[tool.fapbuild]\npackage = true\n'
BACKENDS = {
    "setuptools-scm": '[build-system]\nrequires = ["setuptools>=64", "setuptools_scm>=8"]\n'
    'build-backend = "setuptools.build_meta"\n[tool.setuptools_scm]\n',
    "hatch-vcs": '[build-system]\nrequires = ["hatchling", "hatch-vcs"]\nbuild-backend = "hatchling.build"\n'
    '[tool.hatch.version]\nsource = "vcs"\n',
    "versioningit": '[build-system]\nrequires = ["setuptools", "versioningit"]\n'
    'build-backend = "setuptools.build_meta"\n[tool.versioningit]\n',
    "pdm-backend": '[build-system]\nrequires = ["pdm-backend"]\nbuild-backend = "pdm.backend"\n'
    '[tool.pdm.version]\nsource = "scm"\n',
}


def wheel_of(project: Project, into: Path, **env: str) -> Path:
    """The project's own wheel in an artifact that is packed now, in the new folder `into`."""
    into.mkdir()
    subprocess.run(["tar", "xzf", project.pack(**env)["path"], "wheels"], cwd=into, check=True)
    (wheel,) = (into / "wheels").glob("shop-*.whl")
    return wheel


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_version_is_that_of_the_tag(project: Project, tmp_path: Path, backend: str) -> None:
    project.commit({"pyproject.toml": BACKENDS[backend] + APP, "src/shop/__init__.py": ""})
    project.git("tag", "v1.4")
    assert wheel_of(project, tmp_path / "one").name.startswith("shop-1.4-")
    project.commit({"README": "a commit later"})
    later = wheel_of(project, tmp_path / "two").name
    assert not later.startswith("shop-1.4-")
    assert "dirty" not in later
    project.git("tag", "--annotate", "--message=x", "v2.0")
    assert wheel_of(project, tmp_path / "three").name.startswith("shop-2.0-")


def test_data_files_that_git_knows_are_in_the_wheel(project: Project, tmp_path: Path) -> None:
    text = BACKENDS["setuptools-scm"] + APP + "[tool.setuptools.packages.find]\nwhere = ['src']\n"
    project.commit({"pyproject.toml": text, "src/shop/__init__.py": "", "src/shop/pages/index.html": "<p>"})
    with zipfile.ZipFile(wheel_of(project, tmp_path / "out")) as wheel:
        assert "shop/pages/index.html" in wheel.namelist()


def test_a_package_of_a_monorepo_and_a_new_tag(tmp_path: Path, local_env: dict[str, str]) -> None:
    """A tag that is set after the first pack is another question to the cache."""
    whole = Project(tmp_path / "whole", local_env)
    whole.folder.mkdir()
    scm = BACKENDS["hatch-vcs"] + '[tool.hatch.version.raw-options]\nroot = "../.."\n'
    whole.commit({"apps/shop/pyproject.toml": scm + APP, "apps/shop/src/shop/__init__.py": "", "other/x": ""})
    shop = Project(whole.folder / "apps" / "shop", local_env)
    whole.git("tag", "v1.0")
    assert wheel_of(shop, tmp_path / "one").name.startswith("shop-1.0-")
    whole.git("tag", "--delete", "v1.0")
    whole.git("tag", "v1.1")
    assert wheel_of(shop, tmp_path / "two").name.startswith("shop-1.1-")


def test_a_version_in_a_variable_counts_in_the_cache(project: Project, tmp_path: Path) -> None:
    project.commit({"pyproject.toml": BACKENDS["hatch-vcs"] + APP, "src/shop/__init__.py": ""})
    for version in ("2.5", "2.6"):
        wheel = wheel_of(project, tmp_path / version, SETUPTOOLS_SCM_PRETEND_VERSION=version)
        assert wheel.name.startswith(f"shop-{version}-")


@pytest.mark.parametrize(
    ("files", "asks"),
    [
        *(({"pyproject.toml": text}, True) for text in BACKENDS.values()),
        ({"setup.py": "setup(use_scm_version=True)"}, True),
        ({"setup.py": "subprocess.run(['git', 'describe'])"}, True),
        ({"setup.cfg": "[versioneer]"}, True),
        ({"pyproject.toml": '[build-system]\nrequires = ["setuptools>=61", "wheel"]\n'}, False),
        ({"pyproject.toml": "["}, False),
        ({}, False),
    ],
)
def test_which_packages_ask_git(tmp_path: Path, files: dict[str, str], asks: bool) -> None:
    Project(tmp_path).write(files)
    assert asks_git(tmp_path) is asks
