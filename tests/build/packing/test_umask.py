"""Under umask 000 nothing that others trust is writable for everyone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from artifact_store.blobs.open import make_store
from tests.parts.project import PYPROJECT, Project

OPEN = ("sh", "-c", 'umask 000; exec "$@"', "sh")
STEP = '[[tool.fapbuild.assets]]\nname = "x"\noutputs = ["out"]\nrun = ["mkdir -p $XDG_CACHE_HOME; > out"]\n'


def writable(folder: Path) -> list[str]:
    """What everyone may write to."""
    places = [folder, *folder.rglob("*")]
    return [str(place) for place in places if not place.is_symlink() and place.stat().st_mode & 0o002]


def test_a_pack_and_a_push_leave_nothing_writable_for_everyone(
    project: Project, tmp_path: Path, local_lock: str
) -> None:
    cache, store = tmp_path / "cache" / "below", tmp_path / "stores" / "one"
    make_store(store.as_uri())
    env = {"FAP_CACHE": str(cache), "FAP_STORE": store.as_uri()}
    files = {"pyproject.toml": PYPROJECT + STEP, "requirements.in": "greet\n", "requirements.txt": local_lock}
    options = ("--version=1", "--push", store.as_uri(), "--wheel-store", store.as_uri())
    project.commit(files).pack(*options, wrap=OPEN, **env)
    assert len(list(cache.rglob("*"))) > 10
    assert list(store.rglob("*.tgz"))
    assert list((project.folder / "dist").glob("*.json"))
    for folder in (cache.parent, store.parent, project.folder / "dist"):
        assert writable(folder) == []
    fetch = [sys.executable, "-m", "artifact_store", "fetch", "shop", "1", "-o", str(tmp_path / "shop.tgz")]
    subprocess.run([*OPEN, *fetch], env={**os.environ, **env}, check=True, capture_output=True)
    assert (tmp_path / "shop.tgz").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("umask", ["002", "027", "077"])
def test_a_stricter_umask_counts(project: Project, tmp_path: Path, umask: str) -> None:
    wrap = ("sh", "-c", f'umask {umask}; exec "$@"', "sh")
    project.pack(wrap=wrap, FAP_CACHE=str(tmp_path / "cache"))
    taken = int(umask, 8)
    folders = [path for path in (tmp_path / "cache").rglob("*") if path.is_dir()]
    assert folders
    assert [path for path in folders if path.stat().st_mode & taken] == []
    assert (project.folder / "dist").stat().st_mode & taken == 0
