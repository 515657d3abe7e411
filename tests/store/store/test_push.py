"""A push sends what changed, and the store copies the rest from the versions that it has."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from artifact_store.core.actor import Actor
from artifact_store.core.errors import VerificationError
from artifact_store.records.artifacts import Published, archive_key
from artifact_store.store.publish import moved, open_upload
from artifact_store.store.store import Store, open_store
from tests.parts.s3_proxy import Answer, Asked, Proxy, proxy, refusal
from tests.parts.seaweed import SHARED, Server
from tests.parts.tgz import tgz, to_old_format

FAPSTORE = str(Path(sys.executable).with_name("fapstore"))
ANN = Actor("ann")
MB = 1 << 20
WHEEL = os.urandom(20 * MB)
LEAST = 5 << 20
"""In S3, a part that is not the last has 5 MiB."""

S3 = [pytest.param("s3", marks=pytest.mark.s3), pytest.param("moto", marks=pytest.mark.s3)]


def large(folder: Path, version: str, *, wheel: bytes = WHEEL, app: str = "shop") -> Path:
    """An artifact whose versions differ by a file, and have a large wheel in common."""
    files = {"app.py": f"print({version})\n".encode()}
    return tgz(folder, app=app, version=version, files=files, wheels={"big-1-py3-none-any.whl": wheel})


def push(store: Store, artifact: Path) -> Published:
    """Push it, and check that the store has its bytes."""
    published = store.artifacts.publish(artifact, by=ANN)
    record = store.artifacts.get(published.app, published.version)
    assert record.operation == published.operation
    assert store.artifacts.check(record) == record.root
    assert record.size == artifact.stat().st_size
    return published


def is_whole(published: Published, why: str) -> bool:
    """Whether a push sent everything, and says why."""
    assert why in published.not_copied
    assert moved(published) == f"sent all 21.0 MB: {published.not_copied}"
    return (published.uploaded, published.copied_from) == (published.size, ())


@pytest.fixture(params=["folder", *S3])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store."""
    if request.param == "folder":
        return open_store(f"file://{tmp_path}/store")
    return open_store(request.getfixturevalue(f"{request.param}_url"))


def test_a_push_sends_what_changed(store: Store, tmp_path: Path) -> None:
    first = push(store, large(tmp_path, "1"))
    assert (first.uploaded, moved(first)) == (first.size, "")
    second = push(store, large(tmp_path, "2"))
    assert second.uploaded <= LEAST
    assert second.copied_from == ("1",)
    assert moved(second).startswith("sent ")
    assert moved(second).endswith(" of 21.0 MB; the rest was copied from 1 in the store")
    again = push(store, tmp_path / "shop-2.tgz")
    assert (again.created, again.uploaded, moved(again)) == (False, 0, "")
    assert push(store, large(tmp_path, "3")).copied_from == ("2",)


@pytest.mark.parametrize("old", ["1", "2"])
def test_one_of_the_versions_has_the_old_format(store: Store, tmp_path: Path, old: str) -> None:
    pushed = {
        version: push(store, to_old_format(path) if version == old else path)
        for version, path in ((name, large(tmp_path, name)) for name in "12")
    }
    assert pushed["2"].copied_from == ("1",)
    assert pushed["2"].uploaded <= LEAST
    assert (store.artifacts.get("shop", "2").root == "") == (old == "2")


def test_the_version_before_was_for_another_platform(store: Store, tmp_path: Path) -> None:
    push(store, large(tmp_path, "1"))
    assert moved(push(store, large(tmp_path, "2", wheel=os.urandom(20 * MB)))) == ""
    assert push(store, large(tmp_path, "3")).copied_from == ("1",)


def test_versions_of_which_others_have_nothing_are_sent(store: Store, tmp_path: Path) -> None:
    push(store, large(tmp_path, "1"))
    other_app = push(store, large(tmp_path, "2", app="blog"))
    assert (other_app.uploaded, moved(other_app)) == (other_app.size, "")
    small = push(store, tgz(tmp_path, version="3"))
    assert (small.uploaded, moved(small)) == (small.size, "")


def test_versions_whose_bytes_are_gone_are_no_source(store: Store, tmp_path: Path) -> None:
    first = push(store, large(tmp_path, "1"))
    store.blobs.delete(archive_key(first))
    second = push(store, large(tmp_path, "2"))
    assert (second.uploaded, moved(second)) == (second.size, "")
    back = push(store, tmp_path / "shop-1.tgz")  # puts the bytes back
    assert (back.uploaded, back.created) == (back.size, False)


