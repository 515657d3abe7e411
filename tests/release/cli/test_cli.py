"""Bad input ends in one clear error with a hint and its own exit code, and publishes nothing."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.parts.builds import Builds, serve_builds
from tests.parts.faprelease_command import run
from tests.parts.site import Site, artifact

OTHER_PYTHON = b"echo this artifact is for cp39, this host has cp311; exit 1\n"


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builds]:
    folder = tmp_path_factory.mktemp("artifacts")
    with serve_builds() as served:
        for name, files in (("good", {}), ("other-python", {"install.sh": OTHER_PYTHON})):
            path = Path(artifact(folder / name, name, files).removeprefix("file://"))
            served.bodies[f"/{name}.tgz"] = [path.read_bytes()]
        served.bodies["/page.tgz"] = [b"<!DOCTYPE html><title>Sign in</title>"]
        served.bodies["/cut.tgz"] = [served.bodies["/good.tgz"][0][:200]]
        yield served


def check_refused(
    site: Site, done: subprocess.CompletedProcess[str], code: int, said: str, hint: str
) -> None:
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    assert len(re.findall("^error: ", done.stderr, re.MULTILINE)) == 1
    assert done.stderr.count("hint: ") >= 1
    assert done.stdout == ""
    assert not (site.path / "current").exists()
    assert not site.locked()


FILES = {
    "none": (None, "deploy.yml does not exist", "faprelease -f FILE"),
    "broken": ("app_name: [shop\nhosts: 1\n", "deploy.yml, line 2, column", "indentation"),
    "unknown key": (
        "app_name: shop\nkeep_release: 1\n",
        "line 2: unknown key 'keep_release'",
        "'keep_releases'",
    ),
    "verb": (
        "app_name: shop\nstage_role_configs:\n  production: {web: {}}\n  status: {web: {}}\n",
        "line 4: 'status' is a command",
        "another name",
    ),
    "git": (
        "app_name: shop\nplugins: [fapistrano.git]\n",
        "checks code out on the servers",
        "[tool.fapbuild]",
    ),
    "no plugin": (
        "app_name: shop\nconnection: local\nplugins: [nobody]\nstage_role_configs: {production: {web: {}}}\n",
        "line 3: can't load the plugin 'nobody'",
        "built-in plugins",
    ),
}


@pytest.mark.parametrize(("text", "said", "hint"), FILES.values(), ids=FILES.keys())
def test_a_bad_file(text: str | None, said: str, hint: str, site: Site) -> None:
    site.deploy_yml.unlink()
    if text is not None:
        site.deploy_yml.write_text(text)
    done = run(site, "--curl-url", "http://127.0.0.1:9/x.tgz", "production", "web")
    check_refused(site, done, 2, said, hint)


URL = "http://127.0.0.1:9/x.tgz"
WORDS = {
    "stage": (
        ("--curl-url", URL, "prodction", "web"),
        "unknown stage 'prodction'",
        "did you mean 'production'?",
    ),
    "role": (
        ("--curl-url", URL, "production", "wep"),
        "unknown role of production 'wep'",
        "did you mean 'web'?",
    ),
    "flag": (("--curl-ulr", URL, "production"), "unknown flag 'curl-ulr'", "did you mean 'curl-url'?"),
    "kind": (
        ("--keep-releases", "x", "production", "--curl-url", URL),
        "--keep-releases: keep_releases: 'x' is not a whole number",
        "",
    ),
    "few": (("--keep-releases", "0", "production", "--curl-url", URL), "0 is too few", "at least 1"),
    "verb": (("statsu", "production"), "unknown stage 'statsu'", "faprelease status"),
    "no host": (
        ("--hosts", "", "production", "--curl-url", URL),
        "--hosts: '' is not a valid host",
        "write hosts as web1",
    ),
    "two here": (
        ("--hosts", "a,b", "production", "--curl-url", URL),
        "a and b would all be this machine",
        "connection: ssh",
    ),
    "no URL": (("--curl-url", "shop.tgz", "production"), "'shop.tgz' is not a URL", "https://"),
    "output": (
        ("--curl-url", URL, "--curl-output", "../x", "production"),
        "is outside the release",
        "inside",
    ),
    "digest": (("--curl-url", URL, "--curl-sha256", "abc", "production"), "'abc' is not a sha256", "64"),
    "nothing to release": (("production", "web"), "no artifact named", "--curl-url"),
    "rollback stage": (("rollback", "prod"), "unknown stage 'prod'", "choose from: production"),
    "status role": (("status", "production", "x"), "unknown role of production 'x'", "choose from: web"),
}


@pytest.mark.parametrize(("words", "said", "hint"), WORDS.values(), ids=WORDS.keys())
def test_bad_words(words: tuple[str, ...], said: str, hint: str, site: Site) -> None:
    check_refused(site, run(site, *words), 2, said, hint)


@pytest.mark.parametrize(
    "words", [(), ("release",), ("production", "web", "more"), ("production", "--curl-url"), ("rollback",)]
)
def test_a_command_line_that_is_not_whole(words: tuple[str, ...], site: Site) -> None:
    done = run(site, *words)
    assert done.returncode == 2, done.stderr
    assert "Usage:" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


BUILDS = {
    "404": ("nowhere.tgz", (), 1, "404"),
    "page": ("page.tgz", (), 6, "it looks like a page"),
    "cut": ("cut.tgz", (), 6, "not an artifact"),
    "wrong sha256": ("good.tgz", ("--curl-sha256", "0" * 64), 6, "0" * 64),
    "another Python": ("other-python.tgz", (), 1, "this artifact is for cp39"),
}


@pytest.mark.parametrize(("name", "words", "code", "said"), BUILDS.values(), ids=BUILDS.keys())
def test_a_bad_artifact(
    name: str, words: tuple[str, ...], code: int, said: str, site: Site, builds: Builds
) -> None:
    done = run(site, "--curl-url", f"{builds.url}/{name}", *words, "production", "web")
    check_refused(site, done, code, said, "release again")
    assert site.folders() == []
    assert not site.leftovers()


def test_the_url_may_come_from_stdin_or_the_environment(site: Site, builds: Builds) -> None:
    url = f"{builds.url}/good.tgz"
    assert run(site, "--curl-url", "-", "production", "web", stdin=f"{url}?from=stdin\n").returncode == 0
    assert run(site, "production", "web", FAP_CURL_URL=f"{url}?from=environment").returncode == 0
    assert builds.asked[-2:] == ["/good.tgz?from=stdin", "/good.tgz?from=environment"]
    digest = sha256(builds.bodies["/good.tgz"][0]).hexdigest()
    assert (
        run(site, f"--curl-url={url}", f"--curl-sha256={digest.upper()}", "-s", "production").returncode == 0
    )


def test_an_empty_stdin_is_no_wish_for_what_the_stage_says(site: Site) -> None:
    words = ("once", "--curl-url", "-", "production", "web", "--", "true")
    assert "found no URL on standard input" in run(site, *words, stdin="\n").stderr
    done = run(site, "--curl-url", "-", "production", "web", stdin="\n", FAP_STORE="file:///nowhere")
    assert done.returncode == 2, done.stderr
    assert "standard input" in done.stderr


@pytest.mark.parametrize("words", [["--help"], ["release", "--help"], ["rollback", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(words: list[str], site: Site) -> None:
    code = """\
