"""What `fapbuild pack` really makes is released: the manifest, the installer and the Python it is for."""

import fcntl
import os
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from faprelease.errors import ReleaseFailedError, VerificationError
from faprelease.verbs import status
from tests.parts.packed_shop import packed
from tests.parts.site import Site, artifact

__all__ = ["packed"]


def test_a_packed_commit_is_released(site: Site, packed: Path) -> None:
    digest = sha256(packed.read_bytes()).hexdigest()
    new = site.release(packed.as_uri(), curl_sha256=digest)
    assert site.version() == "packed"
    (live,) = status.status(site.request())
    assert (live.release, live.digest) == (new, digest)
    assert packed.name == f"shop-{live.version}.tgz"
    assert len(site.ledger()[-1]["artifact"]["commit"]) == 40
    python = site.path / "current/venv/bin/python"
    done = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True)
    assert done.stdout.strip() == str(site.path / "current/venv")


def test_an_artifact_for_another_python_is_not_published(site: Site, packed: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["tar", "xzf", packed], cwd=other, check=True)
    manifest = other / ".fap/manifest.json"
    text = manifest.read_text()
    changed = text.replace('"python":"cp3', '"python":"cp2').replace('"abi":"cp3', '"abi":"cp2')
    assert changed != text
    manifest.write_text(changed)
    subprocess.run(["sh", "-c", "tar czf ../other.tgz .fap *"], cwd=other, check=True)
    with pytest.raises(ReleaseFailedError, match=r"(?i)python"):
        site.release((tmp_path / "other.tgz").as_uri())
    assert site.current() == ""


def test_a_packed_artifact_that_was_cut_is_not_published(site: Site, packed: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tgz"
    data = packed.read_bytes()
    cut.write_bytes(data[: data.rindex(b"\x1f\x8b\x08")])
    with pytest.raises(VerificationError):
        site.release(cut.as_uri())
    assert site.current() == ""


def test_releases_share_packages_and_leave_none_behind(site: Site, packed: Path, tmp_path: Path) -> None:
    """A hundred releases of one lock have one set of packages; it goes with the last of them."""
    envs = site.path / ".fap/envs"
    site.release(packed.as_uri())
    (made,) = (path for path in envs.iterdir() if path.is_dir())
    site.configure("environment: {A: b}")
    site.release(packed.as_uri())
    site.configure("environment: {A: c}\nkeep_releases: 1")
    second = site.release(packed.as_uri())
    assert [path for path in envs.iterdir() if path.is_dir()] == [made]
    assert (site.path / "current/venv/packages").resolve() == made
    (envs / "half-made.77.new").mkdir(mode=0o555)
    site.configure("keep_releases: 1")
    for number in range(2):
        other = artifact(tmp_path / "others", str(number))
        site.release(other)
    assert second not in site.folders()
    assert list(envs.iterdir()) == []
    assert not site.leftovers()


def test_the_cache_of_wheels_is_swept(site: Site, packed: Path, tmp_path: Path) -> None:
    """What nothing links to goes when it was not used for long, unless someone is at work there."""
    wheels = tmp_path / "cache" / "wheels"
    used, old, fresh, half = (wheels / name for name in ("a-cp3-1", "b-cp3-1", "c-cp3-1", "d-cp3-1.7.new"))
    for entry in (used, old, fresh, half):
        (entry / "tree").mkdir(parents=True)
        (entry / "tree" / "file").write_text("x")
        (entry / "digest").write_text("x")
        (entry / "tree").chmod(0o555)
    os.link(used / "tree" / "file", tmp_path / "an env links to it")
    for entry in (used, old):
        os.utime(entry / "digest", (0, 0))
    site.configure("keep_releases: 1")
    with (wheels / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        for number in range(3):
            site.release(artifact(tmp_path / "artifacts", str(number)))
        assert {entry.name for entry in wheels.iterdir()} >= {"b-cp3-1", "d-cp3-1.7.new"}
    site.release(artifact(tmp_path / "artifacts", "3"))
    swept = {".lock", ".swept", used.name, fresh.name}
    assert {entry.name for entry in wheels.iterdir()} == swept
    os.utime(wheels / ".swept", (2**32, 2**32))  # by a clock that was ahead
    old.mkdir()
    site.release(artifact(tmp_path / "artifacts", "4"))
    assert {entry.name for entry in wheels.iterdir()} == swept, "it grew"
