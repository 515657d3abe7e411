"""Code of packages and asset steps, which looks for keys wherever it can."""

import os
import socket
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from artifact_store.core.errors import UsageError
from fapbuild import isolation
from fapbuild.isolation.variables import of_builds, of_lock_tools, of_steps
from tests.parts.project import PYPROJECT, Project
from tests.parts.source_package import below, package

SECRET = "s3cret-0f-the-pipeline"
KEYS = {"AWS_SECRET_ACCESS_KEY": SECRET, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": SECRET, "TOKEN_OF_ONE": "passed"}
KEPT = {"HTTPS_PROXY": "", "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt", "CFLAGS": "-O1"}
SPY = """\
import glob, os
seen = [f"{name}={value}" for name, value in os.environ.items()]
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob(HOME + "/.*/*") + glob.glob(CACHE + "/*/*/*"):
    try:
        seen += open(path, errors="replace").read().split(chr(0))
    except OSError:
        pass
open(SEEN, "a").write("\\n".join(seen))
"""
PLAIN_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
"""What root becomes a user without rights by, who may still read what root may."""
NO_NAMESPACES = (
    *("unshare", "--user", "--map-root-user", "sh", "-c"),
    'for kind in user mnt pid; do echo 0 > /proc/sys/user/max_${kind}_namespaces; done; exec "$@"',
    "sh",
)
USERS = [(), PLAIN_USER] if os.geteuid() == 0 else [()]


class Spied:
    """A home with keys, and a file for all that a spy sees."""

    def __init__(self, folder: Path) -> None:
        self.home, self._seen = folder / "home", folder / "seen"
        for name in (".aws/credentials", ".ssh/id_ed25519"):
            (self.home / name).parent.mkdir(parents=True)
            (self.home / name).write_text(SECRET)
        (self.home / ".ssh/id_ed25519.pub").write_text("public half\n")
        (self.home / ".ssh/deploy").write_text(SECRET)
        cache = folder / "cache"
        self.code = f"HOME, CACHE, SEEN = {str(self.home)!r}, {str(cache)!r}, {str(self._seen)!r}\n{SPY}"
        self.env = {**KEYS, **KEPT, "HOME": str(self.home), "FAP_CACHE": str(cache)}

    def seen(self) -> str:
        text = self._seen.read_text()
        self._seen.unlink()
        return text


@pytest.fixture
def spied(tmp_path: Path) -> Spied:
    return Spied(tmp_path)


def spying(spied: Spied, name: str, requires: str = "[]") -> dict[str, str]:
    files = package(name)
    files["pyproject.toml"] = files["pyproject.toml"].replace("requires = []", f"requires = {requires}")
    return {**files, "backend.py": spied.code + files["backend.py"]}


def sdist(folder: Path, files: Mapping[str, str], name: str) -> None:
    folder.mkdir(exist_ok=True)
    source = folder.parent / f"source of {name}"
    info = {"PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"}
    for path, text in below(f"{name}-1.0", {**files, **info}).items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text)
    with tarfile.open(folder / f"{name}-1.0.tar.gz", "w:gz") as tar:
        tar.add(source / f"{name}-1.0", f"{name}-1.0")


@pytest.mark.parametrize("user", USERS)
def test_a_build_of_the_project_gets_no_keys(project: Project, spied: Spied, user: tuple[str, ...]) -> None:
    files = spying(spied, "mine")
    alone = files["pyproject.toml"].replace('dependencies = ["left-pad"]', "")
    files["pyproject.toml"] = alone + "[tool.fapbuild]\npackage = true\npass_env = ['TOKEN_OF_ONE']\n"
    files["backend.py"] = files["backend.py"].replace("Requires-Dist: left-pad\\n", "")
    project.commit({**files, "requirements.txt": ""}).pack(wrap=user, **spied.env)
    seen = spied.seen()
    assert SECRET not in seen
    names = {line.partition("=")[0] for line in seen.splitlines()}
    assert {*KEPT, "SOURCE_DATE_EPOCH", "PYTHONHASHSEED"} <= names
    assert "TOKEN_OF_ONE=passed\n" in seen
    assert "public half\n" in seen, "the spy can look into the home"


def test_sdists_and_what_builds_them_get_no_keys(project: Project, spied: Spied, tmp_path: Path) -> None:
    """At `lock`, which reads their metadata, and at `pack`, which downloads and builds them."""
    house = tmp_path / "house"
    sdist(house, spying(spied, "fapkit_test_tool"), "fapkit_test_tool")
    sdist(house, spying(spied, "fapkit_test_app", "['fapkit-test-tool']"), "fapkit_test_app")
    env = {
        **spied.env,
        "PIP_FIND_LINKS": f"{project.env['PIP_FIND_LINKS']} {house}",
        "PIP_EXTRA_INDEX_URL": f"http://me:{SECRET}@127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
    }
    done = project.commit({"requirements.in": "fapkit-test-app\n"}).run("lock", **env)
    assert done.returncode == 0, done.stderr
    seen = spied.seen()
    assert "SOURCE_DATE_EPOCH" not in seen
    assert SECRET not in seen
    project.commit().pack(**env)
    seen = spied.seen()
    assert "SOURCE_DATE_EPOCH" in seen
    assert SECRET not in seen


