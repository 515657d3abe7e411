"""Releases and rollbacks on this machine, without ssh, on real folders."""

import json
import os
import stat
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from faprelease.errors import ConfigError, FapError, ReleaseFailedError, RolledBackError, VerificationError
from faprelease.report.report import Report
from faprelease.verbs import release, status
from tests.parts.builds import serve_builds
from tests.parts.lock_holders import hold_lock
from tests.parts.site import Site, artifact

pytestmark = pytest.mark.slow  # whole releases, one after another

AWKWARD = 'it\'s "q" $(id) `id` $HOME \\ \\n % %% & # é 漢\n second line \n'


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("artifacts")
    return [artifact(folder, str(number)) for number in range(1, 6)]


def test_release_again_and_roll_back(site: Site, urls: list[str]) -> None:
    first = site.release(urls[0])
    assert site.version() == "1"
    assert (site.path / "current/venv").is_dir()
    second = site.release(urls[1])
    assert second > first
    assert site.version() == "2"
    assert site.states() == {first: "retired", second: "live"}
    assert site.rollback() == first
    assert site.version() == "1"
    assert site.states() == {first: "live", second: "bad"}
    with pytest.raises(FapError, match=f"there is no release to roll back to; {first} stays live"):
        site.rollback()
    assert site.current() == first
    assert [line["event"] for line in site.ledger()] == ["released", "released", "rolled back"]
    assert [line["artifact"]["version"] for line in site.ledger()] == ["1", "2", "1"]
    assert not site.leftovers()


def test_a_rollback_of_nothing_says_so(site: Site) -> None:
    with pytest.raises(FapError, match="no release is live there"):
        site.rollback()


def test_rollback_to_a_named_release(site: Site, urls: list[str]) -> None:
    ids = [site.release(url) for url in urls[:3]]
    for wrong in ("260101-000000", "../../etc", "9"):
        with pytest.raises(FapError, match=r"can't roll back to .*: there is no such release") as refused:
            site.rollback(wrong)
        assert f"{ids[0]} (version 1), {ids[1]} (version 2)" in refused.value.hint
    with pytest.raises(FapError, match=f"{ids[2]} is already live on all hosts"):
        site.rollback(ids[2])
    assert site.rollback(ids[0]) == ids[0]
    assert site.states()[ids[1]] == "retired"
    with pytest.raises(FapError, match="3 is marked bad") as refused:
        site.rollback("3")
    assert refused.value.hint.endswith("faprelease rollback production web --to 3 --force")
    assert site.rollback("2") == ids[1]


