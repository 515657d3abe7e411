"""Builds repeat: not from pip's own cache, without the folder of the build in their bytes."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from artifact_store.core.errors import FapError
from fapbuild.wheels.sdist import _unpack
from tests.parts.project import PYPROJECT, Project
from tests.parts.source_package import package
from tests.parts.wheelhouse import pin

EXTENSION = """\
#include <Python.h>
static struct PyModuleDef m = {PyModuleDef_HEAD_INIT, "cext", 0, -1, 0};
PyMODINIT_FUNC PyInit_cext(void) { return PyModule_Create(&m); }
"""


@pytest.mark.slow
def test_the_folder_of_the_build_is_not_in_the_bytes(project: Project, tmp_path: Path) -> None:
    text = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n[project]\n'
    text += 'name = "cext"\nversion = "1"\n[tool.setuptools]\n'
    text += 'ext-modules = [{name = "cext", sources = ["cext.c"]}]\n'
    project.commit({"pyproject.toml": text + "[tool.fapbuild]\npackage = true\n", "cext.c": EXTENSION})
    digests = {project.pack("-o", name, FAP_CACHE=str(tmp_path / name))["digest"] for name in ("one", "two")}
    assert len(digests) == 1


def test_a_wheel_of_pip_s_own_cache_is_not_packed(project: Project, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Project(tmp_path / "other").commit(package("shared"))
    where = f"shared @ git+file://{other.folder}@{other.git('rev-parse', 'HEAD')}"
    argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path / "w", where]
    cache = {"PIP_CACHE_DIR": str(tmp_path / "pip")}
    subprocess.run(argv, check=True, env={**os.environ, **cache})
    project.commit({"requirements.in": where, "requirements.txt": f"{where}\n"})
    house = tmp_path / "pip" / "wheels"
    for wheel in house.rglob("*.whl"):
        with zipfile.ZipFile(wheel, "a") as archive:
            archive.writestr("of_pips_cache.py", "")
    done = project.run("pack", **cache)
    assert "building shared" in done.stderr
    assert "of_pips_cache" not in done.stderr


SETUP = """\
import pkg_resources
from setuptools import setup
setup(name="old", version="1.0", py_modules=["old"])
"""


@pytest.fixture
def old_sdist(tmp_path: Path) -> Path:
    """An sdist that can only be built with a setuptools that still has pkg_resources."""
    folder = tmp_path / "old-1.0"
    folder.mkdir()
    (folder / "setup.py").write_text(SETUP)
    (folder / "old.py").write_text("")
    (folder / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: old\nVersion: 1.0\n")
    (tmp_path / "house").mkdir()
    path = tmp_path / "house" / "old-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, "old-1.0")
    return path


@pytest.mark.slow
@pytest.mark.index
@pytest.mark.parametrize("by", ["settings", "variable"])
def test_constraints_of_build_requirements(project: Project, old_sdist: Path, by: str) -> None:
    env = {"PIP_FIND_LINKS": str(old_sdist.parent)}
    line = pin(old_sdist).replace("1.0.tar.gz", "1.0")
    project.commit({"requirements.in": "old", "requirements.txt": line, "build.txt": "setuptools<81\n"})
    if by == "settings":
        project.commit({"pyproject.toml": f'{PYPROJECT}build_constraints = "build.txt"\n'})
    else:
        env["PIP_BUILD_CONSTRAINT"] = str(project.folder / "build.txt")
    assert "  old 1.0\n" in project.run("inspect", project.pack(**env)["path"]).stdout


def test_constraints_that_are_not_committed(project: Project) -> None:
    done = project.commit({"pyproject.toml": f'{PYPROJECT}build_constraints = "absent.txt"\n'}).run("pack")
    assert done.returncode == 2
    assert "build_constraints: absent.txt is not committed" in done.stderr


def test_a_zip_sdist_keeps_what_may_be_executed(tmp_path: Path) -> None:
    path = tmp_path / "thing-1.0.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("thing-1.0/configure")
        info.external_attr = 0o100755 << 16
        archive.writestr(info, "#!/bin/sh\n")
        archive.writestr("thing-1.0/setup.py", "")
    folder = _unpack(path, tmp_path / "out")
    assert (folder / "configure").stat().st_mode & 0o777 == 0o755
    assert not (folder / "setup.py").stat().st_mode & 0o100


@pytest.mark.parametrize(("encoding", "mark"), [("utf-8", "\ufeff"), ("utf-16", "")])
def test_requirements_with_a_byte_order_mark(
    project: Project, local_lock: str, encoding: str, mark: str
) -> None:
    texts = {"requirements.in": f"{mark}greet\r\n", "requirements.txt": f"{mark}{local_lock}"}
    facts = project.commit({name: text.encode(encoding) for name, text in texts.items()}).pack()
    assert "  greet 1.0\n" in project.run("inspect", facts["path"]).stdout
    done = project.commit({"Procfile": "\ufeffweb: python app.py\n"}).run("pack")
    assert done.returncode == 2
    assert "Procfile line 1" in done.stderr


def test_the_error_is_the_one_that_happened(project: Project) -> None:
    """A backend's own children are ended with it, and what they wrote last does not hide the error."""
    files = package("shop")
    files["backend.py"] = (
        "import subprocess\n\n\ndef build_wheel(*arguments):\n"
        "    subprocess.run(['sh', '-c', 'for n in $(seq 200); do mkdir -p made/$n; sleep 0.05; done'])\n"
    )
    step = (
        '[[tool.fapbuild.assets]]\nname = "front"\nrun = ["sleep 2; echo x > surprise"]\noutputs = ["out"]\n'
    )
    files["pyproject.toml"] += f"[tool.fapbuild]\npackage = true\n{step}"
    done = project.commit({**files, "requirements.in": "", "requirements.txt": ""}).run("pack")
    assert done.returncode == 1
    assert "assets 'front' wrote files that are not in its outputs:\n  surprise" in done.stderr
    seen = subprocess.run(["ps", "axo", "args"], capture_output=True, text=True, check=True).stdout
    assert "mkdir -p made/$n; sleep 0.05" not in seen


