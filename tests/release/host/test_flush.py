"""A release is on the disk before anything says that it is ready."""

import os
from pathlib import Path

import pytest

from faprelease.errors import ReleaseFailedError
from tests.parts.site import Site, artifact

# What `sync` was asked, and what the records said of the release then.
NOTE = """\
#!/bin/sh
{{ echo "$*"; cat {site.path}/.fap/releases/*.jsonl; ls {site.path}/.fap/releases; }} >>{site.folder}/asked
{then}
"""
REAL = 'exec /bin/sync "$@"'
OLD = '[ $# = 0 ] && exec /bin/sync; echo "BusyBox v1.0" >&2; echo "Usage: sync" >&2; exit 1'
OLDER = "[ $# = 0 ] && exec /bin/sync; echo \"sync: invalid option -- 'f'\" >&2; exit 1"
BROKEN = '[ $# = 0 ] && exec /bin/sync; echo "sync: error syncing: Input/output error" >&2; exit 1'


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path)
    made.configure()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return made


def put_sync(site: Site, then: str) -> None:
    program = site.folder / "bin/sync"
    program.parent.mkdir()
    program.write_text(NOTE.format(site=site, then=then))
    program.chmod(0o755)


@pytest.mark.parametrize("then", [REAL, OLD, OLDER])
def test_a_release_is_flushed_when_it_is_whole_and_before_it_is_ready(
    site: Site, then: str, tmp_path: Path
) -> None:
    put_sync(site, then)
    release = site.release(artifact(tmp_path, "1"))
    asked = (site.folder / "asked").read_text()
    assert f"-f {site.path}/releases/{release} {site.path}/.fap\n" in asked
    assert f"{release}.files" in asked, "it was sealed by then"
    assert '"preparing"' in asked
    assert '"ready"' not in asked
    assert asked.count(".files") == (1 if then == REAL else 2)


def test_a_disk_that_fails_to_write_it_down_ends_the_release(site: Site, tmp_path: Path) -> None:
    put_sync(site, BROKEN)
    with pytest.raises(ReleaseFailedError, match="error syncing: Input/output error"):
        site.release(artifact(tmp_path, "1"))
    assert site.current() == ""
    assert not site.locked()
