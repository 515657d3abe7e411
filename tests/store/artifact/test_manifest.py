"""The manifest's reader: whatever bytes come, a manifest or an error that says what they are not."""

import gzip
import json
import resource
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifact_store.artifact import archive
from artifact_store.artifact.manifest import MANIFEST_PATH, Manifest, decode, encode
from artifact_store.core.errors import VerificationError
from tests.parts.tgz import manifest_of

GOOD = manifest_of(
    {"a.py": b"1", "b": b"22"}, {"x-1-py3-none-any.whl": b"w"}, app="shop", version="1", members=[b"m"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


def read(data: bytes) -> Manifest | None:
    try:
        return decode(data)
    except VerificationError as error:
        assert error.message.startswith(MANIFEST_PATH)  # noqa: PT017 (either is right)
        return None


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    assert read(data) is None


@given(st.data())
def test_any_value_in_any_place(data: st.DataObject) -> None:
    document = json.loads(encode(GOOD))
    place = document
    while True:
        key = data.draw(
            st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1)
        )
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(VALUES)
    found = read(json.dumps(document).encode())
    if found is not None:
        assert decode(encode(found)) == found


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=3))
def test_a_manifest_with_other_bytes_in_it(where: int, other: bytes) -> None:
    text = encode(GOOD)
    where %= len(text)
    found = read(text[:where] + other + text[where + len(other) :])
    assert found is None or decode(encode(found)) == found


@pytest.mark.parametrize("part", [b"[", b'{"a":', b'{"files":[', b'{"processes":'])
def test_deep_nesting_is_no_crash(part: bytes) -> None:
    assert read(part * 200_000) is None


def first_member(manifest: bytes) -> bytes:
    info = tarfile.TarInfo(MANIFEST_PATH)
    info.size = len(manifest)
    return gzip.compress(info.tobuf() + manifest + bytes(-len(manifest) % 512))


@settings(deadline=None)
@given(
    st.binary(max_size=2000)
    | st.binary(max_size=600).map(first_member)
    | st.binary(max_size=600).map(gzip.compress)
)
def test_any_file(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.tgz"
    path.write_bytes(data)
    with pytest.raises(VerificationError):
        archive.read_manifest(path)


def test_a_bomb_is_given_up(tmp_path: Path) -> None:
    """600 MB of zeros in 3 MB: reading ends at the limit, in bounded memory."""
    bomb = tmp_path / "bomb.tgz"
    info = tarfile.TarInfo(MANIFEST_PATH)
    info.size = 600 << 20
    with gzip.open(bomb, "wb", compresslevel=1) as out:
        out.write(info.tobuf())
        for _ in range(600):
            out.write(bytes(1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(VerificationError):
        archive.read_manifest(bomb)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300_000, "kB"
