"""An artifact that `fapbuild pack` made, the same with a wheel, and the packages a host has of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts.laid_out import with_wheels
from tests.parts.site import Site
from tests.parts.wheelhouse import make_wheel

BIN = Path(sys.executable).parent
PYPROJECT = """\
[project]
name = "shop"
version = "1"
requires-python = ">=3.8"
[tool.fapbuild]
app = "shop"
requirements = "requirements.in"
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of a small project without dependencies."""
    source = tmp_path_factory.mktemp("source")
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "app.py").write_text("VERSION = 'packed'\n")
    (source / "requirements.in").write_text("")
    (source / "it's a file.txt").write_text("é\n")
    who = ("-c", "user.name=shop", "-c", "user.email=shop@example.com")
    for words in (["init", "-q"], ["add", "--all"], [*who, "commit", "-q", "-m", "A shop"]):
        subprocess.run(["git", *words], cwd=source, check=True)
    argv = [str(BIN / "fapbuild"), "pack", "--allow-dirty", "-o", str(source / "dist")]
    done = subprocess.run(argv, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next((source / "dist").glob("*.tgz"))


@pytest.fixture(scope="module")
def with_a_wheel(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packed artifact, with one wheel that it did not have."""
    folder = tmp_path_factory.mktemp("with-a-wheel")
    (folder / "artifact").mkdir()
    subprocess.run(["tar", "xzf", packed], cwd=folder / "artifact", check=True)
    with_wheels(folder / "artifact", [make_wheel(folder, "parts")])
    subprocess.run(["sh", "-c", "tar czf ../shop.tgz .fap *"], cwd=folder / "artifact", check=True)
    return folder / "shop.tgz"


def set_of(site: Site) -> Path:
    """The one set of packages that the app has."""
    (made,) = (path for path in (site.path / ".fap/envs").iterdir() if path.is_dir())
    assert made.is_dir()
    assert not made.is_symlink()
    return made


def is_right(site: Site) -> bool:
    argv = [site.path / "current/venv/bin/python", "-c", "import parts; print(parts.__file__)"]
    done = subprocess.run(argv, capture_output=True, text=True)
    return done.stdout.startswith(str(site.path / "current/venv"))
