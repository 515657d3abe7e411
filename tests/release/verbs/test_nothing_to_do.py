"""A release of what is live, well and configured alike does nothing; any difference makes it a release."""

import json
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from faprelease.errors import FapError
from faprelease.report.report import Report
from faprelease.verbs import release
from tests.parts.site import Site, artifact

pytestmark = pytest.mark.slow  # releases twice in each test

MORE = "environment: {WORD: hunter22}\nplugins: [tests.parts.plugins]\n"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.configure(MORE)
    return made


@pytest.fixture
def url(tmp_path: Path) -> str:
    return artifact(tmp_path / "built", "1")


def digest(url: str) -> str:
    return sha256(Path(url.removeprefix("file://")).read_bytes()).hexdigest()


def snapshot(site: Site) -> dict[str, tuple[int, int]]:
    found = {path: path.lstat() for path in site.path.rglob("*")}
    return {
        str(path): (stat.st_ino, stat.st_mtime_ns)
        for path, stat in found.items()
        if path.name not in ("guard", "turn", "room")
    }


def test_the_same_again_changes_nothing(site: Site, url: str, capfd: pytest.CaptureFixture[str]) -> None:
    first = site.release(url, curl_sha256=digest(url))
    before = snapshot(site)
    assert site.release(url, curl_sha256=digest(url).upper()) == first
    assert f"nothing to do: {first} is live and healthy on all hosts" in capfd.readouterr().err
    changed = {path for path, stat in snapshot(site).items() if before.get(path) != stat}
    assert changed == {str(site.path / ".fap")}, "the lock came and went there"
    assert not site.locked()


def test_a_release_whose_files_changed_is_made_anew(
    site: Site, url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    first = site.release(url, curl_sha256=digest(url))
    (site.path / "current/app.py").chmod(0o644)
    (site.path / "current/app.py").write_text("VERSION = 'forged'")
    assert site.release(url, curl_sha256=digest(url)) != first
    assert "files of the release changed since it was made" in capfd.readouterr().err
    assert site.version() == "1"


@pytest.mark.parametrize(
    "more",
    [
        MORE.replace("hunter22", "hunter23"),
        MORE.replace("WORD", "OTHER"),
        MORE + "linked_dirs: [log]",
        MORE + "environment_file: '%(release_path)s/config/app.env'",
        MORE + "fail_on: nowhere",
        MORE + "curl_postinstall_script: mkdir venv",
        MORE.replace("plugins: [tests.parts.plugins]", ""),
    ],
)
def test_another_configuration_is_another_release(site: Site, url: str, more: str) -> None:
    first = site.release(url, curl_sha256=digest(url))
    site.configure(more)
    second = site.release(url, curl_sha256=digest(url))
    assert second > first
    assert site.release(url, curl_sha256=digest(url)) == second
    assert site.rollback() == first


def test_what_does_not_concern_a_release_does_not_make_one(site: Site, url: str) -> None:
    first = site.release(url, curl_sha256=digest(url))
    site.configure(MORE + "keep_releases: 3\nbatch: 1\nshared_writable: false\ncurl_user: a:b\n")
    assert site.release(url, curl_sha256=digest(url)) == first


def test_without_a_digest_nobody_knows_and_it_is_released(site: Site, url: str) -> None:
    first = site.release(url, curl_sha256=digest(url))
    assert site.release(url) > first


def test_what_is_live_but_not_well_is_released_anew(
    site: Site, url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    site.configure(
        MORE
        + f"checking_script: '[ ! -e {site.folder}/ill ] || {{ echo ill; rm {site.folder}/ill; exit 1; }}'"
    )
    first = site.release(url, curl_sha256=digest(url))
    (site.folder / "ill").touch()
    assert site.release(url, curl_sha256=digest(url)) > first
    assert "unhealthy, so it is released again" in capfd.readouterr().err


def test_after_a_rollback_the_version_that_was_left_is_released_only_again(site: Site, url: str) -> None:
    site.release(artifact(site.folder / "older", "0"))
    site.release(url, curl_sha256=digest(url))
    back = site.rollback()
    with pytest.raises(FapError, match="someone rolled back from it"):
        site.release(url, curl_sha256=digest(url))
    assert site.current() == back
    request = replace(site.request(curl_url=url, curl_sha256=digest(url)), again=True)
    release.release(request, Report())
    assert site.current() > back


def test_a_dry_run_says_so_too(site: Site, url: str, capfd: pytest.CaptureFixture[str]) -> None:
    site.release(url, curl_sha256=digest(url))
    release.release(site.request(curl_url=url, curl_sha256=digest(url), dry_run="true"), Report())
    said = capfd.readouterr()
    assert "nothing to do" in said.err
    assert said.out == ""


def test_the_key_is_private_stays_and_shows_nowhere(
    site: Site, url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    release.release(site.request(curl_url=url), Report(verbose=True))
    key = (site.path / ".fap/key").read_text().strip()
    assert len(bytes.fromhex(key)) == 32
    assert (site.path / ".fap/key").stat().st_mode & 0o777 == 0o600
    release.release(site.request(curl_url=url, dry_run="true"), Report())
    site.release(url)
    assert (site.path / ".fap/key").read_text().strip() == key
    assert key not in "".join(capfd.readouterr())
    record = json.loads((site.path / f".fap/releases/{site.current()}.jsonl").read_text().split("\n")[-2])
    assert len(record["config"]) == 64
    grep = os.popen(f"grep -rl hunter22 {site.path}/.fap").read()
    assert grep == ""