def test_the_first_lines_of_a_failing_step_are_shown(project: Project) -> None:
    """npm gives the reason first, and then fifty lines on how to use it."""
    line = "echo the reason; seq 100; exit 1"
    text = f'{PYPROJECT}[[tool.fapbuild.assets]]\nname = "front"\nrun = ["{line}"]\noutputs = ["x"]\n'
    done = project.commit({"pyproject.toml": text}).run("pack")
    assert "\n  the reason\n" in done.stderr
    assert "\n  100\n" in done.stderr


def test_an_output_whose_name_is_not_utf_8(project: Project) -> None:
    line = "mkdir out && : > out/$(printf 'a\\\\377')"
    text = f'{PYPROJECT}[[tool.fapbuild.assets]]\nname = "front"\nrun = ["{line}"]\noutputs = ["out"]\n'
    done = project.commit({"pyproject.toml": text}).run("pack")
    assert done.returncode == 1
    assert "assets 'front': the file name b'out/a\\xff' is not UTF-8" in done.stderr


def test_a_tool_that_looks_at_its_temporary_folder(project: Project, tmp_path: Path) -> None:
    """pnpm does so as it starts, also for `pnpm --version`."""
    program = tmp_path / "bin" / "pnpm"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\ncd "$TMPDIR" && cd "$HOME" || exit 1\ncase $1 in --version) echo 1;; esac\n'
    )
    program.chmod(0o755)
    run = 'run = ["pnpm build && mkdir out && touch out/x"]\noutputs = ["out"]\n'
    project.commit({"pyproject.toml": f'{PYPROJECT}[[tool.fapbuild.assets]]\nname = "front"\n{run}'})
    assert project.pack(PATH=f"{program.parent}:{os.environ['PATH']}")["path"]


def test_a_damaged_zip(tmp_path: Path) -> None:
    (tmp_path / "x-1.zip").write_bytes(b"no zip")
    with pytest.raises(FapError, match="can't be unpacked"):
        _unpack(tmp_path / "x-1.zip", tmp_path / "out")
