"""The bytecode of wheels: what is compiled, and that it depends on the wheel and the Python alone."""

import json
import marshal
import os
import random
import subprocess
import sys
import types
import zipfile
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path

import pytest

from artifact_store.core.errors import UsageError
from fapbuild.project import platforms
from fapbuild.wheels.bytecode import find
from tests.parts.compiled import HERE
from tests.parts.wheelhouse import make_wheel

PROGRAM = Path("fapbuild/isolation/programs/compile_wheel.py").absolute()
VERSIONS = Path.home() / ".pyenv/versions"
PYTHONS = [sys.executable, *map(str, VERSIONS.glob("3.1[1-9].*/bin/python3"))]
NAMES = [f"name_{number}" for number in range(40)]
MODULES = {
    f"many/{letter}.py": f"KINDS = {{'a', 'b', 'web', {letter!r}}}\n"
    + "".join(
        f"def {name}(self, value={number}):\n    return {name!r}, value in {{'x', 'yy', {name!r}}}\n"
        for number, name in enumerate(NAMES)
    )
    for letter in "abcdefgh"
}
MORE = {
    "latin.py": "# coding: latin-1\nWORD = 'a'\n",
    "template.py": "import {{ name }}\n",
    "parts-1.0.data/purelib/pure.py": "PURE = 1\n",
    "parts-1.0.data/scripts/tool.py": "#!python\n",
    "parts-1.0.data/data/share/data.py": "DATA = 1\n",
}


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(tmp_path, "parts", also={**MODULES, **MORE})


def compiled(
    wheel: Path, output: Path, python: str = sys.executable, processes: int = 1, **env: str
) -> bytes:
    argv = [python, "-s", "-S", "-B", PROGRAM, wheel, output, str(processes)]
    subprocess.run(argv, check=True, env={"PYTHONHASHSEED": "0", **env})
    return output.read_bytes()


def files(data: bytes) -> dict[str, bytes]:
    line, _, rest = data.partition(b"\n")
    found = {}
    for path, size in json.loads(line):
        found[path], rest = rest[:size], rest[size:]
    assert not rest
    return found


def test_what_python_would_write_is_made_for_all_that_is_in_site_packages(
    wheel: Path, tmp_path: Path
) -> None:
    made = files(compiled(wheel, tmp_path / "made"))
    assert set(made) == {*MODULES, "latin.py", "parts.py", "pure.py"}
    for path, text in MODULES.items():
        assert made[path][:16] == MAGIC_NUMBER + b"\1\0\0\0" + source_hash(text.encode())
        code = marshal.loads(made[path][16:])
        assert isinstance(code, types.CodeType)
        assert code.co_filename == path
        space: dict[str, object] = {}
        exec(code, space)
        assert space["KINDS"] == {"a", "b", "web", path[5]}


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: "-".join(Path(path).parts[-3:]))
def test_the_bytes_depend_on_the_wheel_and_the_python_alone(python: str, wheel: Path, tmp_path: Path) -> None:
    first = compiled(wheel, tmp_path / "first", python)
    shuffled = tmp_path / "elsewhere" / wheel.name
    shuffled.parent.mkdir()
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(shuffled, "w", zipfile.ZIP_DEFLATED) as new:
        for name in random.Random(python).sample(old.namelist(), len(old.namelist())):
            new.writestr(name, old.read(name))
    others = {"HOME": "/nowhere", "name_7": "name_9", "LC_ALL": "C.UTF-8"}
    assert compiled(shuffled, tmp_path / "second", python, processes=3, **others) == first
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(tmp_path / "one.whl", "w") as new:
        new.writestr("many/h.py", old.read("many/h.py"))
    alone = files(compiled(tmp_path / "one.whl", tmp_path / "third", python))
    assert alone == {"many/h.py": files(first)["many/h.py"]}, "whatever else is compiled"


def test_a_python_of_the_target_compiles() -> None:
    here = platforms.this_machine()
    assert find(here) == HERE
    with pytest.raises(UsageError, match=r"this machine has no Python 3\.99 to compile it") as error:
        find(platforms.parse(f"cp399-manylinux_2_28_{os.uname().machine}"))
    assert "remove bytecode from" in error.value.hint.filled(fapstore="")


@pytest.mark.parametrize("target", ["cp38", "cp310"])
def test_older_pythons_compile_no_bytecode(target: str) -> None:
    """What they write depends on how they were built."""
    with pytest.raises(UsageError, match=r"needs Python 3\.11 or newer"):
        find(platforms.parse(f"{target}-manylinux_2_28_{os.uname().machine}"))


def test_a_file_that_takes_too_much_is_an_error_and_not_left_out(tmp_path: Path) -> None:
    """Elsewhere it may compile, and the bytes would differ."""
    deep = "".join(f"{' ' * depth}try:\n{' ' * depth} pass\n{' ' * depth}finally:\n" for depth in range(18))
    wheel = make_wheel(tmp_path, "parts", also={"bomb.py": f"{deep}{' ' * 18}pass\n", "good.py": "X = 1\n"})
    argv = [sys.executable, "-s", "-S", "-B", PROGRAM, wheel, tmp_path / "made", "1"]
    limited = ["sh", "-c", 'ulimit -v 300000; exec "$0" "$@"', *argv]
    done = subprocess.run(limited, capture_output=True, text=True)
    assert done.returncode == 1
    assert "compiling 'bomb.py' took too much memory or time, or was stopped" in done.stderr
