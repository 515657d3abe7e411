"""The localshared plugin: linked files come from a folder of the host."""

import stat
from pathlib import Path

import pytest

from faprelease.errors import ConfigError, ReleaseFailedError, RolledBackError
from tests.parts.site import Site, artifact

MORE = """\
plugins: [fapistrano.localshared, tests.parts.plugins]
linked_files: [config/keys.toml]
linked_dirs: [media]
localshared_source: {source}
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    source = tmp_path / "etc"
    (source / "config").mkdir(parents=True)
    (source / "config/keys.toml").write_text("old")
    (source / "config/keys.toml").chmod(0o644)
    (source / "media/sub").mkdir(parents=True)
    (source / "media/sub/a b.png").write_bytes(b"\0png")
    made = Site(tmp_path)
    made.configure(MORE.format(source=source))
    return made


def test_linked_files_come_from_the_host_and_changes_follow(site: Site, tmp_path: Path) -> None:
    url = artifact(tmp_path / "1", "1")
    first = site.release(url)
    keys = site.path / "current/config/keys.toml"
    assert keys.read_text() == "old"
    assert stat.S_IMODE((site.path / "shared/config/keys.toml").stat().st_mode) & 0o007 == 0
    assert (site.path / "current/media/sub/a b.png").read_bytes() == b"\0png"
    (site.path / "shared/media/upload.png").write_bytes(b"by a user")
    assert site.release(url, curl_sha256=digest(site)) == first
    (tmp_path / "etc/config/keys.toml").write_text("new")
    assert site.release(url, curl_sha256=digest(site)) > first
    assert keys.read_text() == "new"
    assert (site.path / "current/media/upload.png").exists()
    assert not list(site.path.rglob("*.new"))


def digest(site: Site) -> str:
    return str(site.ledger()[-1]["artifact"]["digest"])


def test_what_is_in_use_changes_with_the_swap_alone(site: Site, tmp_path: Path) -> None:
    site.release(artifact(tmp_path / "1", "1"))
    (tmp_path / "etc/config/keys.toml").write_text("new")
    with pytest.raises(ReleaseFailedError):
        site.release(artifact(tmp_path / "2", "2"), fail_at="updated")
    assert (site.path / "current/config/keys.toml").read_text() == "old"
    with pytest.raises(RolledBackError):
        site.release(artifact(tmp_path / "2", "2"), fail_at="checking", fail_on="localhost")
    assert site.version() == "1"


def test_a_source_that_lacks_a_file_is_said_before_anything_is_published(site: Site, tmp_path: Path) -> None:
    (tmp_path / "etc/config/keys.toml").unlink()
    with pytest.raises(ReleaseFailedError, match=r"etc/config/keys.toml is missing"):
        site.release(artifact(tmp_path / "1", "1"))
    site.configure(MORE.format(source="''"))
    with pytest.raises(ConfigError, match="localshared_source is not set"):
        site.release(artifact(tmp_path / "1", "1"))
    assert site.current() == ""
