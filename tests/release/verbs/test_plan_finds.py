"""A plan finds what a release would fail on, from the artifact's manifest and the hosts."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from artifact_store.artifact.manifest import Manifest, Platform
from artifact_store.artifact.peek import open_source, peek
from faprelease.errors import FapError
from faprelease.report.report import Report
from faprelease.verbs import release
from tests.parts.site import Site, artifact


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.configure()
    return made


@pytest.fixture
def plan(site: Site, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Plans the release of an artifact whose manifest has other values."""

    def planned(**changes: Any) -> None:
        url = artifact(site.folder / "1", "1")
        with open_source(url) as source:
            manifest: Manifest = msgspec.structs.replace(peek(source).manifest, **changes)
        monkeypatch.setattr(release, "_look_into", lambda _: (manifest, 10))
        release.release(replace(site.request(curl_url=url), dry_run=True), Report())

    return planned


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"python": "cp399"}, "1 needs Python 3.99, but the host has 3."),
        ({"platform": "linux_s390x"}, "1 is for linux_s390x, but the host is "),
        ({"glibc": "9.9"}, "1 needs glibc 9.9, but the host has 2."),
    ],
)
def test_a_host_on_which_it_can_not_be_installed(
    plan: Callable[..., None], changes: dict[str, str], says: str
) -> None:
    platform = {"python": "cp311", "abi": "cp311", "platform": "linux_x86_64", "glibc": "", **changes}
    with pytest.raises(FapError) as refused:
        plan(target=Platform(**platform))
    assert refused.value.message.startswith(f"localhost (web): {says}")
    assert "fapbuild pack --target cp3" in refused.value.hint


def test_libraries_and_variables(plan: Callable[..., None], site: Site) -> None:
    with pytest.raises(FapError, match=r"needs libraries that are not installed: libnosuch\.so\.1"):
        plan(libraries=("libnosuch.so.1",))
    site.configure("environment: {A: '1'}")
    with pytest.raises(FapError, match="1 needs variables that are not set: SECRET_KEY") as refused:
        plan(requires_env=("A", "SECRET_KEY"))
    assert "environment: {SECRET_KEY: {env: SECRET_KEY}}" in refused.value.hint
    plan(requires_env=("A",))


def test_variables_of_a_linked_file_are_known_after_the_first_release(
    plan: Callable[..., None], site: Site
) -> None:
    site.configure("linked_files: [.env]")
    (site.path / "shared").mkdir(parents=True)
    (site.path / "shared/.env").write_text("B=1\n")
    plan(requires_env=("B", "C"))
    site.release(artifact(site.folder / "0", "0"))
    plan(requires_env=("B",))
    with pytest.raises(FapError, match="needs variables that are not set: C"):
        plan(requires_env=("B", "C"))


def test_a_host_with_another_libc_is_refused_in_words(
    plan: Callable[..., None], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """musl's getconf knows no GNU_LIBC_VERSION."""
    (site.folder / "bin").mkdir()
    (site.folder / "bin/getconf").write_text("#!/bin/sh\necho unknown variable >&2\nexit 1\n")
    (site.folder / "bin/getconf").chmod(0o755)
    monkeypatch.setenv("PATH", f"{site.folder}/bin:{os.environ['PATH']}")
    with pytest.raises(FapError, match=r"1 needs glibc 2\.17, but the host has another C library"):
        plan(target=Platform(python="cp311", abi="cp311", platform="linux_x86_64", glibc="2.17"))
