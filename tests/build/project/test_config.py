"""[tool.fapbuild]: it is read, and mistakes are refused with file and key."""

from pathlib import Path

import pytest

from artifact_store.core.errors import UsageError
from fapbuild.project.config import Allowed, Assets, load


def written(folder: Path, text: str, name: str = "pyproject.toml") -> Path:
    (folder / name).write_text(text)
    return folder


def test_the_name_comes_from_the_project(tmp_path: Path) -> None:
    project = load(
        written(tmp_path, '[project]\nname = "My_Shop.App"\ndependencies = ["flask"]\n[tool.fapbuild]\n')
    )
    assert project.settings.app == "my-shop-app"
    assert project.settings.requirements == ""
    assert project.settings.lock == "requirements.txt"
    assert project.dependencies == ("flask",)


def test_every_key_is_read(tmp_path: Path) -> None:
    text = """\
app = "shop"
requirements = "deps.in"
lock = "deps.txt"
exclude = ["docs/"]
requires_env = ["SECRET"]
installer = "own"
allow = [{path = "tests/*.pem", reason = "made up"}]

[[assets]]
name = "front"
run = ["npm ci"]
outputs = ["static"]
directory = "front"
"""
    settings = load(written(tmp_path, text, "fapbuild.toml")).settings
    assert (settings.app, settings.requirements, settings.lock) == ("shop", "deps.in", "deps.txt")
    assert (settings.exclude, settings.requires_env) == (("docs/",), ("SECRET",))
    assert (settings.installer, settings.allow) == ("own", (Allowed(path="tests/*.pem", reason="made up"),))
    assert settings.assets == (Assets(name="front", run=("npm ci",), outputs=("static",), directory="front"),)


def test_requirements_in_is_found(tmp_path: Path) -> None:
    (tmp_path / "requirements.in").write_text("flask\n")
    assert load(written(tmp_path, '[tool.fapbuild]\napp = "x"\n')).settings.requirements == "requirements.in"


HEAD = '[tool.fapbuild]\napp = "x"\n'


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[tool", "pyproject.toml: ", ""),
        ("", "this project has no name", 'app = "shop"'),
        ('[tool.fapbuild]\napp = "Shop Å"\n', "'Shop Å' is not a valid app name", "lower-case"),
        (HEAD + "exlude = []\n", "pyproject.toml: [tool.fapbuild]: unknown key 'exlude'", "'exclude'"),
        (HEAD + "zzz = 1\n", "unknown key 'zzz'", "known keys: app, requirements,"),
        (HEAD + 'exclude = "a"\n', "[tool.fapbuild] exclude: Expected `array`, got `str`", ""),
        (HEAD + 'installer = "pip"\n', "[tool.fapbuild] installer: Invalid enum value 'pip'", ""),
        (HEAD + '[[tool.fapbuild.assets]]\nname = "f"\n', "assets[0]: Object missing required field", ""),
        (HEAD + '[[tool.fapbuild.assets]]\nruns = []\n', "assets[0]: unknown key 'runs'", "'run'"),
        (HEAD + 'lock = "/x"\n', "[tool.fapbuild] lock: '/x' is an absolute path", ""),
        (
            HEAD + '[[tool.fapbuild.assets]]\nname = "f"\nrun = []\noutputs = ["/etc"]\n',
            "assets 'f' outputs: '/etc' is outside",
            "",
        ),
        (
            HEAD + '[[tool.fapbuild.assets]]\nname = "f"\nrun = []\noutputs = ["./"]\n',
            "assets 'f' outputs: './' is the whole project",
            "name the files",
        ),
        (HEAD + 'requires_env = ["A=b"]\n', "requires_env: 'A=b' is not the name of a variable", "names"),
        (HEAD + 'allow = [{path = "a"}]\n', "allow[0]: Object missing required field `reason`", ""),
        (HEAD + 'allow = [{path = "a", why = ""}]\n', "allow[0]: unknown key 'why'", "known keys"),
        (HEAD + 'allow = [{path = "a", reason = " "}]\n', "allow: 'a' needs a path and a reason", ""),
        (HEAD + "file_limit = 0\n", "file_limit: 0 MB would refuse every file", ""),
        ('[tool]\nfapbuild = 3\n', "[tool.fapbuild] is not a table", ""),
        ('[project]\nname = "x"\ndependencies = "flask"\n', "project.dependencies is not a list", ""),
    ],
)  # fmt: skip
def test_mistakes_are_named(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(written(tmp_path, text))
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_two_places_are_one_too_many(tmp_path: Path) -> None:
    written(tmp_path, HEAD)
    with pytest.raises(UsageError, match="both fapbuild"):
        load(written(tmp_path, 'app = "x"\n', "fapbuild.toml"))
