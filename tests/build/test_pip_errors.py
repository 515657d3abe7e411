"""The hint under a failure of pip says what happened, by pip's own report."""

from pathlib import Path

import pytest

from fapbuild import pip_errors
from tests.parts.project import Project
from tests.parts.webserver import offer, serve
from tests.parts.wheelhouse import make_wheel, pin

NONE = "ERROR: Could not find a version that satisfies the requirement x==1 (from versions: none)\n"
NONE += "ERROR: No matching distribution found for x==1\n"
RETRYING = (
    "WARNING: Retrying (Retry(total=1, connect=None)) after connection broken by 'NewConnectionError("
    "\"HTTPConnection(host='pypi.corp', port=443): Failed to establish a new connection\")': /simple/x/\n"
)


@pytest.mark.parametrize(
    ("output", "hint"),
    [
        (NONE, "no index that pip asked has x 1: if it was removed, run `fapbuild lock`"),
        (RETRYING + NONE, "pypi.corp does not answer: check the network"),
        (
            "ERROR: Ignored the following versions that require a different python version: "
            f"0.9 Requires-Python >=3.9; 1 Requires-Python >=3.99; 11 Requires-Python >=3\n{NONE}",
            "x 1 needs Python >=3.99, and this is 3.11.2: pack with such a Python",
        ),
        (
            "ERROR: Could not open constraint file: [Errno 2] No such file or directory: '/etc/c.txt'\n",
            "/etc/c.txt does not exist: see PIP_CONSTRAINT",
        ),
        ("THESE PACKAGES DO NOT MATCH THE HASHES\n", "the index has other bytes than the lock: find out why"),
        ("ERROR: metadata-generation-failed\n", "a package can't be built here: install"),
        ("ERROR: 401 Error, Credentials not correct for https://pypi.corp/simple/x/", "HTTP 401"),
        ("OSError: [Errno 28] No space left on device", "free some space"),
        ("something new", "see what pip says above"),
    ],
)  # fmt: skip
def test_what_pip_reports(output: str, hint: str) -> None:
    assert hint in pip_errors.hint(output, "3.11.2")


def test_an_index_that_does_not_answer_is_named(project: Project, tmp_path: Path) -> None:
    lock = f"--index-url http://127.0.0.1:9/simple\n{pin(make_wheel(tmp_path, 'steady'))}"
    project.commit({"requirements.in": "steady", "requirements.txt": lock})
    cache = str(tmp_path / "cache")
    done = project.run("pack", PIP_RETRIES="1", PIP_FIND_LINKS="", FAP_CACHE=cache)
    assert done.returncode == 1
    assert done.stderr.count("127.0.0.1 does not answer; pip tries it again") == 1
    assert "hint: 127.0.0.1 does not answer: check the network" in done.stderr


def test_a_python_that_is_too_old_is_said(project: Project, tmp_path: Path) -> None:
    info = "steady-1.0.dist-info/METADATA"
    text = "Metadata-Version: 2.1\nName: steady\nVersion: 1.0\nRequires-Python: >=3.99\n"
    wheel = make_wheel(tmp_path, "steady", also={info: text})
    with serve() as site:
        index = offer(site, [wheel])
        page = site.files["/simple/steady/"].replace(b"<a ", b'<a data-requires-python="&gt;=3.99" ')
        site.files["/simple/steady/"] = page
        project.commit({"requirements.in": "steady", "requirements.txt": f"-i {index}\n{pin(wheel)}"})
        cache = str(tmp_path / "cache")
        done = project.run("pack", PIP_FIND_LINKS="", FAP_CACHE=cache)
        assert "hint: steady 1.0 needs Python >=3.99, and this is 3." in done.stderr
        project.git("rm", "--quiet", "requirements.txt")
        project.commit({"requirements.in": f"-i {index}\nsteady"})
        locked = project.run("lock", PIP_FIND_LINKS="")
        assert "and the requirements need another (Requires-Python >=3.99)" in locked.stderr


def test_a_removed_file_and_a_missing_program(project: Project, local_lock: str) -> None:
    text = local_lock.replace("greet==1.0", "greet==7.0")
    done = project.commit({"requirements.in": "greet", "requirements.txt": text}).run("pack")
    assert (
        "hint: no index that pip asked has greet 7.0: if it was removed, run `fapbuild lock`" in done.stderr
    )
    step = '[[assets]]\nname = "front"\nrun = ["no-such-program build"]\noutputs = ["x"]\n'
    project.git("rm", "--quiet", "pyproject.toml", "requirements.in", "requirements.txt")
    failed = project.commit({"fapbuild.toml": f'app = "shop"\n{step}'}).run("pack")
    assert "hint: install the program that 'no-such-program build' starts" in failed.stderr
