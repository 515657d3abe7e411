"""docs/deploy.yml is manual and example: it loads, and it names every key with its real default."""

from importlib import import_module

import pytest
import yaml

from faprelease.config import target as config
from faprelease.config.target import Settings
from faprelease.plugins import curl
from faprelease.plugins.registry import BUILT_IN
from faprelease.run import run
from tests.parts.repository import ROOT

REFERENCE = ROOT / "docs" / "deploy.yml"
# Shown by an example, because their defaults are empty.
EXAMPLES = {
    "app_name",
    "project_name",
    "linked_files",
    "linked_dirs",
    "environment",
    "store",
    "store_policy",
    "store_signers",
    "plugins",
    "batch",
    "schedules",
}


PLUGINS = [import_module(f"faprelease.plugins.{name}").Options for name in BUILT_IN]
STRUCTS = (Settings, curl.Options, *PLUGINS)


def keys() -> set[str]:
    return {name for struct in STRUCTS for name in struct.__struct_fields__} - {"stage", "role", "hosts"}


def test_every_key_is_in_the_reference() -> None:
    text = REFERENCE.read_text()
    named = set(yaml.safe_load(text)) - {"stage_role_configs"}
    per_command = {key for key in keys() if key.endswith("_plugins")}
    assert named == keys() - per_command
    assert all(key in text for key in per_command)


def test_its_values_are_the_defaults() -> None:
    written = yaml.safe_load(REFERENCE.read_text())
    defaults = {
        field: getattr(values, field)
        for values in (struct() for struct in STRUCTS)
        for field in values.__struct_fields__
    }
    assert {key: written[key] for key in written if key in defaults and key not in EXAMPLES} == {
        key: value for key, value in defaults.items() if key in written and key not in EXAMPLES
    }


@pytest.mark.parametrize(("stage", "hosts"), [("staging", 1), ("production", 4)])
def test_it_loads(stage: str, hosts: int) -> None:
    file, options = run.load(REFERENCE, {})
    assert len(config.targets(file, stage, None, {}, options)) == hosts
