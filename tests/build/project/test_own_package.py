"""The app itself is installed where it is a package, in any layout, without a line to write."""

import subprocess
from pathlib import Path

import pytest

from fapbuild.project import config
from tests.parts.installer import install
from tests.parts.project import Project

MAIN = "from importlib import metadata\n\n\ndef main():\n    print('shop', metadata.version('shop'))\n"
SETUPTOOLS = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
HATCHLING = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
NAMED = '[project]\nname = "shop"\nversion = "3.1"\n'
HATCH = "[tool.hatch.build.targets.wheel]"
MODULES = '[tool.setuptools]\npy-modules = ["shop"]\n'
SCRIPT = '[project.scripts]\nshop = "shop:main"\n'
SETUP = 'from setuptools import setup\nsetup(name="shop", version="3.1", packages=["shop"], {})\n'
LAYOUTS = {
    "flat": {"pyproject.toml": SETUPTOOLS + NAMED + SCRIPT, "shop/__init__.py": MAIN},
    "flat, no commands": {"pyproject.toml": HATCHLING + NAMED, "shop/__init__.py": MAIN},
    "src": {"pyproject.toml": SETUPTOOLS + NAMED, "src/shop/__init__.py": MAIN, "src/other/__init__.py": ""},
    "nested": {
        "pyproject.toml": HATCHLING + NAMED + f'{HATCH}\npackages = ["src/py/shop"]\n',
        "src/py/shop/__init__.py": MAIN,
    },
    "a module": {"pyproject.toml": SETUPTOOLS + NAMED + MODULES, "shop.py": MAIN},
    "setup.py": {
        "fapbuild.toml": 'app = "shop"\n',
        "setup.py": SETUP.format('entry_points={"console_scripts": ["shop = shop:main"]}'),
        "shop/__init__.py": MAIN,
    },
    "setup.cfg": {
        "fapbuild.toml": 'app = "shop"\n',
        "setup.py": "from setuptools import setup\nsetup()\n",
        "setup.cfg": "[metadata]\nname = shop\nversion = 3.1\n[options]\npackages = find:\n",
        "shop/__init__.py": MAIN,
    },
    "poetry": {
        "pyproject.toml": '[tool.poetry]\nname = "shop"\nversion = "3.1"\ndescription = ""\nauthors = []\n'
        '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n',
        "shop/__init__.py": MAIN,
        "requirements.txt": "",
    },
}  # fmt: skip


@pytest.mark.slow  # fetches build backends
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_package_is_installed_with_its_version(project: Project, tmp_path: Path, layout: str) -> None:
    (project.folder / "pyproject.toml").unlink()
    facts = project.commit(LAYOUTS[layout]).pack()
    host = tmp_path / "host"
    host.mkdir()
    subprocess.run(["tar", "xzf", facts["path"]], cwd=host, check=True)
    assert install(host).returncode == 0
    argv = ["./.fap/run", "--", "python", "-c", "import shop; shop.main()"]
    done = subprocess.run(argv, cwd=host, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("shop 3.1\n", "")
    assert (host / "venv/bin/shop").exists() is ("scripts" in "".join(LAYOUTS[layout].values()))


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": NAMED, "shop/__init__.py": ""},
        {"pyproject.toml": SETUPTOOLS + NAMED, "shop/__init__.py": "", "static/x.css": ""},
        {"pyproject.toml": HATCHLING + NAMED + "[tool.uv]\npackage = false\n", "shop/__init__.py": ""},
        {"pyproject.toml": HATCHLING + NAMED + "[tool.fapbuild]\npackage = false\n", "shop/__init__.py": ""},
        {"fapbuild.toml": 'app = "shop"\n', "setup.cfg": "[flake8]\nmax-line-length = 100\n"},
    ],
)
def test_other_projects_are_not(project: Project, files: dict[str, str]) -> None:
    (project.folder / "pyproject.toml").unlink()
    assert "building" not in project.commit(files).pack()["talk"]


def test_setuptools_finds_no_package_among_several() -> None:
    head = {"build-system": {"requires": ["setuptools"]}, "project": {"name": "shop"}}
    head["project"]["scripts"] = {"shop": "shop:main"}  # type: ignore[assignment]
    for more, packaged in (("docs/index.rst", True), ("library/x.db", False), ("src/shop/__init__.py", True)):
        assert config.is_package(frozenset(("shop/__init__.py", more)), lambda name: "", head) == packaged
    head["tool"] = {"setuptools": {"packages": ["shop"]}}  # type: ignore[dict-item]
    assert config.is_package(frozenset(("shop/__init__.py", "library/x.db")), lambda name: "", head)


def test_a_project_with_an_empty_version_is_not_built() -> None:
    head = {"build-system": {"requires": ["pdm-backend"]}, "project": {"name": "shop", "version": ""}}
    assert not config.is_package(frozenset(("src/shop/__init__.py",)), lambda name: "", head)


def test_a_setup_py_that_imports_its_own_package_is_not_built() -> None:
    text = "from setuptools import setup\n{}setup(name='shop', packages=['shop'])\n"
    files = frozenset(("setup.py", "shop/__init__.py", "versioneer.py"))
    for line, packaged in (("", True), ("import versioneer\n", True), ("from shop import VERSION\n", False)):
        read = {"setup.py": text.format(line), "setup.cfg": ""}.__getitem__
        assert config.is_package(files, read, {}) == packaged