def test_a_version_that_can_not_be_read_is_named(store: Store, tmp_path: Path) -> None:
    first = push(store, large(tmp_path, "1"))
    store.blobs.delete(archive_key(first))
    store.blobs.create(archive_key(first), b"no artifact")
    second = push(store, large(tmp_path, "2"))
    assert is_whole(second, "is not an artifact: it looks like text")


def test_a_record_that_can_not_be_read_stops_no_copy(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/store")
    push(store, large(tmp_path, "1"))
    store.blobs.create("shop/artifacts/9/artifact.json", b"no record")
    assert push(store, large(tmp_path, "2")).copied_from == ("1",)


def test_a_version_whose_bytes_were_damaged_in_the_folder(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/store")
    first = push(store, large(tmp_path, "1"))
    stored = tmp_path / "store" / archive_key(first)
    data = bytearray(stored.read_bytes())
    data[10 * MB] ^= 1
    stored.chmod(0o600)
    stored.write_bytes(data)
    assert is_whole(push(store, large(tmp_path, "2")), "the copied ranges have other bytes")


def damaged(path: Path) -> str:
    """Change a byte in the middle of a file; return its sha256 before."""
    data = bytearray(path.read_bytes())
    digest = hashlib.sha256(data).hexdigest()
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return digest


def test_a_packed_file_is_checked_while_it_is_stored(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/store")
    right = large(tmp_path, "1")
    digest = hashlib.sha256(right.read_bytes()).hexdigest()
    with open_upload(right, digest) as upload:
        assert store.artifacts.publish(upload, by=ANN).created
    with open_upload(right, digest) as upload:
        assert not store.artifacts.publish(upload, by=ANN).created


@pytest.mark.parametrize("has_other", [False, True])
def test_a_packed_file_that_was_damaged_makes_no_version(tmp_path: Path, has_other: bool) -> None:
    store = open_store(f"file://{tmp_path}/store")
    if has_other:
        push(store, large(tmp_path, "1"))
    wrong = large(tmp_path, "2")
    digest = damaged(wrong)
    with open_upload(wrong, digest) as upload, pytest.raises(VerificationError, match=r"damaged|changed"):
        store.artifacts.publish(upload, by=ANN)
    assert store.artifacts.versions("shop") == (("1",) if has_other else ())


def test_a_packed_file_has_the_sha256_that_its_maker_knows(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/store")
    with (
        open_upload(large(tmp_path, "1"), "0" * 64) as upload,
        pytest.raises(VerificationError, match="changed while it was stored"),
    ):
        store.artifacts.publish(upload, by=ANN)
    assert store.artifacts.versions("shop") == ()


def test_the_command_says_what_it_sent(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/store")
    push(store, large(tmp_path, "1"))
    large(tmp_path, "2")
    done = subprocess.run(
        [FAPSTORE, "--store", store.name, "push", "shop-2.tgz", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines()[0] == "pushed shop 2"
    assert done.stderr.splitlines()[1].endswith("of 21.0 MB; the rest was copied from 1 in the store")
    said = json.loads(done.stdout)
    assert said["uploaded"] < LEAST
    assert said["copied_from"] == ["1"]


@pytest.mark.s3
def test_checksums_of_a_real_server_prove_a_copy(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artifact_store.blobs.known_servers.SLOW_CHECKSUMS", ())
    monkeypatch.setattr("artifact_store.blobs.s3_parts.PartsUpload.check_joints", _unexpected)
    store = open_store(s3_url)
    push(store, large(tmp_path, "1"))
    assert push(store, large(tmp_path, "2")).uploaded <= LEAST


def _unexpected(*_: object) -> None:
    raise AssertionError("the checksums are enough")


@dataclass(frozen=True)
class Behind:
    """A store behind a proxy, with version 1 of the shop; `straight` is the same store without the proxy."""

    proxy: Proxy
    url: str
    store: Store
    straight: Store
    first: Published

    def on_copy(self, act: Callable[[], Answer | None]) -> None:
        """Do this when the first copy of a part is asked for, or answer it by this."""
        once = iter([act])

        def before(asked: Asked) -> Answer | None:
            return next(once, lambda: None)() if _is_copy(asked) else None

        self.proxy.before = before


def _is_copy(asked: Asked) -> bool:
    return "x-amz-copy-source" in asked.headers


@pytest.fixture(params=S3)
def behind(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Behind]:
    url = request.getfixturevalue(f"{request.param}_url")
    straight = open_store(url)
    first = push(straight, large(tmp_path, "1"))
    with proxy(os.environ["AWS_ENDPOINT_URL_S3"]) as one:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", one.url)
        yield Behind(one, url, open_store(url), straight, first)


def has_only_whole_versions(store: Store, folder: Path, pushed: Published) -> bool:
    """Whether the store has the bytes of a version once, and they are those of its file."""
    record = store.artifacts.get(pushed.app, pushed.version)
    archives = [key for key in store.blobs.keys(f"shop/artifacts/{pushed.version}/") if key.endswith(".tgz")]
    fetched = store.artifacts.fetch("shop", pushed.version, folder / "fetched.tgz")
    return archives == [archive_key(record)] and list(store.blobs.unfinished("")) == [] and fetched.exists()


@pytest.mark.parametrize(
    ("code", "status"), [("NotImplemented", 501), ("AccessDenied", 403), ("InvalidRequest", 400)]
)
def test_a_server_that_refuses_copies_gets_the_whole(
    behind: Behind, tmp_path: Path, code: str, status: int
) -> None:
    behind.on_copy(lambda: refusal(code, "no copies here", status))
    second = behind.store.artifacts.publish(large(tmp_path, "2"), by=ANN)
    assert is_whole(second, "the server did not copy a part: ")
    assert f"({code} no copies here)" in second.not_copied
    assert has_only_whole_versions(behind.straight, tmp_path, second)


def test_a_server_that_takes_a_copy_for_an_empty_part(behind: Behind, tmp_path: Path) -> None:
    behind.on_copy(lambda: Answer(200, b"", {"ETag": '"d41d8cd98f00b204e9800998ecf8427e"'}))
    second = behind.store.artifacts.publish(large(tmp_path, "2"), by=ANN)
    assert is_whole(second, "the server did not copy a part")
    assert has_only_whole_versions(behind.straight, tmp_path, second)


def test_a_server_that_wants_parts_of_one_length(behind: Behind, tmp_path: Path) -> None:
    unequal = iter([refusal("InvalidPart", "All non-trailing parts must have the same length.", 400)])

    def before(asked: Asked) -> Answer | None:
        return next(unequal, None) if asked.method == "POST" and "uploadId" in asked.query else None

    behind.proxy.before = before
    second = behind.store.artifacts.publish(large(tmp_path, "2"), by=ANN)
    assert is_whole(second, "the server did not join copied parts: ")
    assert has_only_whole_versions(behind.straight, tmp_path, second)


def test_the_version_is_removed_while_it_is_copied(behind: Behind, tmp_path: Path) -> None:
    behind.on_copy(lambda: behind.straight.blobs.delete(archive_key(behind.first)))
    second = behind.store.artifacts.publish(large(tmp_path, "2"), by=ANN)
    assert is_whole(second, "the server did not copy a part: ")
    assert has_only_whole_versions(behind.straight, tmp_path, second)


def test_the_version_is_replaced_while_it_is_copied(behind: Behind, tmp_path: Path) -> None:
    def replace() -> None:
        key = archive_key(behind.first)
        behind.straight.blobs.delete(key)
        behind.straight.blobs.create(key, os.urandom(behind.first.size))

    behind.on_copy(replace)
    second = behind.store.artifacts.publish(large(tmp_path, "2"), by=ANN)
    # moto does not compare the ETag, but returns other bytes
    assert is_whole(second, "the server ")
    assert has_only_whole_versions(behind.straight, tmp_path, second)


def test_a_checksum_of_other_bytes_ends_the_copy(
    moto_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = open_store(moto_url)
    push(straight, large(tmp_path, "1"))
    wrong = (
        b"<CopyPartResult><ETag>&quot;0&quot;</ETag><ChecksumCRC32>AAAAAA==</ChecksumCRC32></CopyPartResult>"
    )
    with proxy(os.environ["AWS_ENDPOINT_URL_S3"]) as one:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", one.url)
        one.after = lambda asked: Answer(200, wrong) if _is_copy(asked) else None
        second = open_store(moto_url).artifacts.publish(large(tmp_path, "2"), by=ANN)
        ended = [asked for asked in one.seen if asked.method == "POST" and "uploadId" in asked.query]
    assert is_whole(second, "the server copied other bytes: their checksum differs")
    assert len(ended) == 1  # only that of the whole
    assert has_only_whole_versions(straight, tmp_path, second)


class Shifting(Proxy):
    """Asks the server for the bytes before those that are to be copied."""

    def answer(self, asked: Asked, target: str, body: bytes, headers: list[tuple[str, str]]) -> Answer:
        shifted = [
            (name, _shift(value) if name.lower().endswith("-range") else value) for name, value in headers
        ]
        return super().answer(asked, target, body, shifted if _is_copy(asked) else headers)


def _shift(value: str) -> str:
    start, end = value.removeprefix("bytes=").split("-")
    return f"bytes={int(start) - 1}-{int(end) - 1}"


@pytest.mark.parametrize("may_delete", [True, False])
def test_bytes_of_another_place_are_found_at_the_joints(
    moto_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_delete: bool
) -> None:
    straight = open_store(moto_url)
    push(straight, large(tmp_path, "1"))
    with proxy(os.environ["AWS_ENDPOINT_URL_S3"], Shifting) as one:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", one.url)
        if not may_delete:
            denied = refusal("AccessDenied", "no deletes", 403)
            one.before = lambda asked: denied if asked.method == "DELETE" else None
        second = open_store(moto_url).artifacts.publish(large(tmp_path, "2"), by=ANN)
    assert is_whole(second, "the server copied other bytes: they differ where parts meet")
    assert straight.artifacts.check(straight.artifacts.get("shop", "2")) == second.root
    assert has_only_whole_versions(straight, tmp_path, second) == may_delete


def test_a_push_that_is_killed_between_two_parts(behind: Behind, tmp_path: Path) -> None:
    asked_for, let_go = threading.Event(), threading.Event()

    def hang() -> Answer:
        asked_for.set()
        let_go.wait(60)
        return Answer(500)

    behind.on_copy(hang)
    artifact = large(tmp_path, "2")
    process = subprocess.Popen([FAPSTORE, "--store", behind.url, "push", artifact])
    assert asked_for.wait(60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    let_go.set()
    assert behind.straight.artifacts.versions("shop") == ("1",)
    assert list(behind.straight.blobs.keys("shop/artifacts/2/")) == []
    assert len(list(behind.straight.blobs.unfinished("shop/"))) == 1
    assert push(behind.straight, artifact).copied_from == ("1",)


def test_an_end_whose_reply_was_lost_is_an_end(behind: Behind, tmp_path: Path) -> None:
    lost = iter([refusal("InternalError", "lost", 500)])

    def after(asked: Asked) -> Answer | None:
        return next(lost, None) if asked.method == "POST" and "uploadId" in asked.query else None

    behind.proxy.after = after
    second = behind.store.artifacts.publish(large(tmp_path, "2"), by=ANN)
    assert second.copied_from == ("1",)
    assert has_only_whole_versions(behind.straight, tmp_path, second)


@pytest.mark.parametrize("same", [True, False])
def test_two_pushes_at_once(store: Store, tmp_path: Path, same: bool) -> None:
    push(store, large(tmp_path, "1"))
    pushed = [large(tmp_path, "2"), large(tmp_path, "2" if same else "3")]
    running = [
        subprocess.Popen(
            [FAPSTORE, "--store", store.name, "push", path, "--json"], stdout=subprocess.PIPE, text=True
        )
        for path in pushed
    ]
    said = [json.loads(process.communicate(timeout=120)[0]) for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sum(one["created"] for one in said) == (1 if same else 2)
    assert all(one["uploaded"] <= LEAST for one in said)
    for version in {one["version"] for one in said}:
        assert store.artifacts.check(store.artifacts.get("shop", version))


@pytest.mark.s3
def test_a_builder_who_may_not_delete_copies(
    s3_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_server.make_bucket(SHARED)
    for name, value in s3_server.env_of("builder").items():
        monkeypatch.setenv(name, value)
    store = open_store(f"s3://{SHARED}")
    push(store, large(tmp_path, "21"))  # other tests push 1 and 2 there
    assert push(store, large(tmp_path, "22")).copied_from == ("21",)
