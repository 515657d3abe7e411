"""Asset steps: what they get, and what gets in."""

import tarfile

import pytest

from fapbuild.assets import environment
from tests.build.project import PYPROJECT, Project


def step(name: str = "front", directory: str = ".", *, run: str, outputs: str) -> str:
    return (
        f'[[tool.fapbuild.assets]]\nname = "{name}"\ndirectory = "{directory}"\n'
        f"run = {run}\noutputs = {outputs}\n"
    )


def content(path: str, name: str) -> bytes:
    with tarfile.open(path) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


def test_only_declared_outputs_get_in(project: Project) -> None:
    text = PYPROJECT + step(
        directory="front",
        run='["mkdir ../static; cp source.ts ../static/app.js", "ln -s app.js ../static/new.js; touch j"]',
        outputs='["static"]',
    )
    project.commit({"pyproject.toml": text, "front/source.ts": "compiled"})
    path = project.pack()["path"]
    with tarfile.open(path) as tar:
        names = tar.getnames()
    assert content(path, "static/app.js") == b"compiled"
    assert "static/new.js" in names
    assert "front/j" not in names
    assert not (project.folder / "static").exists()
    assert not (project.folder / "front" / "j").exists()


def test_an_output_takes_the_place_of_a_committed_file(project: Project) -> None:
    text = PYPROJECT + step(run='["chmod +x app.py; echo made > app.py"]', outputs='["app.py"]')
    path = project.commit({"pyproject.toml": text}).pack()["path"]
    assert content(path, "app.py") == b"made\n"
    with tarfile.open(path) as tar:
        assert tar.getmember("app.py").mode == 0o755


def test_steps_see_the_work_of_those_before_them(project: Project) -> None:
    text = PYPROJECT + step("one", run='["echo 1 > one"]', outputs='["one"]')
    text += step("two", run='["cat one one > two"]', outputs='["two"]')
    assert content(project.commit({"pyproject.toml": text}).pack()["path"], "two") == b"1\n1\n"


@pytest.mark.parametrize(
    ("run", "outputs", "message"),
    [
        ('["echo it broke >&2; exit 3"]', '["x"]', "it broke"),
        ('["false; true"]', '["x"]', "assets 'front': 'false; true' failed"),
        ('["true"]', '["x"]', "assets 'front' made no x"),
        ('["mkdir x"]', '["x"]', "the output x is an empty folder"),
        ('["mkdir x; ln -s /etc/passwd x/link"]', '["x"]', "the symbolic link x/link -> /etc/passwd leaves"),
        ('["ln -s /etc x"]', '["x"]', "the output x lies outside the project"),
        ('["mkfifo x"]', '["x"]', "x is neither a file nor a symbolic link"),
        ('["echo > .env"]', '[".env"]', ".env looks like a secret"),
        ('["mkdir wheels; echo > wheels/a"]', '["wheels"]', "the name wheels is taken"),
    ],
)
def test_what_goes_wrong_is_said(project: Project, run: str, outputs: str, message: str) -> None:
    done = project.commit({"pyproject.toml": PYPROJECT + step(run=run, outputs=outputs)}).run("pack")
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert list(project.folder.glob("dist/*")) == []


def test_a_step_in_a_folder_that_is_not_there(project: Project) -> None:
    text = PYPROJECT + step(directory="frnt", run='["true"]', outputs='["x"]')
    done = project.commit({"pyproject.toml": text}).run("pack")
    assert "the folder frnt is not committed" in done.stderr


def test_a_step_gets_a_clean_environment(project: Project) -> None:
    text = PYPROJECT + step(run='["env | cut -d= -f1 | sort > names", "umask >> names"]', outputs='["names"]')
    facts = project.commit({"pyproject.toml": text}).pack(AWS_SECRET_ACCESS_KEY="x", NPM_CONFIG_CACHE="/x")
    names = content(facts["path"], "names").decode().split()
    assert {"PATH", "HOME", "NPM_CONFIG_CACHE", "SOURCE_DATE_EPOCH", "LC_ALL", "TZ"} <= set(names)
    assert "AWS_SECRET_ACCESS_KEY" not in names
    assert names[-1] == "0022"


def test_what_is_passed_on() -> None:
    mine = {"PATH": "/bin", "https_proxy": "p", "HTTP_PROXY": "P", "TOKEN": "t", "npm_config_registry": "r"}
    assert environment(mine, 7) == {
        "PATH": "/bin",
        "https_proxy": "p",
        "HTTP_PROXY": "P",
        "npm_config_registry": "r",
        "SOURCE_DATE_EPOCH": "7",
    }
