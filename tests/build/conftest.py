"""Projects to pack, and one cache of wheels for all tests of a run."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.parts.project import PYPROJECT, Project
from tests.parts.wheelhouse import make_wheel, pin

PROCFILE = """\
web: python show.py web
assigned: WORD=given python show.py
list: python show.py a && echo b
  spaced:   echo "a  b"\x20
loop: for word in a b; do echo $word; done
"""
SHOW = """\
import os, sys
print(os.getpid(), sys.argv[1:], os.environ.get("WORD"), os.getcwd())
"""


@pytest.fixture(scope="session")
def build_env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of every build: all workers of a run share one cache."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    return {"FAP_CACHE": str(shared / "fapbuild-cache")}


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels `greet` (which has a command) and `left-pad`, which `greet` needs."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    make_wheel(folder, "left-pad")
    make_wheel(folder, "greet", requires=("left-pad>=1", 'colour; sys_platform == "win32"'), script=True)
    return folder


@pytest.fixture(scope="session")
def local_env(build_env: dict[str, str], wheelhouse: Path) -> dict[str, str]:
    """Like `build_env`, but pip also searches the wheelhouse."""
    return {**build_env, "PIP_FIND_LINKS": str(wheelhouse)}


@pytest.fixture(scope="session")
def local_lock(wheelhouse: Path) -> str:
    """A lock of the wheels in the wheelhouse."""
    return "".join(pin(wheel) for wheel in sorted(wheelhouse.glob("*.whl")))


@pytest.fixture
def project(tmp_path: Path, local_env: dict[str, str]) -> Project:
    """The smallest project that can be packed, committed."""
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder, local_env).commit({"pyproject.toml": PYPROJECT, "app.py": "print('hello')\n"})


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory, local_env: dict[str, str], local_lock: str) -> Path:
    """A finished artifact of a small app with two wheels and a Procfile."""
    folder = tmp_path_factory.mktemp("packed")
    made = Project(folder, local_env).commit(
        {
            "pyproject.toml": PYPROJECT,
            "requirements.in": "greet\n",
            "requirements.txt": local_lock,
            "Procfile": PROCFILE,
            "show.py": SHOW,
        }
    )
    return Path(made.pack()["path"])


Unpack = Callable[..., Path]


@pytest.fixture
def unpack(packed: Path, tmp_path: Path) -> Unpack:
    """Unpack the artifact as a person would: `tar xzf`, into a new folder of this name."""

    def unpacked(name: str = "release", env: Mapping[str, str] | None = None) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        subprocess.run(["tar", "xzf", str(packed)], cwd=folder, env=env, check=True)
        return folder

    return unpacked
