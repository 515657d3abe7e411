"""A host that knows the root of an artifact fetches only what it uses of it."""

import random
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from faprelease.steps.host_files import read_program
from tests.parts.artifacts import artifact
from tests.parts.place import Place
from tests.parts.tgz import root_of
from tests.parts.webserver import serve

SIZES = {"large": 9_000_000, "some": 300_000, "small": 1025}
WHEELS = {f"{name}-1-py3-none-any.whl": random.Random(name).randbytes(size) for name, size in SIZES.items()}
HEAD = 32 << 10
"""How many bytes are asked for first."""
END = 28
"""The size of the last gzip member, the end mark of the tar."""
FILES = {".fap/installer/__main__.py": b"", "app.py": b"print(1)\n" * 9000, "zoo/last.py": b"print(2)\n"}


def entry_of(place: Place, file: str, python: str = "cp311") -> Path:
    """The entry of a wheel in the cache of a host."""
    digest, name = sha256(WHEELS[file]).hexdigest(), sha256(file.encode()).hexdigest()[:16]
    return place.cache / "wheels" / f"{digest}-{name}-{python}-2"


def keep(place: Place, *files: str, python: str = "cp311") -> None:
    """Leave in the cache what a host makes of wheels."""
    for file in files:
        entry_of(place, file, python).mkdir(parents=True)
        (entry_of(place, file, python) / "digest").touch()


def lose(place: Place, change: Callable[[Path], object]) -> None:
    """Keep all wheels, and change their entries."""
    keep(place, *WHEELS)
    for file in WHEELS:
        change(entry_of(place, file))


def fetched(place: Place, made: Path) -> tuple[set[str], int]:
    """The wheels that were unpacked, and how many bytes moved; all code has to be as it was packed."""
    data = made.read_bytes()
    with serve() as site:
        site.files["/shop.tgz"] = data
        done = place.fetch(f"{site.url}/shop.tgz", sha256(data).hexdigest(), of_root=root_of(data))
        assert done.returncode == 0, done.stdout
        assert done.stdout.splitlines()[0] == f"downloaded {site.sent} bytes of {len(data)}"
    assert all((place.release / name).read_bytes() == content for name, content in FILES.items())
    found = {path.name: path.read_bytes() for path in place.release.glob("wheels/*")}
    assert all(WHEELS[name] == content for name, content in found.items())
    return set(found), site.sent


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return artifact(tmp_path / "shop.tgz", FILES, WHEELS)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "host")
    (place.cache / "wheels").mkdir(parents=True)
    return place


def test_a_bare_host_gets_everything(place: Place, made: Path) -> None:
    assert fetched(place, made) == (set(WHEELS), made.stat().st_size)
    (kept,) = (place.cache / "artifacts/shop").iterdir()
    data = made.read_bytes()
    assert kept.name == f"{root_of(data)}-{sha256(data).hexdigest()}.code"
    assert kept.stat().st_size < 20_000


def test_a_host_with_all_packages_gets_only_code(place: Place, made: Path) -> None:
    keep(place, *WHEELS)
    assert fetched(place, made) == (set(), HEAD + END)
    assert not (place.release / "wheels").exists()


def test_the_next_version_moves_the_wheel_that_changed(place: Place, made: Path) -> None:
    keep(place, "large-1-py3-none-any.whl", "small-1-py3-none-any.whl")
    found, moved = fetched(place, made)
    assert found == {"some-1-py3-none-any.whl"}
    assert moved < SIZES["some"] + (50 << 10)


def test_the_cache_is_looked_at_in_its_present_format() -> None:
    """The modules are apart on hosts, as what fetches does not load what installs."""
    found = [
        re.search(rf"^{name} = (\d+)$", read_program(module), re.MULTILINE)
        for module, name in (("unpack", "WHEEL_FORMAT"), ("wheelcache", "FORMAT"))
    ]
    assert all(found)
    assert len({match[1] for match in found if match}) == 1


