"""The code of a checkout: nothing of it runs before it is trusted, and only what was trusted runs then."""

import json
import os
import py_compile
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.parts.faprelease_command import run
from tests.parts.site import Site, artifact

MARKED = "open('ran', 'a').write('plugin ')\n"
PLUGIN = MARKED + (
    "import msgspec\nfrom faprelease.plugin import Step, hookimpl\n"
    "class Options(msgspec.Struct, frozen=True):\n    innocent_word: str = 'a'\n"
    "@hookimpl\ndef deploy_checking(context):\n    yield Step(title='innocent', script='true')\n"
)
MORE = """\
plugins: [curl, innocent]
innocent_word: b
environment: {X: {command: [sh, -c, "echo command >>ran; echo v"]}}
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = Site(tmp_path / "checkout")
    made.folder.mkdir()
    made.configure(MORE)
    (made.folder / "innocent.py").write_text(PLUGIN)
    return made


def ran(site: Site) -> str:
    """What has run; forget it then."""
    mark = site.folder / "ran"
    said = mark.read_text() if mark.exists() else ""
    mark.unlink(missing_ok=True)
    return said


def trusted(site: Site, *words: str) -> str:
    done = run(site, "trust", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


READING = [
    *[("config", "production", "web"), ("config", "--keys"), ("schema",), ("status", "production", "web")],
    *[("doctor", "production"), ("releases", "production"), ("history", "production")],
    *[("parity", "production", "production"), ("hosts", "production"), ("logs", "production", "web")],
    *[("freeze", "production", "--why", "x"), ("unfreeze", "production"), ("--all-stages", "-r", "web")],
    *[("once", "production", "web", "--", "true"), ("--innocent-word", "c", "production")],
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_no_verb_runs_it_before_it_is_trusted(site: Site, words: tuple[str, ...]) -> None:
    done = run(site, *words)
    assert ran(site) == ""
    assert "innocent" in done.stderr
    assert "faprelease trust" in done.stderr
    assert "unknown" not in done.stderr, "keys of a plugin that is not loaded are not checked"


@pytest.mark.parametrize("words", ["status ", "--innocent", "status production web --hosts ", ""])
def test_the_tab_key_runs_nothing(site: Site, words: str) -> None:
    env = {"COMP_WORDS": f"faprelease {words}", "COMP_CWORD": str(len(words.split(" ")))}
    done = run(site, _FAPRELEASE_COMPLETE="bash_complete", **env)
    assert ran(site) == ""
    assert done.stderr == ""
    assert done.stdout


@pytest.mark.parametrize("verb", ["release", "plan", "sync", "rollback", "restart"])
def test_what_changes_hosts_is_refused_with_the_line_to_type(site: Site, verb: str) -> None:
    done = run(site, verb, "--curl-url", artifact(site.folder, "1"), "production")
    assert done.returncode == 2
    assert ran(site) == ""
    assert "deploy.yml, line 5: the plugin 'innocent' is code of this checkout" in done.stderr
    assert "then: faprelease trust " in done.stderr
    assert not site.path.exists()


def test_a_command_alone_is_refused_before_anything_connects_and_nothing_else_asks_for_trust(
    site: Site,
) -> None:
    site.configure(MORE.partition("innocent_word: b\n")[2])
    url = artifact(site.folder, "1")
    done = run(site, "--curl-url", url, "production")
    assert done.returncode == 2
    assert "X: the command sh -c 'echo command >>ran; echo v' is code of this checkout" in done.stderr
    assert ran(site) == ""
    assert not site.path.exists()
    assert "trust" not in run(site, "status", "production").stderr
    site.configure("environment: {A: b}")
    done = run(site, "--curl-url", url, "production")
    assert done.returncode == 0, done.stderr
    assert "trust" not in done.stderr


def test_it_runs_once_it_is_trusted_until_a_file_changes(site: Site) -> None:
    (site.folder / "secret.sh").write_text("echo v")
    site.configure(MORE.replace('[sh, -c, "echo command >>ran; echo v"]', "[sh, ./secret.sh]"))
    assert "trusted: deploy.yml, innocent.py, secret.sh" in trusted(site)
    url = artifact(site.folder, "1")
    done = run(site, "--curl-url", url, "production")
    assert done.returncode == 0, done.stderr
    assert "plugin" in ran(site)
    for name in ("innocent.py", "secret.sh", "deploy.yml"):
        file = site.folder / name
        before = file.read_bytes()
        file.write_bytes(before + b"\n")
        done = run(site, "--curl-url", url, "production")
        assert done.returncode == 2, name
        assert "trust" in done.stderr
        assert ran(site) == "", name
        file.write_bytes(before)
    assert "no longer trusted" in trusted(site, "--revoke")
    assert run(site, "--curl-url", url, "production").returncode == 2
    assert ran(site) == ""
    assert run(site, "--curl-url", url, "production", FAP_TRUST="1").returncode == 0
    assert "plugin" in ran(site)


def test_the_same_files_elsewhere_are_not_trusted(site: Site, tmp_path: Path) -> None:
    trusted(site)
    other = Site(site.folder.rename(tmp_path / "other"))
    assert run(other, "config", "production").returncode == 0
    assert ran(other) == ""


def test_bytecode_beside_it_does_not_run(site: Site) -> None:
    evil = site.folder / "evil.py"
    evil.write_text("open('ran', 'a').write('bytecode ')\n")
    cached = site.folder / f"__pycache__/innocent.{sys.implementation.cache_tag}.pyc"
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(evil), str(cached), invalidation_mode=mode)
    trusted(site)
    assert run(site, "config", "production").returncode == 0
    assert ran(site) == "plugin "


def test_what_a_plugin_imports_from_the_checkout_is_trusted_with_it(site: Site) -> None:
    (site.folder / "helper.py").write_text("from tools.deep import WORD\n")
    (site.folder / "tools").mkdir()
    (site.folder / "tools/deep.py").write_text("WORD = 1\n")
    (site.folder / "other.py").write_text(MARKED)
    (site.folder / "innocent.py").write_text(f"import helper\n{PLUGIN}")
    assert "trusted: deploy.yml, innocent.py, helper.py, tools/deep.py\n" in trusted(site)
    assert run(site, "config", "production").returncode == 0
    assert ran(site) == "plugin "
    (site.folder / "tools/deep.py").write_text(f"WORD = 1\n{MARKED}")
    run(site, "config", "production")
    assert ran(site) == ""


def test_a_package_beside_it_is_loaded_from_what_was_read(site: Site) -> None:
    (site.folder / "ops").mkdir()
    (site.folder / "ops/__init__.py").write_text("from . import part\n")
    (site.folder / "ops/part.py").write_text("WORD = 1\n")
    (site.folder / "ops/steps.py").write_text(PLUGIN)
    site.configure(MORE.replace("innocent]", "ops.steps]"))
    trusted(site)
    done = run(site, "config", "production")
    assert (done.returncode, ran(site)) == (0, "plugin "), done.stderr
    (site.folder / "ops/steps.py").write_text(f"import ops.later\n{PLUGIN}")
    trusted(site)
    (site.folder / "ops/later.py").write_text(MARKED)
    done = run(site, "config", "production")
    assert done.returncode == 2
    assert "ops.later" in done.stderr
    assert ran(site) == ""


def test_no_folder_of_the_checkout_brings_entry_points_or_modules(site: Site) -> None:
    (site.folder / "evil.egg-info").mkdir()
    (site.folder / "evil.egg-info/PKG-INFO").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1\n")
    entry = "[faprelease.plugins]\nelsewhere = innocent\n"
    (site.folder / "evil.egg-info/entry_points.txt").write_text(entry)
    site.configure("plugins: [elsewhere]")
    command = [sys.executable, "-m", "faprelease", "config", "production"]
    for argv in (command, [Path(sys.executable).with_name("faprelease"), *command[3:]]):
        done = subprocess.run(argv, cwd=site.folder, capture_output=True, text=True)
        assert ran(site) == "", argv
        assert "elsewhere" in done.stderr


@pytest.mark.parametrize("name", ["antigravity", "this", "os.path"])
def test_a_module_of_python_itself_is_no_plugin(site: Site, name: str) -> None:
    site.configure(f"plugins: [{name}]")
    done = run(site, "config", "production")
    assert done.returncode == 2
    assert "standard library" in done.stderr
    assert "Tim Peters" not in done.stdout


def test_a_plugin_that_only_a_flag_names_is_not_trusted_with_the_others(site: Site) -> None:
    (site.folder / "other.py").write_text(
        PLUGIN.replace("innocent", "other").replace("'plugin '", "'other '")
    )
    trusted(site)
    done = run(site, "restart", "--plugins", "other", "production")
    assert done.returncode == 2
    assert "does not name it" in done.stderr
    assert "other" not in ran(site)


def test_other_keys_are_still_checked(site: Site) -> None:
    site.configure(f"{MORE}keep_releases: many\n")
    done = run(site, "config", "production")
    assert done.returncode == 2
    assert "keep_releases: 'many' is not a whole number" in done.stderr
    site.configure("innocent_word: b")
    assert "unknown key 'innocent_word'" in run(site, "config", "production").stderr


def test_values_of_a_plugin_that_is_not_loaded_are_not_shown(site: Site) -> None:
    site.configure(f"{MORE}innocent_key: hunter22\n")
    done = run(site, "config", "production", "--json")
    assert json.loads(done.stdout)["values"]["innocent_key"]["value"] == "***"
    assert "hunter22" not in done.stdout + done.stderr
    assert "innocent_key" in json.loads(run(site, "schema").stdout)["properties"]


def records(site: Site) -> Path:
    return site.folder.parent / "state/fapkit/trust"


def test_the_record_is_private_even_under_umask_000(site: Site) -> None:
    before = os.umask(0)
    try:
        trusted(site)
    finally:
        os.umask(before)
    (record,) = records(site).iterdir()
    assert oct(records(site).stat().st_mode & 0o777) == "0o700"
    assert oct(record.stat().st_mode & 0o777) == "0o600"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder, record: folder.chmod(0o777),
        lambda folder, record: record.chmod(0o666),
        lambda folder, record: os.chown(record, 12345, 12345),
        lambda folder, record: record.write_text("{}"),
        lambda folder, record: record.rename(folder / "other.json"),
        lambda folder, record: (record.rename(folder / "x"), record.symlink_to(folder / "x")),
    ],
)
def test_a_record_that_another_user_could_have_written_counts_for_nothing(
    site: Site, spoil: Callable[[Path, Path], object]
) -> None:
    trusted(site)
    (record,) = records(site).iterdir()
    spoil(records(site), record)
    run(site, "config", "production")
    assert ran(site) == ""
    assert "trusted: " in trusted(site)
    run(site, "config", "production")
    assert ran(site) == "plugin "


def test_nothing_is_recorded_in_a_folder_of_another_user(site: Site) -> None:
    trusted(site)
    os.chown(records(site), 12345, 12345)
    assert run(site, "config", "production").returncode == 0
    assert ran(site) == ""
    done = run(site, "trust")
    assert done.returncode == 2
    assert "belongs to another user" in done.stderr


def test_there_may_be_nothing_to_trust(site: Site) -> None:
    site.configure("plugins: [curl]")
    assert "nothing to trust" in trusted(site)
    assert not records(site).exists()


def test_what_can_not_be_read_is_not_trusted(site: Site) -> None:
    (site.folder / "innocent.py").write_text("def x(:\n")
    done = run(site, "trust")
    assert done.returncode == 2
    assert "innocent.py is not valid Python" in done.stderr
    assert not records(site).exists()
