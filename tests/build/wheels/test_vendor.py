"""Wheels from the index or an sdist, through the cache."""

import hashlib
import tarfile
from pathlib import Path

import pytest

from artifact_store.core.errors import FapError, VerificationError
from fapbuild.cache import Cache, CachedFile
from fapbuild.locks import Pin, parse_lock
from fapbuild.project.platforms import this_machine
from fapbuild.wheels import completeness
from fapbuild.wheels.builder import WheelBuilder
from fapbuild.wheels.facts import read
from fapbuild.wheels.sdist import build_wheel
from fapbuild.wheels.vendor import VendoredWheel, requirements_lock, vendor
from tests.parts.project import Project
from tests.parts.sdists import make_sdist
from tests.parts.wheelhouse import make_wheel, pin

HERE = this_machine()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_an_sdist_is_built_once_and_its_wheel_reused_as_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sdist = make_sdist(tmp_path, tmp_path / "log")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    digest = hashlib.sha256(sdist.read_bytes()).hexdigest()
    pins = parse_lock(f"homemade==1.0 --hash=sha256:{digest}", "lock")
    cache = Cache(tmp_path / "cache")
    said: list[str] = []
    found = []
    for number in range(3):
        if number == 2:
            # The choice is lost, but the built wheel is not.
            for answer in (cache.folder / "answers" / "wheel").iterdir():
                answer.unlink()
        folder = tmp_path / str(number)
        folder.mkdir()
        found.append(vendor(pins, WheelBuilder(HERE, cache, folder, said.append)))
    assert found[0] == found[1] == found[2]
    assert (tmp_path / "log").read_text() == "built\n"
    assert said == [
        "downloading 1 of 1 wheels",
        "building homemade 1.0 from its sdist",
        "downloading 1 of 1 wheels",
    ]
    (wheel,) = found[0]
    assert requirements_lock(found[0]) == f"homemade==1.0 --hash=sha256:{wheel.sha256}\n".encode()
    assert wheel.sha256 != digest


def test_the_built_wheel_must_be_of_the_pin(tmp_path: Path, work: Path) -> None:
    sdist = make_sdist(tmp_path, tmp_path / "log", name="other")
    with pytest.raises(FapError, match=r"gave homemade-1.0-py3-none-any.whl, which is not other 1.0"):
        build_wheel(Pin("other", "1.0", frozenset(), frozenset()), sdist, work / "build")


def test_an_sdist_that_cannot_be_built_says_why(tmp_path: Path, work: Path) -> None:
    sdist = make_sdist(tmp_path, tmp_path / "no" / "such" / "folder")
    with pytest.raises(FapError) as caught:
        build_wheel(Pin("homemade", "1.0", frozenset(), frozenset()), sdist, work / "build")
    assert "FileNotFoundError" in caught.value.message
    assert len(caught.value.message.splitlines()) <= 21
    assert "install what homemade needs to compile" in caught.value.hint


def test_an_sdist_that_climbs_out_is_refused(tmp_path: Path, work: Path) -> None:
    path = tmp_path / "evil-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../../evil"))
    with pytest.raises(FapError, match=r"evil-1.0.tar.gz can't be unpacked"):
        build_wheel(Pin("evil", "1.0", frozenset(), frozenset()), path, work / "build")
    assert not (tmp_path / "evil").exists()


def test_other_bytes_than_the_lock_names_are_refused(
    tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path / "house", "greeting")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    pins = parse_lock(f"greeting==1.0 --hash=sha256:{'0' * 64}", "lock")
    with pytest.raises(FapError) as caught:
        vendor(pins, WheelBuilder(HERE, Cache(tmp_path / "cache"), work, print))
    assert not isinstance(caught.value, VerificationError)
    assert "pip failed" in caught.value.message or "-m pip failed" in caught.value.message
    assert "fapbuild lock" in caught.value.hint


def test_bytes_that_rotted_in_the_cache_are_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path / "house", "greeting")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    cache = Cache(tmp_path / "cache")
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (found,) = vendor(parse_lock(pin(wheel), "lock"), WheelBuilder(HERE, cache, folder, print))
        assert found.path.read_bytes() == wheel.read_bytes()
        found.path.chmod(0o644)
        found.path.write_bytes(b"rot")


def test_the_first_answer_stands(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    kept = []
    for text in ("one", "two"):
        (tmp_path / text).write_text(text)
        kept.append(CachedFile(text, cache.add(tmp_path / text)))
    assert cache.record("built", "question", kept[0]) == kept[0]
    assert cache.record("built", "question", kept[1]) == kept[0]
    assert cache.answer("built", "question") == kept[0]
    cache.path(kept[0].sha256).unlink()
    assert cache.answer("built", "question") is None
    assert cache.record("built", "question", kept[1]) == kept[1]
    assert [path.name for path in cache.folder.rglob(".new-*")] == []


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FapError) as caught:
        Cache(tmp_path / "file" / "cache").add(tmp_path / "file")
    assert "the build cache can't be used" in caught.value.message
    assert "FAP_CACHE" in caught.value.hint


def vendored(wheel: Path, name: str) -> VendoredWheel:
    return VendoredWheel(name, "1.0", wheel.name, "", 0, wheel, read(wheel, wheel.name))


@pytest.mark.parametrize(
    ("requires", "others", "outcome"),
    [
        ("other>=1", ["other"], []),
        ('other; sys_platform == "win32"', [], []),
        ('other; extra == "more"', ["other"], []),
        ('other; extra == "less"', [], []),
        ("other>=2", ["other"], ["warning: needy 1.0 wants other>=2, but the lock has 1.0"]),
        ("other", [], "needy 1.0 needs other, which is not in the lock"),
        ('other; extra == "more"', [], "needy 1.0 needs other, which is not in the lock"),
        ('other; python_version >= "3"', [], "needy 1.0 needs other, which is not in the lock"),
        ("???", [], "requires '???', which is not a valid requirement"),
    ],
)
def test_a_wheel_must_find_what_it_needs(
    tmp_path: Path, requires: str, others: list[str], outcome: list[str] | str
) -> None:
    wheels = [vendored(make_wheel(tmp_path, "needy", requires=(requires,)), "needy")]
    wheels += [vendored(make_wheel(tmp_path, name), name) for name in others]
    pins = [Pin(wheel.name, wheel.version, frozenset({"more"}), frozenset()) for wheel in wheels]
    said: list[str] = []
    cache = Cache(tmp_path / "cache")
    if isinstance(outcome, str):
        with pytest.raises(FapError) as caught:
            completeness.check(pins, wheels, HERE, cache, said.append)
        assert outcome in caught.value.message
    else:
        for _ in range(2):  # the second time from the cache
            completeness.check(pins, wheels, HERE, cache, said.append)
        assert said == outcome * 2


def test_a_lock_with_a_gap_fails_at_the_build(project: Project, wheelhouse: Path) -> None:
    (wheel,) = wheelhouse.glob("greet-*.whl")
    project.commit({"requirements.in": "greet\n", "requirements.txt": pin(wheel)})
    done = project.run("pack")
    assert done.returncode == 1
    assert "greet 1.0 needs left-pad" in done.stderr
