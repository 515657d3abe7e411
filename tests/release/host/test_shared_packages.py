"""Packages that releases share: made outside of the container, linked to the cache, and only read in it."""

from pathlib import Path

from tests.parts.packed_shop import is_right, packed, set_of, with_a_wheel
from tests.parts.site import Site

__all__ = ["packed", "with_a_wheel"]


def test_packages_are_linked_to_the_cache_and_made_once(
    site: Site, with_a_wheel: Path, tmp_path: Path
) -> None:
    site.release(with_a_wheel.as_uri())
    made = set_of(site)
    assert is_right(site)
    assert made.stat().st_mode & 0o777 == 0o555
    (kept,) = (tmp_path / "cache/wheels").glob("*/tree/lib/*/site-packages/parts.py")
    (ours,) = made.rglob("parts.py")
    assert kept.stat().st_ino == ours.stat().st_ino
    site.configure("environment: {A: b}")
    site.release(with_a_wheel.as_uri())
    assert set_of(site) == made, "it is as it was made"