@pytest.mark.parametrize("user", USERS)
def test_an_asset_step_gets_no_keys(project: Project, spied: Spied, user: tuple[str, ...]) -> None:
    step = (
        '[[tool.fapbuild.assets]]\nname = "x"\noutputs = ["out"]\npass_env = ["TOKEN_OF_ONE"]\n'
        f'tools = ["{sys.executable} $SPY"]\nenvironment = {{SPY = "{spied.home}/spy.py"}}\n'
        f'run = ["{sys.executable} $SPY; umount /proc 2>/dev/null || {sys.executable} $SPY; echo > out"]\n'
    )
    (spied.home / "spy.py").write_text(spied.code)
    project.commit({"pyproject.toml": PYPROJECT + step}).pack(wrap=user, **spied.env)
    seen = spied.seen()
    assert seen.count("public half") == 3
    assert SECRET not in seen
    assert "SSL_CERT_FILE" in seen
    assert "TOKEN_OF_ONE=passed\n" in seen


def test_a_step_without_network(project: Project, spied: Spied) -> None:
    """It has a loopback of its own, on which nobody listens but itself."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ask = f"import socket; socket.create_connection(('127.0.0.1', {port}))"
        serve = "s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
        project.write({"ask.py": ask, "serve.py": f"import socket; {serve}"})
        run = f'run = ["{sys.executable} serve.py", "{sys.executable} ask.py && echo > out"]\n'
        step = f'[[tool.fapbuild.assets]]\nname = "x"\noutputs = ["out"]\n{run}'
        project.commit({"pyproject.toml": PYPROJECT + step}).pack(**spied.env)
        project.commit({"pyproject.toml": PYPROJECT + step + "network = false\n"})
        done = project.run("pack", **spied.env)
        assert done.returncode == 1
        assert "ask.py && echo > out' failed" in done.stderr
        assert "ConnectionRefusedError" in done.stderr


def test_a_machine_without_namespaces_says_what_is_open(project: Project, spied: Spied) -> None:
    step = '[[tool.fapbuild.assets]]\nname = "x"\noutputs = ["out"]\nrun = ["echo > out"]\nnetwork = false\n'
    project.commit({"pyproject.toml": PYPROJECT + step})
    said = project.pack(wrap=NO_NAMESPACES, **spied.env)["talk"]
    assert said.count("warning: code of packages and asset steps is not contained here") == 1
    assert "can read the variables of fapbuild" in said
    assert "hint: allow user namespaces" in said
    project.commit({"pyproject.toml": PYPROJECT + step + "# again\n"})
    assert "not contained" not in project.pack("--version=2", **spied.env)["talk"]


@pytest.mark.parametrize("user", USERS)
def test_walls_hold_against_the_code_behind_them(tmp_path: Path, user: tuple[str, ...]) -> None:
    key, own = tmp_path / "key", tmp_path / "own"
    key.write_text(SECRET)
    own.mkdir()
    walls = ["--hide", str(key), "--read-only", str(own), "--no-network", "--"]
    attack = (
        f"cat {key}; umount {key}; umount /proc; mount -t proc proc /proc; touch {own}/x; cd {own}; touch x;"
        f"mount -o remount,rw {own}; "
        f"unshare -Um umount /proc; nsenter -t 1 -m cat {key}; cat /proc/*/environ;"
        f"touch /proc/sys/kernel/core_pattern; ls /proc; sleep 100 & exit 7"
    )
    argv = [*user, *isolation.contained({})[:-1], *walls, "sh", "-c", attack]
    done = subprocess.run(
        argv, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 7
    assert SECRET not in done.stdout
    assert not list(own.iterdir())
    assert str(os.getpid()) not in done.stdout.split()
    assert "Read-only file system" in done.stderr


def test_how_a_contained_program_ends(tmp_path: Path) -> None:
    def run(*argv: str) -> "subprocess.CompletedProcess[str]":
        start = isolation.contained({"PATH": os.environ["PATH"]})
        return subprocess.run([*start, *argv], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run("sh", "-c", "kill -9 $$").returncode == 137
    missing = run("no-such-program")
    assert (missing.returncode, missing.stderr) == (127, "no-such-program: No such file or directory\n")
    assert run("sh", "-c", "yes | head -n1; (sleep 0.1; echo orphan) & wait").stdout == "y\norphan\n"


def test_the_variables_of_each_kind_of_code() -> None:
    environ = {
        **dict.fromkeys(("PATH", "https_proxy", "NODE_EXTRA_CA_CERTS", "PIP_CONSTRAINT"), "kept"),
        **dict.fromkeys(("CFLAGS", "HOME", "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_SHOP"), "built"),
        **dict.fromkeys(("npm_config_registry", "NPM_CONFIG_USERCONFIG"), "npm"),
        **dict.fromkeys(("npm_config__auth", "NPM_CONFIG_//x/:_authToken", "npm_config__password"), "login"),
        **dict.fromkeys(("UV_INDEX_X_PASSWORD", "NETRC", "PIP_INDEX_URL"), "index"),
        "AWS_SECRET_ACCESS_KEY": "key",
    }
    assert {*of_builds(environ).values()} == {"kept", "built"}
    assert {*of_steps(environ, "x").values()} == {"kept", "npm"}
    assert {*of_lock_tools(environ).values()} == {"kept", "built", "index"}
    with pytest.raises(UsageError, match="pass_env names TOKEN, which is not set") as caught:
        of_builds(environ, ["TOKEN"])
    assert caught.value.hint == "export TOKEN=…"
