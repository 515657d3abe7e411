"""What people install: the wheel with each extra, and the files of `make pex`.

Both pack and release an app in a folder outside the checkout, so they hold all files that the code reads.
"""

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from tests.parts.distribution import COMMANDS, dist
from tests.parts.pages import DOCS, PAGES
from tests.parts.repository import ROOT

__all__ = ["dist"]

pytestmark = pytest.mark.index
BIN = Path(sys.executable).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
INSTALL_FROM: str = PROJECT["tool"]["fapkit"]["install_from"]
PYPROJECT = '[project]\nname = "shop"\nversion = "1"\n[tool.fapbuild]\nrequirements = "requirements.in"\n'
DEPLOY_YML = """\
app_name: shop
connection: local
path: {folder}/www
stage_role_configs: {{production: {{web: {{hosts: [localhost]}}}}}}
"""


def run(*argv: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return next(dist.glob("*.whl"))


def _release(folder: Path, commands: Mapping[str, Path]) -> None:
    """Pack, store, promote and release an app with these commands, and with nothing else of fapkit."""
    (folder / "app").mkdir()
    home = {"HOME": str(folder), "GIT_CONFIG_GLOBAL": "/dev/null"}
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}  # which index
    env = {**kept, **home, "PATH": "/usr/local/bin:/usr/bin:/bin", "FAP_STORE": f"file://{folder}/store"}

    def call(command: str, *words: str) -> str:
        return run(commands[command], *words, cwd=folder / "app", env=env)

    files = {"pyproject.toml": PYPROJECT, "requirements.in": "packaging\n", "app.py": "VERSION = 'packed'\n"}
    for name, text in {**files, "deploy.yml": DEPLOY_YML.format(folder=folder)}.items():
        (folder / "app" / name).write_text(text)
    who = ("-c", "user.name=shop", "-c", "user.email=shop@example.com")
    for words in (["init", "-q"], ["add", "--all"], [*who, "commit", "-q", "-m", "A shop"]):
        run("git", *words, cwd=folder / "app", env=env)
    for name in commands:
        assert call(name, "--version") == f"{name}, version {PROJECT['project']['version']}\n"
        assert call(name, "--help").startswith("Usage: ")
    call("fapbuild", "lock")
    call("fapstore", "init")
    call("fapbuild", "pack", "--allow-dirty", "--version", "1", "--push", env["FAP_STORE"])
    call("fapstore", "promote", "shop", "1", "production")
    call("fapstore", "board", "shop", "-o", str(folder / "board.html"))
    call("faprelease", "production", "web")
    assert (folder / "www/current/app.py").read_text() == "VERSION = 'packed'\n"
    run(folder / "www/current/venv/bin/python", "-c", "import packaging")
    call("faprelease", "status", "production")


def test_wheels_with_their_extras_pack_and_release(wheel: Path, tmp_path: Path) -> None:
    commands = {}
    for command, extra in (("fapbuild", "[build]"), ("fapstore", ""), ("faprelease", "[release]")):
        venv = tmp_path / f"venv-{command}"
        run(sys.executable, "-m", "venv", venv)
        run(venv / "bin/pip", "install", "--quiet", f"{wheel}{extra}", cwd=tmp_path)
        commands[command] = venv / "bin" / command
    _release(tmp_path, commands)


@pytest.mark.parametrize("extra", ["s3", "all"])
def test_an_extra_brings_boto3(extra: str, wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    run(tmp_path / "venv/bin/pip", "install", "--quiet", f"{wheel}[{extra}]", cwd=tmp_path)
    run(tmp_path / "venv/bin/python", "-c", "import artifact_store.blobs.s3", cwd=tmp_path)
    for command in COMMANDS if extra == "all" else ["fapstore"]:
        run(tmp_path / "venv/bin" / command, "--help", cwd=tmp_path)


def test_files_of_make_pex_pack_and_release_with_nothing_installed(dist: Path, tmp_path: Path) -> None:
    python = "{}.{}".format(*sys.version_info)
    _release(tmp_path, {each: dist / f"{each}-py{python}.pex" for each in COMMANDS})
    run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=dist)