LACKING: dict[str, Callable[[Place], object]] = {
    "another Python": lambda place: keep(place, *WHEELS, python="cp39"),
    "unfinished entries": lambda place: lose(place, lambda entry: entry.rename(f"{entry}.0123.new")),
    "entries without a digest": lambda place: lose(place, lambda entry: (entry / "digest").unlink()),
    "the installer could not use them": lambda place: (
        keep(place, *WHEELS),
        (place.root / ".fap").mkdir(parents=True),
        (place.root / ".fap/wheels.needed").touch(),
    ),
}


@pytest.mark.parametrize("lack", LACKING.values(), ids=LACKING.keys())
def test_all_wheels_come_where_the_packages_may_not_do(
    lack: Callable[[Place], object], place: Place, made: Path
) -> None:
    lack(place)
    assert fetched(place, made)[0] == set(WHEELS)


def test_an_installer_of_the_projects_own_gets_its_wheels(place: Place, tmp_path: Path) -> None:
    keep(place, *WHEELS)
    files = {name: data for name, data in FILES.items() if not name.startswith(".fap/")}
    data = (made := artifact(tmp_path / "shop.tgz", files, WHEELS)).read_bytes()
    done = place.fetch(made.as_uri(), sha256(data).hexdigest(), of_root=root_of(data))
    assert done.returncode == 0, done.stdout
    assert {path.name for path in place.release.glob("wheels/*")} == set(WHEELS)


def test_an_installer_that_this_releaser_does_not_know_gets_its_wheels(place: Place, tmp_path: Path) -> None:
    keep(place, *WHEELS)
    made = artifact(tmp_path / "shop.tgz", FILES, WHEELS, said={"installer": ("f" * 64,)})
    assert fetched(place, made)[0] == set(WHEELS)
    assert [path.suffix for path in (place.cache / "artifacts/shop").iterdir()] == [".tgz"]
    again = Place(tmp_path / "again")
    assert fetched(again, made) == (set(WHEELS), 0)


def test_without_a_cache_nothing_else_is_touched(place: Place, made: Path, tmp_path: Path) -> None:
    """An empty path must not become the folder in which the session began."""
    (tmp_path / "login/shop").mkdir(parents=True)
    mine = tmp_path / "login/shop/backup.tgz"
    mine.touch()
    data = made.read_bytes()
    place.root.mkdir(exist_ok=True)
    words = ("env", "-C", str(tmp_path / "login"))
    done = place.fetch(made.as_uri(), sha256(data).hexdigest(), *words, cache="", of_root=root_of(data))
    assert done.returncode == 0, done.stdout
    assert mine.exists()
    assert [path.name for path in mine.parent.iterdir()] == ["backup.tgz"]


def test_of_a_file_only_parts_are_read(place: Place, made: Path) -> None:
    """A store in a folder has file: URLs, of which curl tells no size."""
    keep(place, *WHEELS)
    data = made.read_bytes()
    done = place.fetch(made.as_uri(), sha256(data).hexdigest(), of_root=root_of(data))
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[0] == f"downloaded {HEAD + END} bytes of {len(data)}"


def test_whole_artifacts_of_the_app_make_room(place: Place, made: Path, tmp_path: Path) -> None:
    """A host that gets roots needs no whole artifact any more."""
    data = made.read_bytes()
    before = Place(tmp_path / "before")
    assert before.fetch(made.as_uri(), sha256(data).hexdigest()).returncode == 0
    folder = place.cache / "artifacts/shop"
    assert [path.suffix for path in folder.iterdir()] == [".tgz"]
    keep(place, *WHEELS)
    next_one = artifact(tmp_path / "next.tgz", {**FILES, "app.py": b"print(3)\n"}, WHEELS)
    again = next_one.read_bytes()
    done = place.fetch(next_one.as_uri(), sha256(again).hexdigest(), of_root=root_of(again))
    assert done.returncode == 0, done.stdout
    assert [path.suffix for path in folder.iterdir()] == [".code"]
