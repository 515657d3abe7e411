"""What every place that keeps bytes must do: one suite over memory, folder, a real S3 server, and moto."""

import hashlib
import io
import os
import signal
import stat
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from artifact_store.blobs.memory import MemoryBlobs
from artifact_store.blobs.open import open_blobs
from artifact_store.blobs.parts import Range
from artifact_store.blobs.protocol import Blobs, CopyError
from artifact_store.core.errors import ConflictError, NotFoundError, StoreError, UsageError, VerificationError

BIG = 20 << 20  # more than two parts of a multipart upload


@pytest.fixture(
    params=[
        "memory",
        "folder",
        pytest.param("s3", marks=pytest.mark.s3),
        pytest.param("moto", marks=pytest.mark.s3),
    ]
)
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "memory":
        return MemoryBlobs()
    if request.param == "folder":
        return open_blobs(f"file://{tmp_path}/store")
    return open_blobs(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(BIG))
    return path


def test_what_was_created_is_read_back(blobs: Blobs) -> None:
    blobs.create("shop/a.json", b"one")
    assert blobs.get("shop/a.json") == b"one"
    assert blobs.size("shop/a.json") == 3


def test_nothing_is_overwritten(blobs: Blobs) -> None:
    blobs.create("a", b"one")
    with pytest.raises(ConflictError):
        blobs.create("a", b"two")
    assert blobs.get("a") == b"one"


def test_no_bytes_are_bytes_too(blobs: Blobs) -> None:
    blobs.create("empty", b"")
    assert blobs.get("empty") == b""
    assert blobs.size("empty") == 0


def test_what_is_not_there(blobs: Blobs) -> None:
    blobs.create("shop/artifacts/1/a", b"")
    for key in ("nothing", "shop/artifacts", "shop/artifacts/1/a/b"):
        assert blobs.size(key) is None
        with pytest.raises(NotFoundError):
            blobs.get(key)
        with pytest.raises(NotFoundError):
            blobs.get_to(key, io.BytesIO())


def test_many_objects_come_in_the_order_of_their_keys(blobs: Blobs) -> None:
    keys = [f"shop/a+{number:02}.json" for number in range(40)]
    for key in keys:
        blobs.create(key, key.encode())
    for wanted in (keys, keys[::-1]):  # the second time, an S3 store knows what a request looks like
        assert list(blobs.get_each([*wanted, "shop/none"])) == [*(key.encode() for key in wanted), None]
    assert list(blobs.get_each([])) == []


def test_a_large_file_goes_whole_and_comes_whole(blobs: Blobs, big: Path) -> None:
    with big.open("rb") as file:
        file.seek(1000)
        blobs.create("big", file)
    received = io.BytesIO()
    blobs.get_to("big", received)
    assert received.getvalue() == big.read_bytes()
    assert blobs.size("big") == BIG


def test_a_large_file_overwrites_nothing(blobs: Blobs, big: Path) -> None:
    blobs.create("big", b"first")
    with big.open("rb") as file, pytest.raises(ConflictError):
        blobs.create("big", file)
    assert blobs.get("big") == b"first"


def test_a_small_file(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"small")
    with (tmp_path / "small").open("rb") as file:
        blobs.create("small", file)
    assert blobs.get("small") == b"small"


