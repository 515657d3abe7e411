"""`import artifact_store`: its names, its example, and how little it loads."""

import ast
import doctest
import subprocess
import sys
from pathlib import Path

import pytest

import artifact_store
from tests.parts.tgz import tgz

SOURCE = Path(artifact_store.__file__)


def test_every_name_can_be_imported_and_listed() -> None:
    assert dir(artifact_store) == sorted(artifact_store.__all__) == artifact_store.__all__
    for name in artifact_store.__all__:
        assert getattr(artifact_store, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'close_store'"):
        _ = artifact_store.close_store  # type: ignore[attr-defined]


def test_type_checkers_see_the_same_objects() -> None:
    (block,) = (node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If))
    declared = {
        name.name: getattr(sys.modules[node.module], name.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module and __import__(node.module)
        for name in node.names
    }
    assert declared == {name: getattr(artifact_store, name) for name in artifact_store.__all__}
    assert SOURCE.with_name("py.typed").exists()


def test_importing_it_loads_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import artifact_store; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    others = [name for name in loaded.stdout.split() if name.split(".")[0] not in sys.stdlib_module_names]
    assert others == ["artifact_store"]


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dist").mkdir()
    tgz(Path("dist"), version="1")
    example = doctest.DocTestParser().get_doctest(artifact_store.__doc__ or "", {}, "example", None, 0)
    results = doctest.DocTestRunner().run(example)
    assert (results.failed, results.attempted) == (0, 6)


def test_python_m_is_fapstore() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "artifact_store", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("fapstore, version ")
