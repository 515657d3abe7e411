"""The summary of `fapbuild inspect`: parts and sizes of an artifact, also of another packer's."""

import json
import os
from pathlib import Path

import pytest

from artifact_store.artifact.manifest import File
from artifact_store.artifact.peek import open_source, peek
from artifact_store.core.errors import UsageError, VerificationError
from fapbuild.archive.members import PIECE, members_of
from fapbuild.inspecting import single_file, summary
from fapbuild.inspecting.summary import PartSize
from tests.parts.artifacts import CLICK, artifact, project_file
from tests.parts.project import Project
from tests.parts.tgz import tgz, to_old_format

FILES = {
    ".fap/run": b"#!/bin/sh\n",
    "install.sh": b"#!/bin/sh\nexit\n",
    "app.py": b"print('hello')\n",
    "static/dist/app.js": b"js",
    "static/dist/img/logo.svg": b"<svg/>",
    "static/distant.py": b"1",
}


def parts(path: Path) -> dict[str, PartSize]:
    with open_source(str(path)) as source:
        found = peek(source)
        return summary.parts(found.manifest, single_file.settings(source, found))


def test_the_sizes_by_part(tmp_path: Path) -> None:
    settings = project_file("./static/dist/")
    found = parts(artifact(tmp_path / "a.tgz", {**FILES, "pyproject.toml": settings}))
    assert {name: part.files for name, part in found.items()} == {
        "code": 3,
        "assets": 2,
        "wheels": 1,
        "fap": 3,
    }
    assert found["assets"] == PartSize(2, 8)
    assert found["code"] == PartSize(3, len(FILES["app.py"]) + 1 + len(settings))
    assert found["wheels"] == PartSize(1, len(CLICK["click-8.0-py3-none-any.whl"]))


@pytest.mark.parametrize(
    "settings",
    [{}, {"pyproject.toml": b"[tool.fapbuild]\nkey_of_tomorrow = 1\n"}, {"pyproject.toml": b"\xff"}],
)
def test_assets_that_are_unknown_count_as_code(tmp_path: Path, settings: dict[str, bytes]) -> None:
    found = parts(artifact(tmp_path / "a.tgz", {**FILES, **settings}))
    assert "assets" not in found
    assert found["code"].files == 4 + len(settings)


def test_an_own_installer_is_code(tmp_path: Path) -> None:
    settings = {"fapbuild.toml": b'app = "shop"\ninstaller = "own"\n'}
    found = parts(artifact(tmp_path / "a.tgz", {**FILES, **settings}))
    assert (found["fap"].files, found["assets"]) == (2, PartSize(0, 0))


def test_members_of_another_packer_are_understood(tmp_path: Path) -> None:
    """For example one member per file, which the rule of our cuts would not give."""
    path = tgz(tmp_path, files={"pyproject.toml": project_file("static")})
    assert parts(path)["code"].files == 1
    assert "assets" in parts(path)


def test_members_of_the_old_format_are_not_understood(tmp_path: Path) -> None:
    """Its manifest does not say which member holds which file."""
    path = to_old_format(tgz(tmp_path, files={"pyproject.toml": project_file("static")}))
    assert parts(path)["code"].files == 1
    assert "assets" not in parts(path)


def test_every_path_has_its_members(tmp_path: Path) -> None:
    path = artifact(tmp_path / "a.tgz", {**FILES, "video": os.urandom(2 * PIECE + 1)})
    with open_source(str(path)) as source:
        found = peek(source)
        held = members_of(found.manifest)
        assert len(held["video"]) == 3
        assert sorted({number for numbers in held.values() for number in numbers}) == list(
            range(len(found.manifest.members) - 1)
        )
        assert {name: single_file.content(source, found, name) for name in FILES} == FILES
        assert single_file.content(source, found, "video") is None
        assert single_file.content(source, found, "absent") is None


def test_impossible_sizes_do_no_harm(tmp_path: Path) -> None:
    path = artifact(
        tmp_path / "a.tgz", FILES, said={"files": (File("a", 0o644, 1 << 60), File("b", 0o644, -5))}
    )
    with open_source(str(path)) as source:
        assert members_of(peek(source).manifest) == {}


def test_it_is_printed_for_people_and_programs(packed: Path, project: Project) -> None:
    lines = project.run("inspect", str(packed)).stdout.splitlines()
    assert any(line.startswith("  wheels ") and line.endswith("in 2 files") for line in lines)
    assert "largest files" in lines
    told = json.loads(project.run("inspect", "--json", f"file://{packed}").stdout)
    assert told["size"] == packed.stat().st_size
    assert told["parts"]["wheels"] == {"files": 2, "size": sum(wheel["size"] for wheel in told["wheels"])}
    assert told["biggest"] == sorted(told["biggest"], key=lambda file: -file["size"])


def test_names_move_no_cursor(tmp_path: Path, project: Project) -> None:
    path = tgz(tmp_path, files={"a\x1b[2Jb": b"x" * 1000}, commit="\x1b]0;title\x07")
    shown = project.run("inspect", str(path)).stdout
    assert "\x1b" not in shown
    assert "\N{REPLACEMENT CHARACTER}[2Jb" in shown


def test_other_files_are_refused(tmp_path: Path, packed: Path) -> None:
    cut = tmp_path / "cut.tgz"
    cut.write_bytes(packed.read_bytes()[:-1])
    with pytest.raises(VerificationError, match="but its manifest says"):
        parts(cut)
    cut.write_bytes(packed.read_bytes()[:50])
    with pytest.raises(VerificationError, match="is cut short after 50 bytes"):
        parts(cut)
    with pytest.raises(UsageError, match="No such file"):
        parts(tmp_path / "absent.tgz")
