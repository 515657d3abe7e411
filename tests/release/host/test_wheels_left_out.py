"""Where the packages of a lock are on a host already, the wheels of its next artifact stay in their file."""

import gzip
import random
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from faprelease.errors import ReleaseFailedError
from tests.parts.artifacts import artifact, lock_of
from tests.parts.packed_shop import is_right, packed, set_of, with_a_wheel
from tests.parts.place import Place
from tests.parts.site import Site

__all__ = ["packed", "with_a_wheel"]


# One that fills several gzip members, one in a member of its own, one of no whole block, an empty one.
SIZES = {"large": 9_000_000, "some": 300_000, "small": 1025, "none": 0}
WHEELS = {f"{name}-1-py3-none-any.whl": random.Random(name).randbytes(size) for name, size in SIZES.items()}
FILES = {".fap/installer/__main__.py": b"", "app.py": b"print(1)\n" * 9000, "zoo/last.py": b"print(2)\n"}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A host where an earlier release left all that WHEELS give."""
    place = Place(tmp_path / "host")
    (envs(place) / f"{sha256(lock_of(WHEELS)).hexdigest()[:32]}-0123456789abcdef-3.11.7").mkdir(parents=True)
    for data in WHEELS.values():
        (place.cache / "wheels" / f"{sha256(data).hexdigest()}-0123456789abcdef-cp311-2").mkdir(parents=True)
    return place


def envs(place: Place) -> Path:
    return place.root / ".fap/envs"


def unpacked(place: Place, path: Path) -> set[str]:
    """What came of the wheels; everything else has to be as it was packed."""
    done = place.fetch(path.as_uri(), sha256(path.read_bytes()).hexdigest())
    assert done.returncode == 0, done.stdout
    assert place.tree() >= {f"releases/new/{name}" for name in FILES}
    assert all((place.release / name).read_bytes() == data for name, data in FILES.items())
    found = {path.name: path.read_bytes() for path in place.release.glob("wheels/*")}
    assert all(WHEELS[name] == data for name, data in found.items())
    return set(found)


def test_no_wheel_is_unpacked(place: Place, tmp_path: Path) -> None:
    assert unpacked(place, artifact(tmp_path / "shop.tgz", FILES, WHEELS)) == set()
    assert not (place.release / "wheels").exists()


def test_of_a_wheel_only_the_lengths_of_its_blocks_are_read(place: Place, tmp_path: Path) -> None:
    """Then another byte in it is noticed by its sha256 alone, on hosts that have its packages."""
    made = artifact(tmp_path / "shop.tgz", FILES, WHEELS)
    data = bytearray(made.read_bytes())
    data[data.index(WHEELS["large-1-py3-none-any.whl"][-100:])] ^= 1
    made.write_bytes(data)
    assert unpacked(place, made) == set()
    fresh = Place(tmp_path / "fresh")
    assert fresh.fetch(made.as_uri(), "").returncode == 65


def test_no_wheel_of_one_gzip_member_is_unpacked(place: Place, tmp_path: Path) -> None:
    made = artifact(tmp_path / "shop.tgz", FILES, WHEELS)
    made.write_bytes(gzip.compress(gzip.decompress(made.read_bytes()), 1))
    assert unpacked(place, made) == set()


LACKING: dict[str, Callable[[Place], object]] = {
    "no set": lambda place: next(envs(place).iterdir()).rmdir(),
    "no set at all": lambda place: (next(envs(place).iterdir()).rmdir(), envs(place).rmdir()),
    "one less in the cache": lambda place: next((place.cache / "wheels").iterdir()).rmdir(),
    "those of an earlier version": lambda place: next(envs(place).iterdir()).rename(
        envs(place) / f"{sha256(lock_of(WHEELS)).hexdigest()[:32]}-3.11.7"
    ),
    "a cache of an earlier version": lambda place: [
        path.rename(path.with_name(f"{path.name[:64]}-cp311-1"))
        for path in (place.cache / "wheels").iterdir()
    ],
    "the installer could not use them": lambda place: (envs(place).parent / "wheels.needed").touch(),
}


@pytest.mark.parametrize("lose", LACKING.values(), ids=LACKING.keys())
def test_all_wheels_are_unpacked_where_something_is_lacking(
    lose: Callable[[Place], object], place: Place, tmp_path: Path
) -> None:
    lose(place)
    assert unpacked(place, artifact(tmp_path / "shop.tgz", FILES, WHEELS)) == set(WHEELS)


def test_an_installer_of_the_projects_own_gets_its_wheels(place: Place, tmp_path: Path) -> None:
    files = {name: data for name, data in FILES.items() if not name.startswith(".fap/")}
    made = artifact(tmp_path / "shop.tgz", files, WHEELS)
    done = place.fetch(made.as_uri(), "")
    assert done.returncode == 0, done.stdout
    assert {path.name for path in place.release.glob("wheels/*")} == set(WHEELS)


def test_packages_that_were_changed_and_a_cache_that_rotted(
    site: Site, with_a_wheel: Path, tmp_path: Path
) -> None:
    """The packages can't be made without the wheels then: the release fails, and the next one has them."""
    site.release(with_a_wheel.as_uri())
    site.configure("environment: {A: b}")
    made = set_of(site)
    (folder,) = (path.parent for path in made.rglob("parts.py"))
    folder.chmod(0o755)
    (folder / "evil.py").write_text("")
    (kept,) = (tmp_path / "cache/wheels").glob("*/tree/lib/*/site-packages/parts.py")
    kept.chmod(0o644)
    kept.write_text("rotten")
    needed = site.path / ".fap/wheels.needed"
    with pytest.raises(ReleaseFailedError, match="the cache has none: release the artifact again"):
        site.release(with_a_wheel.as_uri())
    assert needed.exists(), "also for the one after next, should the next be killed"
    site.release(with_a_wheel.as_uri())
    assert not needed.exists()
    assert is_right(site)
    assert (site.path / "current/venv/packages").resolve() != made
