"""Mistakes in deploy.yml stop the commands that need what is wrong, and no others: real releases, real
commands."""

from pathlib import Path

import pytest

from tests.parts.faprelease_command import run
from tests.parts.site import Site, artifact

pytestmark = pytest.mark.slow

REFUSED = "a release is refused until this is fixed"
NESTED = "linked_dirs: [media, media/cache]"
OTHER_STAGE = "staging: {web: {hosts: [web1], batch: none, colour: red}}"
ONLY_RELEASES = {
    "nested links": (NESTED, "media/cache (linked_dirs) lies in media (linked_dirs)"),
    "environment in a linked folder": (
        "linked_dirs: [config]\nenvironment: {A: 1}\nenvironment_file: config/.env",
        "config/.env (environment_file) lies in config (linked_dirs)",
    ),
    "wrong number": ("keep_releases: some", "keep_releases: "),
    "wrong mapping": ("environment: [A]", "environment: "),
    "wrong name of a link": ("linked_files: [../secret]", "'../secret' can't be linked"),
    "a plugin for releases": ("release_plugins: [no_such_plugin]", "can't load the plugin 'no_such_plugin'"),
}
LOOKS = (("status",), ("releases",), ("history",), ("freeze", "--why", "a test"), ("unfreeze",))


@pytest.fixture
def released(site: Site) -> Site:
    for version in ("1", "2"):
        site.release(artifact(site.folder / "artifacts", version))
    return site


@pytest.mark.parametrize("name", ONLY_RELEASES)
def test_what_only_a_release_needs_stops_nothing_else(released: Site, name: str) -> None:
    lines, message = ONLY_RELEASES[name]
    released.configure(lines)
    refused = run(released, "--curl-url", artifact(released.folder / "artifacts", "3"), "production", "web")
    assert refused.returncode == 2
    assert message in refused.stderr
    for words in (LOOKS[0], LOOKS[-2], LOOKS[-1]):
        done = run(released, *words, "production", "web")
        assert done.returncode == 0, done.stderr
        assert message in done.stderr
        assert REFUSED in done.stderr
    done = run(released, "rollback", "production", "web")
    assert done.returncode == 0, done.stderr
    assert message in done.stderr
    assert REFUSED in done.stderr
    assert released.version() == "1"
    once = run(released, "once", "production", "web", "--", "cat", "app.py")
    assert (once.returncode, once.stdout) == (0, "VERSION = '1'\n"), once.stderr


def test_a_rollback_that_makes_a_release_needs_it_too(released: Site) -> None:
    released.configure(NESTED)
    for words in (("rollback", "--config", "current"), ("plan",), ("sync",)):
        refused = run(released, *words, "production", "web")
        assert refused.returncode == 2, words
        assert "media/cache (linked_dirs) lies in media (linked_dirs)" in refused.stderr
    artifact_url = artifact(released.folder / "artifacts", "3")
    refused = run(released, "once", "--curl-url", artifact_url, "production", "web", "--", "true")
    assert refused.returncode == 2
    assert released.version() == "2"


def test_another_stage_stops_only_releases(released: Site) -> None:
    text = released.deploy_yml.read_text()
    released.deploy_yml.write_text(text.replace("web: {}}}", f"web: {{}}}}, {OTHER_STAGE}}}"))
    refused = run(released, "--curl-url", artifact(released.folder / "artifacts", "3"), "production", "web")
    assert refused.returncode == 2
    assert "unknown key 'colour'" in refused.stderr
    for words in (*LOOKS, ("rollback",)):
        done = run(released, *words, "production", "web")
        assert done.returncode == 0, done.stderr
        assert "unknown key 'colour'" in done.stderr
        assert REFUSED in done.stderr
    assert released.version() == "1"


def test_a_rollback_needs_to_know_its_own_keys(released: Site) -> None:
    released.configure("plugin: [supervisorctl]")
    refused = run(released, "rollback", "production", "web")
    assert refused.returncode == 2
    assert "unknown key 'plugin'" in refused.stderr
    assert "did you mean 'plugins'?" in refused.stderr
    done = run(released, "status", "production", "web")
    assert done.returncode == 0, done.stderr
    assert "unknown key 'plugin'" in done.stderr
    assert released.version() == "2"


def test_a_rollback_needs_its_own_plugins(released: Site) -> None:
    released.configure("plugins: [no_such_plugin]")
    refused = run(released, "rollback", "production", "web")
    assert refused.returncode == 2
    assert "can't load the plugin 'no_such_plugin'" in refused.stderr
    for words in LOOKS:
        assert run(released, *words, "production", "web").returncode == 0
    assert released.version() == "2"


def test_a_second_role_in_the_same_folder_can_be_looked_at(released: Site) -> None:
    text = released.deploy_yml.read_text()
    released.deploy_yml.write_text(text.replace("web: {}}", "web: {}, worker: {}}"))
    refused = run(released, "rollback", "production")
    assert refused.returncode == 2
    assert "roles web and worker share" in refused.stderr
    assert "or name one role: production web" in refused.stderr
    assert run(released, "status", "production", "web").returncode == 0
    assert run(released, "rollback", "production", "web").returncode == 0
    assert released.version() == "1"


def test_a_long_list_of_mistakes_is_cut(released: Site, tmp_path: Path) -> None:
    released.configure("\n".join(f"colour{number}: red" for number in range(9)))
    done = run(released, "status", "production", "web")
    assert done.returncode == 0
    assert done.stderr.count(REFUSED) == 3
    assert "deploy.yml has 6 more mistakes; to list them: faprelease config" in done.stderr
    listed = run(released, "config", "production")
    assert listed.returncode == 2
    assert listed.stderr.count("unknown key") == 9