import sys
from faprelease.cli import main
try:
    main()
finally:
    heavy = {"paramiko", "boto3", "httpx", "yaml", "msgspec", "rich", "pluggy"} & set(sys.modules)
    print("heavy:", *heavy)
"""
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("heavy:\n")


def test_stage_and_role_in_any_order(site: Site) -> None:
    for words in (("-r", "web", "production"), ("production", "-r", "web"), ("-s", "production", "web")):
        done = run(site, "status", *words)
        assert done.returncode == 0, done.stderr
        assert "web " in done.stdout


@pytest.mark.parametrize("before", [("--yes",), ("-v", "--lock-wait", "1"), ("-f", "deploy.yml", "-y")])
def test_options_may_come_before_the_command(before: tuple[str, ...], site: Site) -> None:
    done = run(site, *before, "rollback", "production", "web")
    assert "no release" in done.stderr, done.stderr
    assert "name a STAGE" not in done.stderr


def test_show_output_of_the_file_shows_the_steps(site: Site) -> None:
    site.deploy_yml.write_text("show_output: true\n" + site.deploy_yml.read_text())
    done = run(site, "--curl-url", "file:///nothing.tgz", "production", "web")
    assert "create the release folder" in done.stderr


def test_lock_and_unlock_are_old_names_that_no_help_shows(site: Site) -> None:
    frozen = run(site, "lock", "production", "--why", "noon")
    assert frozen.returncode == 0, frozen.stderr
    assert "production is frozen on localhost: noon" in frozen.stderr
    assert "unfrozen" in run(site, "unlock", "production").stderr
    assert not re.search(r"^  (un)?lock ", run(site, "--help").stdout, re.MULTILINE)


@pytest.mark.parametrize("words", [("status", "production"), ("config", "production"), ("nothing",)])
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_verb_needs_no_open_stream(words: tuple[str, ...], closed: str, site: Site) -> None:
    line = shlex.join([sys.executable, "-m", "faprelease", "-f", "deploy.yml", *words])
    done = subprocess.run(
        ["sh", "-c", f"{line} {closed}"], cwd=site.folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == (2 if words == ("nothing",) else 0), done.stderr
    assert "Traceback" not in done.stderr
