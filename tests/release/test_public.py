"""What other programs and plugins import."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import faprelease
from faprelease import plugin
from tests.parts.repository import ROOT
from tests.parts.site import Site, artifact


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = "import faprelease, sys, json; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert [
        name for name in loaded if name.startswith(("faprelease.", "artifact_store", "click", "yaml"))
    ] == []


def test_every_public_name_is_there() -> None:
    for name in faprelease.__all__:
        assert getattr(faprelease, name) is not None
    assert set(faprelease.__all__) <= set(dir(faprelease))
    with pytest.raises(AttributeError, match="no attribute 'deploy'"):
        _ = faprelease.deploy


def test_the_example_of_the_package_releases(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.configure(f"curl_url: {artifact(tmp_path / 'builds', '1')}")
    site.deploy_yml.write_text(site.deploy_yml.read_text().replace("production", "staging"))
    monkeypatch.chdir(site.folder)
    example = str(faprelease.__doc__).split("too:\n")[1].split("\nEach")[0]
    names: dict[str, Any] = {}
    exec("\n".join(line.removeprefix("    ") for line in example.splitlines()), names)
    assert site.version() == "1"


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "faprelease", "--version"], capture_output=True, text=True)
    assert done.stdout.split()[-1] == faprelease.__version__


@pytest.mark.parametrize("package", ["artifact_store", "fapbuild", "faprelease"])
def test_type_checkers_may_read_the_types(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()


def test_a_plugin_needs_no_other_module_of_ours() -> None:
    assert all(hasattr(plugin, name) for name in plugin.__all__)
    for path in (ROOT / "examples/plugins").glob("*.py"):
        modules = {
            node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
        }
        assert {name for name in modules if name and name.startswith("faprelease")} == {"faprelease.plugin"}
