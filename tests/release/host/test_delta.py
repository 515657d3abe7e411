"""Only what a host lacks of an artifact is fetched; whatever goes wrong, it has the right bytes or none."""

import gzip
import hashlib
import io
import json
import random
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artifact_store.artifact.manifest import MANIFEST_PATH
from tests.parts.place import Place
from tests.parts.tgz import entry, root_of, squeeze, tgz, to_old_format
from tests.parts.webserver import Site, serve

pytestmark = pytest.mark.slow  # whole releases, one after another

URL = "/shop.tgz"
WAYS = ["root", "sha256", "bare URL"]
"""What is known of the artifact."""
FILES = {f"part{number:02}.bin": random.Random(number).randbytes(70_000) for number in range(40)}
EDITED = {**FILES, "part07.bin": b"edited" * 1000, "part31.bin": random.Random("new").randbytes(90_000)}


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as served:
        yield served


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "host")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Two builds in a row."""
    folder = tmp_path_factory.mktemp("artifacts")
    return tuple(
        tgz(folder, version=str(number), files=files, wheels={}).read_bytes()
        for number, files in enumerate((FILES, EDITED), 1)
    )


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fetch(place: Place, site: Site, data: bytes, way: str = "sha256") -> subprocess.CompletedProcess[str]:
    """Fetch what the site has in one of WAYS; `data` is what is expected."""
    digest, root = "" if way == "bare URL" else sha256(data), root_of(data) if way == "root" else ""
    return place.fetch(f"{site.url}{URL}?secret", digest, of_root=root)


def release(place: Place, site: Site, data: bytes, way: str = "sha256") -> str:
    """Release the bytes to a new folder; what the step said."""
    site.files[URL] = data
    done = fetch(place, site, data, way)
    assert done.returncode == 0, done.stdout
    return done.stdout


def another(place: Place, name: str) -> Place:
    """Another app on the same host, with the same cache."""
    return Place(place.root.with_name(name))


def holds(place: Place, files: dict[str, bytes]) -> bool:
    return all((place.release / name).read_bytes() == data for name, data in files.items())


@pytest.fixture
def warm(place: Place, site: Site, artifacts: tuple[bytes, bytes]) -> Place:
    """Where the first build was released; an app that is to get the second."""
    said = release(place, site, artifacts[0])
    total = len(artifacts[0])
    assert said.splitlines()[0] == f"downloaded {total} bytes of {total}"
    assert [path for path, _ in site.asked] == [f"{URL}?secret"]
    site.asked.clear()
    site.sent = 0
    return another(place, "second")


@pytest.mark.parametrize("way", WAYS)
def test_what_changed_is_all_that_moves(
    warm: Place, site: Site, artifacts: tuple[bytes, bytes], way: str
) -> None:
    _, new = artifacts
    said = release(warm, site, new, way)
    assert holds(warm, EDITED)
    assert said.splitlines() == [
        f"downloaded {site.sent} bytes of {len(new)}",
        f"fetched {site.sent}",
        "shop 2",
        f"digest {sha256(new)}",
    ]
    assert site.sent < 90_000 + 5_000 + (32 << 10)
    assert len(site.asked) == 3
    facts = json.loads(warm.facts.read_text())
    assert (facts["digest"], facts.get("root", "")) == (sha256(new), root_of(new) if way == "root" else "")
    kept = warm.cache / "artifacts" / "shop"
    of_root = {f"{root_of(new)}-{sha256(new)}.code"}
    names = of_root if way == "root" else {f"{sha256(data)}.tgz" for data in artifacts}
    assert {path.name for path in kept.iterdir()} == names
    assert new in [path.read_bytes() for path in kept.iterdir()], "it has no wheels: its code is the whole"
    assert warm.cache.stat().st_mode & 0o077 == 0
    assert {path.name for path in warm.facts.parent.parent.iterdir()} == {"releases", "code"}


def test_a_second_role_downloads_nothing(warm: Place, site: Site, artifacts: tuple[bytes, bytes]) -> None:
    said = release(warm, site, artifacts[0])
    assert said.splitlines()[0] == f"downloaded 0 bytes of {len(artifacts[0])}"
    assert site.asked == []
    assert holds(warm, FILES)


def whole(site: Site) -> None:
    site.ranges = False


def cut(site: Site) -> None:
    site.cuts += [1000, 20_000, 1 << 20, 3000, 0]


def short(site: Site) -> None:
    site.largest = 20_000


def moved(site: Site) -> None:
    site.files["/moved.tgz"] = site.files.pop(URL)
    site.redirects[URL] = f"{site.url}/moved.tgz?signed"


def weak(site: Site) -> None:
    site.etags = True
    site.headers["ETag"] = 'W/"1"'


def tagged(site: Site) -> None:
    site.etags = True


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [whole, cut, short, moved, weak, tagged], ids=lambda kind: kind.__name__)
def test_any_server_will_do(
    warm: Place, site: Site, artifacts: tuple[bytes, bytes], kind: Callable[[Site], None], way: str
) -> None:
    _, new = artifacts
    site.files[URL] = new
    kind(site)
    done = fetch(warm, site, new, way)
    assert done.returncode == 0, done.stdout
    assert holds(warm, EDITED)
    assert done.stdout.splitlines()[-1] == f"digest {sha256(new)}"
    assert "secret" not in done.stdout
    if kind is not whole:
        assert site.sent < 300_000


@pytest.mark.parametrize("etags", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_an_object_that_is_replaced_in_between(
    warm: Place, site: Site, artifacts: tuple[bytes, bytes], way: str, etags: bool, tmp_path: Path
) -> None:
    """The manifest is of one artifact, the members of another one of the same size."""
    _, new = artifacts
    twisted = tgz(tmp_path, version="2", files={**EDITED, "part31.bin": FILES["part31.bin"] + bytes(20_000)})
    other = twisted.read_bytes()
    site.files[URL], site.then, site.etags = new, {URL: other}, etags
    done = fetch(warm, site, new, way)
    if way == "bare URL":
        assert done.returncode == 0, done
        assert done.stdout.splitlines()[-1] == f"digest {sha256(other)}"
    else:
        assert done.returncode == 65, done
        assert not warm.tree() & {"releases/new/part31.bin"}
    if way == "root":
        assert f"the root of this file is {root_of(other)}, not {root_of(new)}" in done.stdout
    else:
        assert "fetching all of it" in done.stdout
    assert way != "sha256" or f"expected {sha256(new)}" in done.stdout


def flipped(data: bytes, seed: int) -> bytes:
    where = random.Random(seed).randrange(len(data))
    return data[:where] + bytes([data[where] ^ 0x40]) + data[where + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    **{f"flipped {seed}": lambda data, seed=seed: flipped(data, seed) for seed in range(3)},  # type: ignore[misc]
    "flipped in the manifest": lambda data: flipped(data[:3000], 1) + data[3000:],
    "half written": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_in_the_cache_costs_a_download(
    warm: Place, site: Site, artifacts: tuple[bytes, bytes], damage: Callable[[bytes], bytes], way: str
) -> None:
    old, new = artifacts
    (kept,) = (warm.cache / "artifacts" / "shop").iterdir()
    kept.write_bytes(damage(old))
    release(warm, site, new, way)
    assert holds(warm, EDITED)
    again = another(warm, "third")
    kept.write_bytes(damage(old))
    release(again, site, old)
    assert holds(again, FILES)
    assert kept.read_bytes() == old


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_members_are_found_before_they_run(
    place: Place, site: Site, artifacts: tuple[bytes, bytes], damage: Callable[[bytes], bytes]
) -> None:
    """For the same artifact again, nothing is fetched but what was damaged."""
    old, _ = artifacts
    release(place, site, old, "root")
    kept = place.cache / "artifacts" / "shop" / f"{root_of(old)}-{sha256(old)}.code"
    second, third = another(place, "second"), another(place, "third")
    site.asked.clear()
    assert release(second, site, old, "root").startswith("downloaded 0 bytes of")
    assert site.asked == []
    kept.write_bytes(damage(old))
    assert "is damaged, and what it had is fetched again" in release(third, site, old, "root")
    assert holds(third, FILES)
    assert kept.read_bytes() == old


@pytest.mark.parametrize("size", [0, 1, 150_000])
def test_a_file_of_another_tool_comes_whole_beside_what_is_cached(
    warm: Place, tmp_path: Path, size: int
) -> None:
    """curl tells no size of a file, and must not be asked for more than it has."""
    path = tmp_path / "other.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("data")
        info.size = size
        tar.addfile(info, io.BytesIO(random.Random(size).randbytes(size)))
    path.write_bytes(gzip.compress(path.read_bytes()))
    done = warm.fetch(path.as_uri(), sha256(path.read_bytes()))
    assert done.returncode == 0, done.stdout
    assert (warm.release / "data").stat().st_size == size


def damaged(field: int, *values: bytes) -> bytes:
    """A gzip member that begins as an artifact does, with other bytes in its header; or is cut."""
    head = bytearray(entry(MANIFEST_PATH, b"{}"))
    for value in values:
        head[field : field + len(value)] = value
    return squeeze(bytes(head) if values else bytes(head[:130]))


@pytest.mark.parametrize("data", [damaged(124, b"no number!!"), damaged(0)], ids=["no size", "cut"])
@pytest.mark.parametrize("way", ["root", "sha256"])
def test_a_header_that_is_none_is_refused_in_words(warm: Place, site: Site, data: bytes, way: str) -> None:
    site.files[URL] = data
    done = fetch(warm, site, data, way)
    assert done.returncode == 65, done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_an_empty_file_is_refused(warm: Place, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    done = warm.fetch((tmp_path / "empty").as_uri(), sha256(b""))
    assert done.returncode == 65, done
    assert "it is empty" in done.stdout


def test_a_root_of_another_artifact_is_refused(
    warm: Place, site: Site, artifacts: tuple[bytes, bytes]
) -> None:
    """And nothing of it is unpacked, whatever its sha256 is."""
    old, new = artifacts
    site.files[URL] = new
    done = warm.fetch(f"{site.url}{URL}", sha256(new), of_root=root_of(old)[:-1] + "0")
    assert done.returncode == 65, done
    assert f"the root of this file is {root_of(new)}" in done.stdout
    assert warm.tree() == {"releases", "releases/new"}


def test_the_root_of_the_old_format_is_refused(place: Place, site: Site, tmp_path: Path) -> None:
    site.files[URL] = data = to_old_format(tgz(tmp_path, files=FILES)).read_bytes()
    done = fetch(place, site, data, "root")
    assert done.returncode == 65, done
    assert "only one of format fap/2 can be read in part" in done.stdout
    assert release(another(place, "second"), site, data).startswith(f"downloaded {len(data)} bytes")


@pytest.mark.parametrize("status", [403, 404])
def test_what_the_server_refuses_is_told(warm: Place, site: Site, status: int) -> None:
    site.status = status
    done = warm.fetch(f"{site.url}{URL}?secret", "")
    assert done.returncode == 22, done
    assert str(status) in done.stdout
    assert warm.tree() == {"releases", "releases/new"}
    assert {path.name for path in warm.facts.parent.parent.iterdir()} == {"releases", "code"}


def test_a_full_disk_drops_what_was_kept_first(
    place: Place, site: Site, artifacts: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """On a file system of 10 MB: the second release finds room only if the cache gives way."""
    old, new = artifacts
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(tmp_path)], check=True)
    try:
        release(place, site, old)
        second = another(place, "second")
        said = release(second, site, new, "bare URL")
        assert "warning: the disk is full: dropping cached artifacts and starting again" in said
        assert holds(second, EDITED)
        third = another(place, "third")
        site.files[URL] = old
        done = third.fetch(f"{site.url}{URL}", sha256(old))
        assert done.returncode not in (0, 65), done
        assert "free here" in done.stdout or "No space left" in done.stdout
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_download_leaves_some_of_the_disk_free(place: Place, site: Site, tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(tmp_path)], check=True)
    try:
        site.files[URL] = random.Random(1).randbytes((20 << 20) - 300_000)
        done = place.fetch(f"{site.url}{URL}", "")
        assert done.returncode == 1, done
        assert "bytes that are free here (419430 stay free)" in done.stdout
        assert place.tree() == {"releases", "releases/new"}
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_without_json_or_a_cache_it_is_fetched_whole(
    warm: Place, site: Site, artifacts: tuple[bytes, bytes]
) -> None:
    (warm.cache.parent / "file").write_text("")
    site.files[URL] = artifacts[1]
    done = warm.fetch(f"{site.url}{URL}", "", cache=str(warm.cache.parent / "file" / "cache"))
    assert done.returncode == 0, done.stdout
    assert "this artifact is not cached for the next release: " in done.stdout
    assert holds(warm, EDITED)
