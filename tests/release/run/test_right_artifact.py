"""Releases from URLs: the artifact must be the app's, and somebody must vouch for its bytes."""

from dataclasses import replace
from pathlib import Path

import pytest

from faprelease.errors import ConfigError, FapError, VerificationError
from faprelease.report.report import Report
from faprelease.verbs import release
from tests.parts.builds import serve_builds
from tests.parts.site import INSTALL, Site, artifact, sha256_of
from tests.parts.tgz import tgz


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.configure()
    return made


def other(site: Site) -> str:
    files = {"app.py": b"VERSION = '9'\n", "install.sh": INSTALL}
    return tgz(site.folder, app="other", version="9", files=files, wheels={}).as_uri()


def test_an_artifact_of_another_app_is_refused(site: Site) -> None:
    """The case wrong-app: the sha256 is right, and the app is not."""
    url = other(site)
    with pytest.raises(FapError) as error:
        site.release(url, curl_sha256=sha256_of(url))
    assert error.value.exit_code == 6
    assert (
        "it is an artifact of the app other, not of shop (project_name in deploy.yml)" in error.value.message
    )
    assert site.current() == ""
    assert site.folders() == []
    with pytest.raises(VerificationError, match="is an artifact of the app other, not of shop"):
        release.release(replace(site.request(curl_url=url), dry_run=True), Report())
    site.configure("project_name: other")
    assert site.release(url, curl_sha256=sha256_of(url))
    assert site.version() == "9"


def test_a_protected_stage_needs_the_sha256_of_a_url(site: Site, tmp_path: Path) -> None:
    site.configure("protected: true")
    url = artifact(tmp_path / "built", "1")
    with pytest.raises(ConfigError, match="production is protected: a release from a URL needs") as error:
        site.release(url)
    assert error.value.hint.startswith("add --curl-sha256 HEX")
    assert not site.path.exists()
    site.release(url, curl_sha256=sha256_of(url))
    assert site.version() == "1"


def test_plain_http_without_a_sha256_is_said_aloud(
    site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = artifact(tmp_path / "built", "1")
    warning = "/1.tgz is plain http, and no --curl-sha256 is given: anyone on the way can change the artifact"
    with serve_builds() as builds:
        builds.bodies["/1.tgz"] = [Path(file.removeprefix("file://")).read_bytes()]
        url = f"{builds.url}/1.tgz"
        site.release(url, curl_sha256=sha256_of(file))
        assert warning not in capfd.readouterr().err
        site.release(url)
        assert f"warning: {builds.url}{warning}" in capfd.readouterr().err
