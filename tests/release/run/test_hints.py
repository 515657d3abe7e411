"""What an error tells to type next names this run's stage and role, and changes no name of the user's."""

from pathlib import Path

import pytest

from faprelease.errors import ConfigError, FapError
from faprelease.report.report import Report
from faprelease.verbs import sync
from tests.parts.site import Site, artifact


def test_a_variable_called_stage_keeps_its_name(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = artifact(tmp_path / "builds", "1")
    site.configure("environment: {WORD: {env: SHOP_STAGE_ROLE}}")
    monkeypatch.setenv("SHOP_STAGE_ROLE", "here")
    site.release(url)
    monkeypatch.delenv("SHOP_STAGE_ROLE")
    with pytest.raises(ConfigError) as missing:
        sync.sync(site.request(curl_url=url), Report())
    assert missing.value.hint == "export SHOP_STAGE_ROLE=…"


def test_the_next_line_names_the_stage_and_role_of_this_run(site: Site, tmp_path: Path) -> None:
    site.configure("plugins: [tests.parts.plugins]\nfail_at: published\non_failure: keep")
    with pytest.raises(FapError) as failed:
        site.release(artifact(tmp_path / "builds", "1"))
    assert failed.value.hint == "release again, or go back: faprelease rollback production web"