def test_a_rollback_tells_which_names_of_the_environment_are_as_they_were(
    site: Site, urls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    site.configure("environment: {SAME: '1', OTHER: 'a b', OLD: \"it's\"}")
    first = site.release(urls[0])
    site.configure("environment: {SAME: '1', OTHER: s3cret, NEW: '2'}")
    site.release(urls[1])
    capsys.readouterr()
    assert site.rollback() == first
    said = capsys.readouterr().err
    assert "the release has its own older environment; changed: OTHER; gone: NEW; back: OLD" in said
    assert "s3cret" not in said
    assert "OTHER='a b'" in (site.path / "current/.env").read_text()


def test_a_rollback_can_take_the_configuration_of_now_and_downloads_nothing(
    site: Site, tmp_path: Path
) -> None:
    site.configure("environment: {WORD: old}\nlinked_dirs: [log, tmp]")
    url = artifact(tmp_path / "built", "1", {"assets/a.css": b"body {}"})
    first = site.release(url)
    second = site.release(artifact(tmp_path / "built", "2"))
    Path(url.removeprefix("file://")).unlink()
    (site.path / "current/log/today").write_text("kept")
    site.configure("environment: {WORD: new}\nlinked_dirs: [log]")
    third = site.rollback(renew=True)
    assert third > second
    assert site.version() == "1"
    assert site.states() == {first: "retired", second: "bad", third: "live"}
    current = site.path / "current"
    assert (current / ".env").read_text() == "WORD=new\n"
    assert (current / "assets/a.css").read_bytes() == b"body {}"
    assert (current / "venv").is_dir()
    assert (current / "log/today").read_text() == "kept"
    assert not (current / "tmp").exists()
    assert [(line["event"], line["artifact"]["version"]) for line in site.ledger()] == [
        ("released", "1"),
        ("released", "2"),
        ("rolled back", "1"),
    ]
    assert site.rollback() == first
    site.configure("linked_files: [missing.toml]")
    with pytest.raises(FapError, match="linked files are missing"):
        site.rollback(second, renew=True, force=True)
    assert site.current() == first


def test_releases_left_as_bad_do_not_pile_up(site: Site, urls: list[str]) -> None:
    first = site.release(urls[0])
    bad = []
    for _ in range(4):
        bad.append(site.release(urls[1], keep_releases=1))
        assert site.rollback(keep_releases=1) == first
    site.configure("environment: {A: b}")
    last = site.release(urls[2], keep_releases=1)
    assert site.folders() == [first, *bad[-2:], last]


def test_only_so_many_releases_are_kept(site: Site, urls: list[str]) -> None:
    (site.path / "releases/mine").mkdir(parents=True)
    (site.path / "releases/999999-999999").mkdir()
    ids = [site.release(url, keep_releases=2) for url in urls]
    assert site.folders() == [*ids[-2:], "999999-999999", "mine"]
    assert set(site.states()) == set(ids[-2:])
    assert site.rollback() == ids[-2]


def test_a_release_that_a_process_runs_in_is_kept(site: Site, urls: list[str]) -> None:
    first = site.release(urls[0])
    with subprocess.Popen(["sleep", "60"], cwd=site.path / "releases" / first) as process:
        for url in urls[1:4]:
            site.release(url, keep_releases=1)
        assert first in site.folders()
        process.kill()
    site.release(urls[4], keep_releases=1)
    assert first not in site.folders()


def test_failed_releases_do_not_push_out_good_ones(site: Site, urls: list[str], tmp_path: Path) -> None:
    broken = artifact(tmp_path / "broken", "9", {"install.sh": b"echo no; exit 3\n"})
    good = [site.release(url, keep_releases=2) for url in urls[:2]]
    for _ in range(5):
        with pytest.raises(ReleaseFailedError, match="exit 3"):
            site.release(broken, keep_releases=2)
    assert site.current() == good[1]
    assert site.folders() == good
    newest = site.release(urls[2], keep_releases=2)
    assert site.folders() == [good[1], newest]
    assert list(site.states().values()).count("failed") == 2
    assert not site.leftovers()


def test_the_environment_file_gives_every_byte_back_and_is_private(site: Site, urls: list[str]) -> None:
    values = {"AWKWARD": AWKWARD, "NUMBER": 7, "YES": True, "PERCENT": "100%", "EMPTY": ""}
    written = json.dumps(
        {
            name: value.replace("%", "%%") if isinstance(value, str) else value
            for name, value in values.items()
        }
    )
    site.configure(f"environment: {written}\nenvironment_file: config/app.env")
    site.release(urls[0])
    file = site.path / "current/config/app.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o400
    script = 'set -a; . "$1"; exec env -0'
    done = subprocess.run(
        ["sh", "-c", script, "sh", file], env={"PATH": os.environ["PATH"]}, capture_output=True
    )
    found = dict(pair.split("=", 1) for pair in done.stdout.decode().split("\0") if pair)
    expected = {**values, "NUMBER": "7", "YES": "true"}
    assert {name: found[name] for name in values} == expected


def test_an_environment_file_of_the_artifact_gives_way(site: Site, tmp_path: Path) -> None:
    site.configure("environment: {SECRET: hunter22}")
    site.release(artifact(tmp_path / "own", "1", {".env": b"OLD=1\n", ".env.new": b"x"}))
    file = site.path / "current/.env"
    assert file.read_text() == "SECRET=hunter22\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o400


def test_shared_files_and_folders_are_linked(site: Site, tmp_path: Path) -> None:
    site.configure("linked_files: [configs/a b.toml]\nlinked_dirs: [log, media/up/, ./tmp]")
    url = artifact(tmp_path / "own", "1", {"configs/a b.toml": b"from git", "log/.keep": b""})
    with pytest.raises(FapError, match=r"linked files are missing in .*: configs/a b\.toml") as refused:
        site.release(url)
    (touch,) = [line for line in refused.value.hint.splitlines() if "touch" in line]
    subprocess.run(["sh", "-c", touch.removeprefix("  or, empty: ")], check=True)
    shared = site.path / "shared"
    assert stat.S_IMODE((shared / "configs/a b.toml").stat().st_mode) == 0o600
    (shared / "configs/a b.toml").unlink()
    (copy,) = [line for line in refused.value.hint.splitlines() if " && cp " in line]
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/a b.toml").write_text("from shared")
    subprocess.run(["sh", "-c", f"umask 022; {copy}"], cwd=tmp_path, check=True)
    assert stat.S_IMODE((shared / "configs/a b.toml").stat().st_mode) == 0o600
    site.release(url)
    current = site.path / "current"
    assert (current / "configs/a b.toml").read_text() == "from shared"
    for name in ("log", "media/up", "tmp"):
        assert (current / name).resolve() == shared / name
    (current / "log/today").write_text("kept")
    site.release(url)
    assert (current / "log/today").read_text() == "kept"


def test_what_is_not_ours_at_current_is_left_alone(site: Site, urls: list[str]) -> None:
    (site.path / "current").mkdir(parents=True)
    (site.path / "current/precious").write_text("x")
    with pytest.raises(FapError, match="current is not a link"):
        site.release(urls[0])
    assert (site.path / "current/precious").read_text() == "x"


def test_a_folder_in_place_of_the_new_link_is_reported_before_anything_is_fetched(
    site: Site, urls: list[str]
) -> None:
    (site.path / "current.new").mkdir(parents=True)
    with pytest.raises(FapError, match=r"current\.new is not a link") as refused:
        site.release(urls[0])
    assert f"mv {site.path}/current.new {site.path}/current.new.old" in refused.value.hint
    (site.path / "current.new").rename(site.path / "current.new.old")
    site.release(urls[0])
    assert site.version() == "1"


@pytest.mark.parametrize("names", ["[media, media/cache]", "[media/cache, media]", "[./media, media//cache]"])
def test_folders_in_one_another_are_refused_before_anything_connects(
    site: Site, urls: list[str], names: str
) -> None:
    photo = site.path / "shared/media/cache/photo"
    photo.parent.mkdir(parents=True)
    photo.write_text("kept")
    site.configure(f"linked_dirs: {names}")
    with pytest.raises(ConfigError, match=r"lies in .*media \(linked_dirs\)"):
        site.release(urls[0])
    assert photo.read_text() == "kept"
    assert not (site.path / "releases").exists()


@pytest.mark.parametrize("old", ["releases/20260101000000", "releases/260101-000000", "/srv/nowhere/else"])
def test_what_another_tool_released_comes_back_when_the_first_release_fails(
    site: Site, urls: list[str], old: str
) -> None:
    """A host that was served by another tool until now: its `current` names a folder we have no record of."""
    (site.path / "releases").mkdir(parents=True)
    (site.path / old).mkdir(parents=True) if old.startswith("releases") else None
    (site.path / "current").symlink_to(old)
    site.configure("plugins: [tests.parts.plugins]\nfail_at: published")
    with pytest.raises(RolledBackError):
        site.release(urls[0])
    assert str((site.path / "current").readlink()) == old
    site.configure()
    site.release(urls[0])
    assert site.version() == "1"


def test_too_little_or_wrong_bytes_publish_nothing(site: Site, urls: list[str], tmp_path: Path) -> None:
    first = site.release(urls[0])
    page = tmp_path / "page.tgz"
    page.write_text("<html>Not found</html>")
    for url, sha256 in ((urls[1], "0" * 64), (page.as_uri(), "")):
        with pytest.raises(VerificationError):
            site.release(url, curl_sha256=sha256)
        assert site.current() == first
        assert site.folders() == [first]
        assert not site.leftovers()


def test_a_tgz_of_another_maker_is_released(site: Site, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("VERSION = 'theirs'\n")
    subprocess.run(["tar", "czf", "theirs.tgz", "./app.py"], cwd=tmp_path, check=True)
    site.release((tmp_path / "theirs.tgz").as_uri())
    assert site.version() == "theirs"


def test_curl_output_keeps_the_file(site: Site, tmp_path: Path) -> None:
    jar = tmp_path / "app.jar"
    jar.write_bytes(b"PK")
    script = "echo VERSION = \"'jar'\" >app.py"
    site.release(jar.as_uri(), curl_output="app.jar", curl_postinstall_script=script)
    assert (site.path / "current/app.jar").read_bytes() == b"PK"
    assert not site.leftovers()


def test_the_installer_has_no_network_compiler_or_environment(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAP_TEST_LEAK", "leak")
    script = b"""\
set -eu
[ -z "${FAP_TEST_LEAK:-}" ]
! $CC --version
[ "$(grep -c : /proc/net/dev)" = 1 ]
! read -r word
"""
    site.release(artifact(tmp_path / "own", "1", {"install.sh": script}))
    assert site.version() == "1"


def test_a_second_release_in_the_same_second_has_an_id_of_its_own(site: Site, urls: list[str]) -> None:
    ids = [site.release(urls[0]) for _ in range(3)]
    assert len(set(ids)) == 3


def test_a_lock_is_told_with_its_role(site: Site, urls: list[str]) -> None:
    site.configure('path: "%(root)s/%(role)s"'.replace("%(root)s", str(site.folder)))
    text = (
        site.deploy_yml.read_text()
        .replace(f"path: {site.path}\n", "")
        .replace("web: {}", "web: {}, worker: {}")
    )
    site.deploy_yml.write_text(text)
    with subprocess.Popen(["sleep", "60"]) as process:
        hold_lock(site.folder / "worker", process.pid)
        with pytest.raises(
            FapError, match=r"localhost \(worker\): another run is in progress: held by ada@ci"
        ):
            release.release(replace(site.request(curl_url=urls[0]), role=None), Report())
        process.kill()
    assert not (site.folder / "web/.fap/lock").exists()
    release.release(replace(site.request(curl_url=urls[0]), role=None), Report())
    assert (site.folder / "web/current/app.py").is_file()
    assert (site.folder / "worker/current/app.py").is_file()


def test_the_lock_of_a_living_session_holds(site: Site, urls: list[str]) -> None:
    site.release(urls[0])
    with subprocess.Popen(["sleep", "60"]) as process:
        hold_lock(site.path, process.pid)
        with pytest.raises(FapError, match="held by ada@ci") as held:
            site.release(urls[1])
        assert held.value.exit_code == 5
        assert site.version() == "1"
        assert [row.locked for row in status.status(site.request())] == ["ada@ci"]
        assert site.locked()
        process.kill()
    assert [row.locked for row in status.status(site.request())] == [""]
    began = time.monotonic()
    site.release(urls[1])
    assert site.version() == "2"
    assert not site.locked()
    assert time.monotonic() - began < 10


def test_releases_on_another_file_system_are_removed_by_a_rename_there(site: Site, urls: list[str]) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        assert Path(other).stat().st_dev != site.folder.stat().st_dev
        site.configure(f"releases_path: {other}\ncurrent_path: {other}/current")
        (Path(other) / ".trash/half removed").mkdir(parents=True)
        for url in urls[:3]:
            release.release(site.request(curl_url=url, keep_releases=1), Report())
        folders = {path.name for path in Path(other).iterdir()}
        assert folders == {*site.states(), "current"}
        assert len(folders) == 3
        assert not site.leftovers()


@pytest.mark.parametrize("said", ["Filesystem 1024-blocks Used Available Capacity Mounted on", ""])
def test_a_host_that_can_not_say_what_room_it_has_is_told(
    site: Site, urls: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site.folder / "bin").mkdir()
    (site.folder / "bin/df").write_text(f"#!/bin/sh\necho '{said}'\n")
    (site.folder / "bin/df").chmod(0o755)
    monkeypatch.setenv("PATH", f"{site.folder}/bin:{os.environ['PATH']}")
    with pytest.raises(FapError, match="answer can't be read") as told:
        site.release(urls[0])
    assert "tool curl" in told.value.hint


def test_options_of_curl_that_can_not_be_read_are_told(site: Site, urls: list[str]) -> None:
    with pytest.raises(ConfigError, match="curl_options: No closing quotation"):
        site.release(urls[0], curl_options="-H 'Accept: x")


def test_the_folder_of_current_is_made(site: Site, urls: list[str]) -> None:
    site.configure(f"current_path: {site.folder}/srv/x y/current")
    release.release(site.request(curl_url=urls[0]), Report())
    assert (site.folder / "srv/x y/current/app.py").is_file()


def test_a_damaged_record_is_told_with_its_host(site: Site, urls: list[str]) -> None:
    site.release(urls[0])
    (site.path / f".fap/releases/{site.current()}.artifact.json").write_text("{\n")
    with pytest.raises(
        FapError, match=rf"localhost \(web\): the record of release {site.current()} is damaged"
    ):
        site.release(urls[1])


def test_a_link_left_by_a_crash_is_no_hindrance(site: Site, urls: list[str]) -> None:
    first = site.release(urls[0])
    (site.path / "current.new").symlink_to(f"releases/{first}")
    assert site.release(urls[1]) > first
    assert not (site.path / "current.new").is_symlink()


def test_the_times_of_folders_mean_nothing(site: Site, urls: list[str]) -> None:
    ids = [site.release(url) for url in urls[:3]]
    for age, name in enumerate(ids):
        os.utime(site.path / "releases" / name, (age, 10**9 - age))
    assert site.rollback() == ids[1]
    assert site.folders() == ids
    assert site.release(urls[3], keep_releases=2) > ids[2]
    assert ids[1] in site.folders()


def test_a_download_that_is_tried_again_begins_anew(site: Site, tmp_path: Path) -> None:
    """A busy server's error page must not become a part of the file."""
    with serve_builds() as builds:
        builds.bodies["/app.jar"] = [b"PK and so on"]
        builds.busy.append("/app.jar")
        script = "echo VERSION = \"'jar'\" >app.py"
        site.release(f"{builds.url}/app.jar", curl_output="app.jar", curl_postinstall_script=script)
        assert builds.asked == ["/app.jar", "/app.jar"]
        assert (site.path / "current/app.jar").read_bytes() == b"PK and so on"
        with pytest.raises(ReleaseFailedError, match="404"):
            site.release(f"{builds.url}/no.jar", curl_output="app.jar", curl_postinstall_script=script)
    assert site.version() == "jar"


def test_keys_for_a_download_show_nowhere(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    flags = {"curl_user": "ada:hunter22", "curl_options": "--verbose -H 'X-Key: tops3cret'"}
    with serve_builds() as builds:
        request = site.request(curl_url=f"{builds.url}/no.tgz", **flags)
        with pytest.raises(ReleaseFailedError) as failed:
            release.release(request, Report(verbose=True))
        release.release(replace(request, dry_run=True), Report())
    said = failed.value.message + "".join(capfd.readouterr())
    assert "404" in said
    for secret in ("hunter22", "tops3cret"):
        assert secret not in said
