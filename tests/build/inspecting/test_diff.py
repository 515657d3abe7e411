"""The changes that `fapbuild diff` shows between two artifacts."""

import hashlib
import json
import tempfile
import zlib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from artifact_store.artifact.diff import Upgrade, WheelChanges
from artifact_store.artifact.manifest import Builder
from artifact_store.artifact.peek import open_source, peek
from fapbuild.inspecting import diff
from fapbuild.inspecting.diff import ArtifactDiff, ResizedFile, SizedFile
from tests.parts.artifacts import artifact
from tests.parts.project import Project
from tests.parts.webserver import serve

BEFORE = {"app.py": b"one", "gone.py": b"gone", "kept.py": b"kept"}
AFTER = {"app.py": b"longer", "kept.py": b"kept", "new.py": b"new"}
OLD_WHEELS = {f"{name}-py3-none-any.whl": name.encode() for name in ("a-1.0", "b-1.0", "c-1.0", "d-1.0")}
NEW_WHEELS = {f"{name}-py3-none-any.whl": name.encode() for name in ("b-1.0", "c-1.1", "e-2.0")}
NEW_WHEELS["d-1.0-py3-none-any.whl"] = b"built again"

trees = st.dictionaries(
    st.sampled_from(["a", "b", "c/d", "c/e", "ü"]),
    st.one_of(
        st.binary(max_size=3),
        st.integers(0, 2).map(lambda seed: hashlib.shake_128(bytes(seed)).digest(70_000)),
    ),
)


def compared(before: Path, after: Path) -> ArtifactDiff:
    found = []
    for path in (before, after):
        with open_source(str(path)) as source:
            found.append(peek(source))
    return diff.compare(*found)


def members_of(path: Path) -> list[bytes]:
    data, found = path.read_bytes(), []
    while data:
        inflate = zlib.decompressobj(wbits=31)
        inflate.decompress(data)
        found.append(data[: len(data) - len(inflate.unused_data)])
        data = inflate.unused_data
    return found


def test_what_changed(tmp_path: Path) -> None:
    old = artifact(tmp_path / "1.tgz", BEFORE, OLD_WHEELS)
    new = artifact(tmp_path / "2.tgz", AFTER, NEW_WHEELS, version="2")
    found = compared(old, new)
    assert found.wheels == WheelChanges(("e 2.0",), ("a 1.0",), (Upgrade("c", "1.0", "1.1"),), ("d 1.0",))
    assert found.files.added == (SizedFile("new.py", 3),)
    assert found.files.removed == (SizedFile("gone.py", 4),)
    assert found.files.changed == (ResizedFile("app.py", 3, 6),)
    had = set(members_of(old))
    first, *others = members_of(new)
    assert found.download == len(first) + sum(len(member) for member in others if member not in had)


def test_nothing_changed(packed: Path) -> None:
    found = compared(packed, packed)
    assert found.wheels == WheelChanges((), (), (), ())
    assert found.files == diff.FileChanges((), (), (), ())
    assert found.download == len(members_of(packed)[0])


def test_another_mode_is_a_change(packed: Path, tmp_path: Path, project: Project) -> None:
    old = project.pack("--version=1", "-o", str(tmp_path))["path"]
    (project.folder / "app.py").chmod(0o755)
    new = project.commit({}).pack("--version=2", "-o", str(tmp_path))["path"]
    assert compared(Path(old), Path(new)).files.changed == (ResizedFile("app.py", 15, 15),)
    assert "  ~ app.py  mode changed\n" in project.run("diff", old, new).stdout


@settings(max_examples=40, deadline=None)
@given(trees, trees)
def test_what_is_not_named_has_not_changed(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = compared(
            artifact(Path(folder) / "1.tgz", before), artifact(Path(folder) / "2.tgz", after)
        ).files
    assert {file.path for file in files.added} == after.keys() - before.keys()
    assert {file.path for file in files.removed} == before.keys() - after.keys()
    both = before.keys() & after.keys()
    resized = {path for path in both if len(before[path]) != len(after[path])}
    assert {file.path for file in files.changed} == resized
    others = {path for path in both if before[path] != after[path]} - resized
    assert others <= set(files.perhaps)


def test_it_is_printed_for_people_and_programs(tmp_path: Path, project: Project) -> None:
    old = artifact(tmp_path / "1.tgz", BEFORE, OLD_WHEELS)
    other = Builder(name="tests", version="2", compressor="zlib", level=9)
    new = artifact(tmp_path / "2.tgz", AFTER, NEW_WHEELS, version="2", said={"builder": other})
    shown = project.run("diff", str(old), str(new)).stdout
    assert shown.startswith("shop 1 -> shop 2\nsize ")
    for line in ("+ e 2.0", "- a 1.0", "~ c 1.0 -> 1.1", "~ d 1.0, rebuilt", "~ app.py  3 -> 6 bytes"):
        assert f"  {line}\n" in shown
    assert "packed by different builders or compressors" in shown
    told = json.loads(project.run("diff", "--json", str(old), str(new)).stdout)
    assert told["after"] == {"app": "shop", "version": "2", "size": new.stat().st_size}
    assert told["wheels"]["upgraded"] == [{"name": "c", "before": "1.0", "after": "1.1"}]
    assert told["download"] == compared(old, new).download


def test_of_urls_only_the_manifests_are_fetched(tmp_path: Path, project: Project) -> None:
    files = {"photo.jpg": hashlib.shake_128(b"photo").digest(1 << 20)}
    old, new = (artifact(tmp_path / f"{n}.tgz", files, version=n) for n in "12")
    with serve() as site:
        site.files = {"/1.tgz": old.read_bytes(), "/2.tgz": new.read_bytes()}
        done = project.run("diff", "--json", f"{site.url}/1.tgz", f"{site.url}/2.tgz")
        assert [asked for _, asked in site.asked] == ["bytes=0-32767"] * 2
    assert json.loads(done.stdout)["download"] == compared(old, new).download