@pytest.mark.parametrize("size", [5, BIG])
def test_a_file_that_changes_while_it_is_stored_is_not_stored(
    blobs: Blobs, tmp_path: Path, size: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with path.open("r+b") as file:
        file.write(b"other")
        file.flush()
        with pytest.raises(VerificationError, match="changed while"):
            blobs.create("shop/file", file, digest)
    assert list(blobs.keys("")) == []
    assert list(blobs.unfinished("")) == []
    with path.open("rb") as file:
        blobs.create("shop/file", file, hashlib.sha256(path.read_bytes()).hexdigest())
    assert blobs.size("shop/file") == size


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def old(blobs: Blobs, tmp_path: Path) -> bytes:
    """The bytes at the key `app/old`."""
    content = os.urandom(BIG)
    (tmp_path / "old").write_bytes(content)
    with (tmp_path / "old").open("rb") as file:
        blobs.create("app/old", file)
    return content


def test_ranges_are_copied_from_another_object(blobs: Blobs, old: bytes, tmp_path: Path) -> None:
    new = b"n" * 1000 + old[7:]
    (tmp_path / "new").write_bytes(new)
    with (tmp_path / "new").open("rb") as file:
        file.seek(5)
        sent = blobs.create_with("app/new", file, sha256(new), [Range(1000, BIG - 7, "app/old", 7)])
    received = io.BytesIO()
    blobs.get_to("app/new", received)
    assert received.getvalue() == new
    assert sent in (1000, 5 << 20)  # in S3, a part that is not the last has 5 MiB
    assert list(blobs.unfinished("")) == []


@pytest.mark.parametrize(
    "claimed",
    [
        pytest.param(Range(1000, BIG - 7, "app/old", 6), id="shifted"),
        pytest.param(Range(1000, BIG - 7, "app/other", 7), id="missing"),
        pytest.param(Range(1000, BIG - 7, "app/old", 8), id="too short"),
    ],
)
def test_other_bytes_are_not_taken_for_those_of_the_file(
    blobs: Blobs, old: bytes, tmp_path: Path, claimed: Range
) -> None:
    new = b"n" * 1000 + old[7:]
    (tmp_path / "new").write_bytes(new)
    with (tmp_path / "new").open("rb") as file:
        with pytest.raises(CopyError):
            blobs.create_with("app/new", file, sha256(new), [claimed])
        assert blobs.size("app/new") is None
        assert list(blobs.unfinished("")) == []
        blobs.create("app/new", file, sha256(new))
    assert blobs.size("app/new") == len(new)


def test_a_file_that_changes_while_ranges_are_copied_is_not_stored(
    blobs: Blobs, old: bytes, tmp_path: Path
) -> None:
    (tmp_path / "new").write_bytes(b"other" + old)
    with (tmp_path / "new").open("rb") as file, pytest.raises((VerificationError, CopyError)):
        blobs.create_with("app/new", file, sha256(b"words" + old), [Range(5, BIG, "app/old", 0)])
    assert blobs.size("app/new") is None
    assert list(blobs.unfinished("")) == []


def test_keys_are_listed(blobs: Blobs) -> None:
    keys = ["app/a-b/1", "app/a.b", "app/a/1", "app/a/10", "app/a/2", "app/a0", "app/b+c/1", "app/ü/1"]
    for key in reversed(keys):
        blobs.create(key, b"x")
    blobs.create("apple/1", b"x")
    assert sorted(blobs.keys("app/")) == keys
    assert list(blobs.keys("app/a/")) == ["app/a/1", "app/a/10", "app/a/2"]
    assert list(blobs.keys("app/a/", after="app/a/10")) == ["app/a/2"]
    assert list(blobs.keys("app/a/", after="app/a/1000")) == ["app/a/2"]
    assert list(blobs.keys("app/a/", after="app/a/2")) == []
    assert list(blobs.keys("nothing/")) == []


def test_folders_have_keys_below_them(blobs: Blobs) -> None:
    for key in ("shop/stages/prod/1", "shop/stages/prod/2", "shop/stages/prod-eu/1", "shop/stages/note"):
        blobs.create(key, b"x")
    assert sorted(blobs.folders("shop/stages/")) == ["prod", "prod-eu"]
    assert list(blobs.folders("")) == ["shop"]
    assert list(blobs.folders("blog/stages/")) == []


def test_a_listing_tells_size_and_time(blobs: Blobs) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    blobs.create("shop/a", b"one")
    blobs.create("shop/b/c", b"")
    found = {blob.key: blob for blob in blobs.listing("shop/")}
    assert {key: blob.size for key, blob in found.items()} == {"shop/a": 3, "shop/b/c": 0}
    for blob in found.values():
        assert before < blob.modified < datetime.now(UTC) + timedelta(seconds=2)
    assert [blob.key for blob in blobs.listing("shop/", after="shop/a")] == ["shop/b/c"]


def test_what_is_deleted_is_gone_and_its_key_free(blobs: Blobs) -> None:
    blobs.create("shop/a/b", b"one")
    blobs.create("shop/c", b"stays")
    for key in ("shop/a/b", "shop/a/b", "shop/a", "nothing/here", "shop/c/d"):
        blobs.delete(key)
    assert list(blobs.keys("")) == ["shop/c"]
    assert list(blobs.folders("shop/")) == []
    blobs.create("shop/a/b", b"two")
    assert blobs.get("shop/a/b") == b"two"


def test_nothing_is_left_unfinished(blobs: Blobs, big: Path) -> None:
    with big.open("rb") as file:
        blobs.create("shop/big", file)
    with big.open("rb") as file, pytest.raises(ConflictError):
        blobs.create("shop/big", file)
    assert list(blobs.unfinished("")) == []


def test_keys_with_signs_that_urls_give_a_meaning(blobs: Blobs) -> None:
    key = "shop/artifacts/1.0+dirty.12ab/shop-1.0+dirty.12ab.tgz"
    blobs.create(key, b"x")
    assert blobs.get(key) == b"x"
    assert list(blobs.keys("shop/")) == [key]


@pytest.mark.s3
def test_a_listing_has_as_many_pages_as_it_needs(s3_url: str) -> None:
    blobs = open_blobs(s3_url)
    keys = [f"log/{number:04d}" for number in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: blobs.create(key, b"x"), keys))
    assert list(blobs.keys("log/")) == keys


