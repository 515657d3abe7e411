"""The assets plugin: what a page of the release before asks for is still there."""

from pathlib import Path

import pytest

from faprelease.errors import ConfigError
from tests.parts.site import Site, artifact


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.configure("plugins: [assets]\nassets_dirs: [static]\nassets_keep: 2")
    return made


def release(site: Site, version: str, *names: str) -> list[str]:
    """Release static files of these names; what `current` has then."""
    files = {f"static/{name}": version.encode() for name in names}
    site.release(artifact(site.folder / version, version, files))
    static = site.path / "current/static"
    return sorted(str(path.relative_to(static)) for path in static.rglob("*") if path.is_file())


@pytest.mark.slow
def test_hashed_files_live_on_for_some_releases(site: Site) -> None:
    a, b, c, d = (f"js/app-{letter * 8}.js" for letter in "abcd")
    assert release(site, "1", a, "js/admin.js", "js/shared.5e6f7a8b.css") == [
        "js/admin.js",
        a,
        "js/shared.5e6f7a8b.css",
    ]
    assert release(site, "2", b, "js/shared.5e6f7a8b.css") == [a, b, "js/shared.5e6f7a8b.css"]
    assert (site.path / "current/static" / a).read_bytes() == b"1"
    assert (site.path / "current/static/js/shared.5e6f7a8b.css").read_bytes() == b"2"
    assert release(site, "3", c) == [a, b, c, "js/shared.5e6f7a8b.css"]
    assert release(site, "4", d) == [b, c, d, "js/shared.5e6f7a8b.css"]
    assert release(site, "5", d) == [c, d]
    assert (site.path / "current/static" / a).exists() is False


def test_a_release_stays_as_it_is(site: Site) -> None:
    release(site, "1", "a-12345678.js")
    first = site.current()
    release(site, "2", "b-12345678.js")
    assert sorted(path.name for path in (site.path / "releases" / first / "static").iterdir()) == [
        "a-12345678.js"
    ]
    (site.path / "current/static/b-12345678.js").unlink()
    (site.path / "current/static/b-12345678.js").symlink_to("/etc/passwd")
    assert release(site, "3", "c-12345678.js") == ["a-12345678.js", "c-12345678.js"]


def test_a_folder_outside_is_refused(site: Site) -> None:
    site.configure("plugins: [assets]\nassets_dirs: [../shared]")
    with pytest.raises(ConfigError, match="is outside the release"):
        release(site, "1", "a.js")
    assert site.current() == ""
