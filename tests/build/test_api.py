"""`import fapbuild`: what it offers, and that nothing is loaded before its first use."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import fapbuild
from tests.parts.project import Project


def test_the_example_of_its_docstring_runs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.folder.rename(project.folder.with_name("shop"))
    monkeypatch.chdir(project.folder.parent)
    for name, value in project.env.items():
        monkeypatch.setenv(name, value)
    assert fapbuild.__doc__ is not None
    _, *paragraphs = fapbuild.__doc__.split("\n\n")
    example = "\n\n".join(text for text in paragraphs if text.startswith("    "))
    script = textwrap.dedent(example)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *findings, artifact = done.stdout.splitlines()
    assert any(line.startswith("right I codebase ") for line in findings)
    assert artifact.startswith("dist/shop-1.0.tgz ")
    assert Path("dist/shop-1.0.tgz").is_file()


def test_importing_it_loads_none_of_its_modules() -> None:
    code = "import sys; before = set(sys.modules); import fapbuild; print(*(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert [name for name in loaded.split() if name.split(".")[0] not in sys.stdlib_module_names] == [
        "fapbuild"
    ]


def test_each_name_is_there_and_no_other() -> None:
    for name in fapbuild.__all__:
        assert getattr(fapbuild, name).__module__.startswith("fapbuild.")
        assert name in dir(fapbuild)
    with pytest.raises(AttributeError, match="has no attribute 'release'"):
        fapbuild.release  # noqa: B018


def test_its_types_are_published() -> None:
    assert (Path(fapbuild.__file__).parent / "py.typed").is_file()
