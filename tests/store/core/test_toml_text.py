"""TOML that can't be read is one kind of error, however it is wrong."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from artifact_store.core import toml_text

DEEP = f"a = {'[' * 5000}{']' * 5000}\n"


def test_it_is_read() -> None:
    assert toml_text.loads("a = 1\n[b]\nc = [[1], [2]]\n") == {"a": 1, "b": {"c": [[1], [2]]}}


@pytest.mark.parametrize("text", [DEEP, f"a = {'9' * 5000}", "a = ", "a = {b = " * 2000])
def test_it_is_refused(text: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        toml_text.loads(text)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("pyproject.toml", ("fapbuild", "check")),
        ("pyproject.toml", ("fapbuild", "pack")),
        ("pyproject.toml", ("fapbuild", "init")),
        ("fapstore.toml", ("artifact_store", "--store", "file:///tmp/none", "stages", "shop")),
    ],
)
def test_a_deep_file_is_no_traceback(file: str, words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / file).write_text(DEEP)
    commit = "git init -q && git add . && git -c user.name=a -c user.email=a@b commit -q -m 1"
    subprocess.run(commit, shell=True, cwd=tmp_path, check=True)
    argv = [sys.executable, "-m", *words]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{file}: nested too deeply" in done.stderr
    assert "Traceback" not in done.stderr
