"""Sets of packages that contained installers make: linked to the cache, and put in their place."""

import json
import os
from pathlib import Path

from tests.parts.packed_shop import is_right, packed, set_of, with_a_wheel
from tests.parts.site import Site, artifact

__all__ = ["packed", "with_a_wheel"]


def test_a_contained_installer_links_its_packages_to_the_cache(
    site: Site, with_a_wheel: Path, tmp_path: Path
) -> None:
    new = site.release(with_a_wheel.as_uri())
    facts = json.loads((site.path / f".fap/releases/{new}.install.json").read_text())
    assert facts["contained"].startswith("network, files,"), "this machine must contain it"
    made = set_of(site)
    assert is_right(site)
    assert made.stat().st_mode & 0o777 == 0o555
    (kept,) = (tmp_path / "cache/wheels").glob("*/tree/lib/*/site-packages/parts.py")
    (ours,) = made.rglob("parts.py")
    assert kept.stat().st_ino == ours.stat().st_ino
    assert list((tmp_path / "cache/new").iterdir()) == []
    site.configure("environment: {A: b}")
    site.release(with_a_wheel.as_uri())
    assert set_of(site) == made, "it is as it was made"


def test_an_install_that_was_killed_before_its_packages_were_in_place(
    site: Site, with_a_wheel: Path, tmp_path: Path
) -> None:
    site.release(with_a_wheel.as_uri())
    made = set_of(site)
    made.chmod(0o755)
    made.rename(tmp_path / "cache/new/one")
    made.symlink_to(tmp_path / "cache/new/one")
    site.configure("environment: {A: b}")
    site.release(with_a_wheel.as_uri())
    assert set_of(site) == made
    assert is_right(site)
    assert list((tmp_path / "cache/new").iterdir()) == []


def test_what_a_strange_installer_leaves_a_link_to_is_not_moved(site: Site, tmp_path: Path) -> None:
    """The links are followed after it, by who is not contained."""
    shared, new = site.path / "shared", tmp_path / "cache/new"
    script = (
        'for to in "$FAP_NEW" "$FAP_NEW/.." "$FAP_NEW/../../www/shared" SHARED "$FAP_NEW/linked"; do\n'
        '  number=$((number + 1)) && ln -s "$to" "$FAP_ENVS/$number"\n'
        "done\n"
        'ln -s SHARED "$FAP_NEW/linked"\n'
        'mkdir -p "$FAP_NEW/good/lib" && ln -s "$FAP_NEW/good" "$FAP_ENVS/good"\n'
    ).replace("SHARED", str(shared))
    files = {".fap/installer/__main__.py": b"", "install.sh": f"#!/bin/sh\nset -e\n{script}".encode()}
    site.release(artifact(tmp_path / "artifacts", "1", files))
    assert shared.is_dir()
    assert new.is_dir()
    assert [path.name for path in new.iterdir()] == ["linked"]
    assert [path.name for path in (site.path / ".fap/envs").iterdir()] == ["good"]
    script = f'rm -r "$FAP_NEW"\nln -s {site.path} "$FAP_NEW"\nln -s "$FAP_NEW/shared" "$FAP_ENVS/x"\n'
    files["install.sh"] = f"#!/bin/sh\nset -e\n{script}".encode()
    site.release(artifact(tmp_path / "artifacts", "2", files))
    assert shared.is_dir()


def test_sets_that_nobody_finished_are_swept(site: Site, with_a_wheel: Path, tmp_path: Path) -> None:
    old, fresh = tmp_path / "cache/new/old", tmp_path / "cache/new/fresh"
    for folder in (old, fresh):
        (folder / "lib").mkdir(parents=True)
        (folder / "lib").chmod(0o555)
    os.utime(old, (0, 0))
    site.configure("keep_releases: 1")
    for number in range(3):
        site.configure(f"keep_releases: 1\nenvironment: {{A: '{number}'}}")
        site.release(with_a_wheel.as_uri())
    assert not old.exists()
    assert fresh.exists()