@pytest.mark.parametrize("right", [True, False], ids=["its sha256", "another sha256"])
def test_cloud_init_installs_the_file_only_with_its_sha256(right: bool, dist: Path, tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "examples/engines/cloud-init.yml").read_text())
    script: str = config["runcmd"][0]
    name = "faprelease-py{}.{}.pex".format(*sys.version_info)
    digest = (dist / name).read_bytes() if right else b"another file"
    for old, new in (
        ("https://artifacts.example.com/fapkit/faprelease-py3.11.pex", (dist / name).as_uri()),
        ("0" * 64, hashlib.sha256(digest).hexdigest()),
        ("/opt/fapkit", str(tmp_path / "opt")),
    ):
        assert old in script
        script = script.replace(old, new)
    env = {"HOME": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(["sh", "-c", f"{script}\necho went on"], env=env, capture_output=True, text=True)
    command = tmp_path / "opt/bin/faprelease"
    assert command.exists() == right
    assert ("went on" in done.stdout) == right, "no unit is started without the command"
    if right:
        assert run(command, "--version", env=env).startswith("faprelease, version ")


def test_the_wheel_and_the_sdist_hold_what_they_should(dist: Path, wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("artifact_store", "fapbuild", "faprelease"):
        tracked = run("git", "ls-files", package).split()
        assert set(tracked) <= names
        assert f"{package}/py.typed" in names
    assert [name for name in names if name.endswith("/licenses/LICENSE")]
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "locks/faprelease.txt"} <= inside


def test_locks_have_the_versions_and_hashes_of_the_tests() -> None:
    tested = _pins(ROOT / "requirements-ci.txt")
    for command in COMMANDS:
        pins = _pins(ROOT / "locks" / f"{command}.txt")
        assert len(pins) > 10
        assert {name: pins[name] for name in pins if pins[name] != tested.get(name)} == {}


def _pins(file: Path) -> dict[str, frozenset[str]]:
    """The version and hashes of each package of a lock, by its name."""
    text = file.read_text().replace("\\\n", "")
    pins = re.findall(r"^([\w.-]+)(?:\[.*?\])?==(\S+)(.*)$", text, re.MULTILINE)
    return {name: frozenset([version, *re.findall(r"--hash=\S+", rest)]) for name, version, rest in pins}


def _bare(text: str) -> list[str]:
    """The commands in a text that install fapkit from whoever has its name on an index."""
    found = []
    for match in re.finditer(
        r"\b(?:pipx?,? (?:.*?)(?:install|run)|uv tool (?:install|run)|uv add|uvx)\b"
        r".*?(?<![\w/.-])fapkit(\[[\w,]*\])?",
        text,
    ):
        rest = text[match.end() :].split("\n")[0]
        if not re.match(rf" @ (?:{re.escape(INSTALL_FROM)}|\$FAPKIT\b)", rest) and not re.match(
            r"[\w/.-]", rest
        ):
            found.append(match.group())
    return found


def test_nothing_says_to_install_fapkit_by_its_name() -> None:
    ours = run("git", "ls-files", "-co", "--exclude-standard").split()
    texts = {
        name: (ROOT / name).read_text(errors="replace") for name in ours if not name.startswith("tests/")
    }
    guilty = {name: found for name, text in texts.items() if (found := _bare(_commands(name, text)))}
    assert guilty == {}
    others = {
        name: urls
        for name, text in texts.items()
        if (urls := set(re.findall(r"git\+[^\s'\"`]+fapkit[^\s'\"`]*", text)) - {INSTALL_FROM})
    }
    assert others == {}
    assert sum(INSTALL_FROM in texts[str(page.relative_to(ROOT))] for page in PAGES) >= 3


def _commands(name: str, text: str) -> str:
    """The commands of a page: its code; all of any other file."""
    if not name.endswith(".md"):
        return text
    return "\n".join([*re.findall(r"^ {4}.*$", text, re.MULTILINE), *re.findall(r"`([^`\n]+)`", text)])


@pytest.mark.parametrize(
    "text",
    [
        "pip install fapkit",
        "pip install --quiet 'fapkit[build,s3]'",
        'run: pip install "fapkit[build]==1.0"',
        "[pip, install, --quiet, fapkit]",
        "uv tool install fapkit",
        "uvx --from fapkit faprelease",
        "pipx run fapkit",
        "pip install 'fapkit @ git+https://elsewhere.example.com/fapkit'",
    ],
)
def test_a_bare_name_would_be_found(text: str) -> None:
    assert _bare(text)


def test_what_is_no_bare_name() -> None:
    fine = [
        f"uv tool install 'fapkit[all] @ {INSTALL_FROM}'",
        "install -m 755 x /opt/fapkit/bin",
        "./install fapkit-1.whl",
    ]
    assert [text for text in fine if _bare(text)] == []
    assert "fapkit @ git+https" in (DOCS / "how-to/install.md").read_text().replace("[all]", "")


def test_the_urls_of_the_metadata_are_on_the_server_that_people_install_from() -> None:
    address = INSTALL_FROM.removeprefix("git+").partition("@")[0]
    assert INSTALL_FROM.endswith(f"@v{PROJECT['project']['version']}")
    assert all(url.startswith(address) for url in PROJECT["project"]["urls"].values())


def test_the_containerfile_is_linted(tmp_path: Path) -> None:
    run(BIN / "hadolint", "Containerfile")
    text = (ROOT / "Containerfile").read_text()
    (tmp_path / "Containerfile").write_text(text.replace("--no-install-recommends", ""))
    assert subprocess.run([BIN / "hadolint", tmp_path / "Containerfile"], capture_output=True).returncode == 1
    assert {f"dist/{each}-py${{PYTHON}}.pex" for each in COMMANDS} <= set(text.split())


def test_publish_is_linted_for_security() -> None:
    run(BIN / "zizmor", "--offline", "--no-progress", ".github/workflows/publish.yml")


@pytest.mark.parametrize(
    ("tag", "edit", "says"),
    [
        ("v9", str, "the tag is v9"),
        ("v0.1.0", str, "names no real server"),
        ("v0.1.0", lambda text: text.replace("git.example.com", "git.test"), ""),
        (
            "v0.2.0",
            lambda text: text.replace("git.example.com", "git.test").replace('"0.1.0"', '"0.2.0"'),
            "towncrier",
        ),
    ],
)
def test_publish_checks_the_tag_the_address_and_the_changelog(
    tag: str, edit: Callable[[str], str], says: str, tmp_path: Path
) -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text())
    (script,) = [
        step["run"] for step in workflow["jobs"]["build"]["steps"] if "Check" in step.get("name", "")
    ]
    (tmp_path / "pyproject.toml").write_text(edit((ROOT / "pyproject.toml").read_text()))
    (tmp_path / "CHANGELOG.md").write_text((ROOT / "CHANGELOG.md").read_text())
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "GITHUB_REF_NAME": tag}
    # `bash -e {0}` is GitHub's default shell of `run`
    done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode == 0) == (not says)
    assert says in done.stdout
    if not says:
        assert "The first version" in (tmp_path / "notes/changelog.md").read_text()