@pytest.mark.s3
def test_a_presigned_url_needs_no_credentials(s3_url: str) -> None:
    blobs = open_blobs(s3_url)
    blobs.create("shop/1+2.tgz", b"content")
    assert httpx.get(blobs.link("shop/1+2.tgz", timedelta(minutes=1)).url).content == b"content"


KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.mark.parametrize(
    ("session", "hours", "known"),
    [
        ({}, 48, True),
        ({"AWS_SESSION_TOKEN": "token"}, 48, False),
        ({"AWS_SESSION_TOKEN": "token", "AWS_CREDENTIAL_EXPIRATION": "in 3 hours"}, 3, True),
    ],
)
def test_a_link_tells_when_it_really_ends(
    session: dict[str, str], hours: int, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    for name, value in {**KEYS, **session}.items():
        end = (now + timedelta(hours=hours)).isoformat()
        monkeypatch.setenv(name, end if name == "AWS_CREDENTIAL_EXPIRATION" else value)
    link = open_blobs("s3://bucket/prefix").link("key", timedelta(hours=48))
    assert link.until is not None
    assert abs(link.until - now - timedelta(hours=hours)) < timedelta(minutes=1)
    assert link.session is not known


@pytest.mark.s3
@pytest.mark.parametrize("expires", [timedelta(days=8), timedelta(), timedelta(seconds=-1)])
def test_a_url_is_not_signed_for_longer_than_s3_allows(s3_url: str, expires: timedelta) -> None:
    with pytest.raises(UsageError, match="7 days"):
        open_blobs(s3_url).link("key", expires)


def test_files_of_a_folder_are_read_only_and_leave_nothing_beside_them(tmp_path: Path) -> None:
    blobs = open_blobs(str(tmp_path / "store"))
    blobs.create("shop/a", b"x")
    with pytest.raises(ConflictError):
        blobs.create("shop/a", b"y")
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert files == [tmp_path / "store/shop/a"]
    assert stat.S_IMODE(files[0].stat().st_mode) & 0o222 == 0


@pytest.mark.parametrize("key", ["../outside", "a/../b", "a//b", "/a", ".incoming/a", "a/.hidden"])
def test_a_folder_keeps_its_keys_inside(tmp_path: Path, key: str) -> None:
    blobs = open_blobs(str(tmp_path / "store"))
    with pytest.raises(StoreError):
        blobs.create(key, b"x")
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
from artifact_store.blobs.open import open_blobs

def die():
    blobs = open_blobs(sys.argv[1])
    while not any(unfinished.size for unfinished in blobs.unfinished("")):
        time.sleep(0.002)
    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=die).start()
