"""docs/fapbuild.toml is manual and example: it loads, and has every key with its real default."""

import shutil
import tomllib
from pathlib import Path

from fapbuild.project import config
from fapbuild.project.config import OWN_FILE, Assets, BuildSettings
from tests.parts.repository import ROOT

REFERENCE = ROOT / "docs" / OWN_FILE


def test_every_key_is_in_the_reference() -> None:
    written = tomllib.loads(REFERENCE.read_text())
    assert set(written) == set(BuildSettings.__struct_fields__)
    assert set(written["assets"][0]) == set(Assets.__struct_fields__)


def test_it_loads_and_shows_the_defaults_it_can(tmp_path: Path) -> None:
    shutil.copy(REFERENCE, tmp_path)
    settings = config.load(tmp_path).settings
    assert settings.installer == BuildSettings().installer
    assert settings.assets[0].outputs == ("static/dist",)
