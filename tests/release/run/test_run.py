"""What all verbs share: one artifact for a run, and errors that name its stage and role."""

from dataclasses import replace
from pathlib import Path

import pytest

from faprelease.errors import ConfigError, FapError
from faprelease.report.report import Report
from faprelease.verbs import release, sync
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
    assert failed.value.hint == "release again, or roll back: faprelease rollback production web"


def test_roles_that_name_different_artifacts_are_refused(site: Site, tmp_path: Path) -> None:
    one, two = artifact(tmp_path / "one", "1"), artifact(tmp_path / "two", "2")
    site.deploy_yml.write_text(
        f"app_name: shop\nconnection: local\npath: {site.path}-%(role)s\nstage_role_configs:\n"
        f"  production: {{web: {{curl_url: '{one}'}}, worker: {{curl_url: '{two}'}}}}\n"
    )
    with pytest.raises(ConfigError, match="roles name different artifacts") as refused:
        release.release(replace(site.request(), role=None), Report())
    assert "faprelease production ROLE" in refused.value.hint
    assert not (tmp_path / "www-web").exists()