with Path(sys.argv[2]).open("rb") as file:
    open_blobs(sys.argv[1]).create("shop/artifacts/1/big", file)
    time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["folder", pytest.param("s3", marks=pytest.mark.s3)])
def test_a_killed_create_is_listed_and_aborted(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue("s3_url") if kind == "s3" else f"file://{tmp_path}/store"
    large = tmp_path / "large"
    large.write_bytes(os.urandom(64 << 20))
    done = subprocess.run([sys.executable, "-c", KILLED, url, large], check=False)
    assert done.returncode == -signal.SIGKILL
    blobs = open_blobs(url)
    assert list(blobs.unfinished("blog/")) == []
    (left,) = blobs.unfinished("shop/")
    assert list(blobs.unfinished("")) == [left]
    assert 0 < left.size <= 64 << 20
    assert abs(left.started - datetime.now(UTC)) < timedelta(minutes=1)
    blobs.abort(left)
    blobs.abort(left)
    assert list(blobs.unfinished("")) == []
    assert list(blobs.keys("")) == []


FILL_A_DISK = """
import sys
import tracemalloc
from artifact_store.blobs.open import open_blobs
from artifact_store.core.errors import StoreError
try:
    open_blobs(sys.argv[1]).create("shop/big", bytes(4 << 20))
except StoreError as error:
    print(error.message, "|", error.hint)
"""


def test_a_full_disk_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    mounted = 'mount -t tmpfs -o size=1m tmpfs "$1" && "$2" -c "$3" "$1"; find "$1" -type f'
    own_mounts = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, "sh"]
    done = subprocess.run(
        [*own_mounts, tmp_path, sys.executable, FILL_A_DISK], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    said, *files = done.stdout.splitlines()
    assert "shop/big can't be written: No space left on device | check space" in said
    assert files == []


def test_a_folder_below_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="can't be written"):
        open_blobs(str(tmp_path / "file" / "store")).create("a", b"x")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "no store is given"),
        ("ftp://host/x", "is not a valid store URL"),
        ("s3:///prefix", "is not a valid store URL"),
        ("file://srv/store", "three slashes"),
        ("file:srv", "three slashes"),
        ("file:", "three slashes"),
        ("https://me:word@host/x", "can't have a user, password or query"),
        ("s3://bucket/x?versionId=1", "can't have a user, password or query"),
        ("s3://Bucket_/x", "is not a valid bucket name"),
        ("https://[::1/x", "the store's URL is not valid"),
    ],
)
def test_a_url_that_names_no_store(url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as error:
        open_blobs(url)
    assert "word" not in error.value.message.replace("password", "")
    assert error.value.hint


def test_the_names_of_a_folder() -> None:
    assert open_blobs("file:///srv/my%20store").name == "file:///srv/my%20store"
    assert open_blobs("/srv/store").name == "file:///srv/store"


@pytest.mark.parametrize("kind", ["folder", pytest.param("s3", marks=pytest.mark.s3)])
def test_an_object_that_is_read_whole_has_a_limit(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    blobs = open_blobs(request.getfixturevalue("s3_url") if kind == "s3" else f"file://{tmp_path}/store")
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(40 << 20)
    with large.open("rb") as file:
        blobs.create("shop/stages/production/00000001.json", file)
    tracemalloc.start()
    with pytest.raises(VerificationError, match="has more than 16 MiB, so it is no entry, record or"):
        blobs.get("shop/stages/production/00000001.json")
    assert tracemalloc.get_traced_memory()[1] < 24 << 20
    tracemalloc.stop()
