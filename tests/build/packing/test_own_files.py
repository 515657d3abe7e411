"""fapkit's own files in every artifact."""

import ast
from pathlib import Path

import pytest

from fapbuild.packing.own_files import entries, pins
from fapbuild.project.platforms import parse
from fapbuild.wheels.vendor import VendoredWheel
from tests.parts.repository import ROOT

ON_HOSTS = sorted(
    [
        *ROOT.glob("fapbuild/installer/*.py"),
        *ROOT.glob("faprelease/host/*/*.py"),
        *ROOT.glob("artifact_store/artifact/installing/*.py"),
        ROOT / "artifact_store/artifact/reader.py",
    ]
)


@pytest.mark.parametrize(("target", "version"), [("cp38", "0.7.0"), ("cp39", "0.7.0"), ("cp310", "1.1.0")])
def test_the_installer_is_one_that_the_targets_python_can_run(target: str, version: str) -> None:
    """installer 1.0 and later need Python 3.10."""
    found = {pin.name: pin.version for pin in pins(parse(target))}
    assert found == {"installer": version, "packaging": "25.0"}


def test_an_own_installer_takes_the_place_of_ours_alone(tmp_path: Path) -> None:
    wheels = [VendoredWheel("installer", "1", "installer-1-py3-none-any.whl", "1" * 64, 1, tmp_path)]
    ours, own = ({entry.path for entry in entries(wheels, own_installer=own)} for own in (False, True))
    assert ours - own == {"install.sh"}
    assert {".fap/run", ".fap/installer/__main__.py", ".fap/installer-1-py3-none-any.whl"} <= own


@pytest.mark.parametrize("path", ON_HOSTS, ids=lambda path: path.name)
def test_what_runs_on_hosts_is_in_the_grammar_of_python_3_8(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))
