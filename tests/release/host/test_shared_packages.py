"""Packages that releases share: made outside of the container, linked to the cache, and only read in it."""

from pathlib import Path

from faprelease.verbs import status
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


def test_a_command_that_runs_install_sh_links_to_shared_packages(site: Site, with_a_wheel: Path) -> None:
    site.configure("curl_postinstall_script: ./install.sh")
    site.release(with_a_wheel.as_uri())
    assert (site.path / "current/venv/packages").resolve() == set_of(site)
    assert is_right(site)


def test_status_verify_sees_every_byte_that_changed(site: Site, with_a_wheel: Path) -> None:
    site.configure("environment: {A: b}")
    site.release(with_a_wheel.as_uri())

    def changed() -> set[str]:
        (live,) = status.status(site.request(), verify=True)
        return set(live.changed)

    assert changed() == set()
    (package,) = (path for path in set_of(site).rglob("parts.py"))
    for path in (package.parent, site.path / "current/venv", site.path / "current/.env"):
        path.chmod(0o755 if path.is_dir() else 0o600)
    package.chmod(0o644)
    package.write_text(package.read_text().replace("VERSION", "version"))
    (package.parent / "evil.pth").symlink_to("parts.py")
    (package.parent / "new.py").write_text("")
    (package.parent / "new.py").chmod(0o600)
    (site.path / "current/venv/owner-only").write_text("")
    (site.path / "current/venv/owner-only").chmod(0o600)
    (site.path / "current/.env").write_text("A='c'\n")
    packages = f"venv/packages/{package.parent.relative_to(set_of(site))}"
    assert changed() == {
        ".env",
        "venv/owner-only",
        *(f"{packages}/{name}" for name in ("parts.py", "evil.pth", "new.py")),
    }
    Path(f"{set_of(site)}.files").unlink()
    assert "venv/packages" in changed(), "a list that is gone is no proof that nothing changed"
