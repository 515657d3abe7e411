"""`fapbuild check`: its findings for each factor, and that it changes nothing."""

import json
from pathlib import Path

from tests.parts.made_up_secrets import SECRETS
from tests.parts.project import PYPROJECT, Project

GOOD = """\
requirements = "requirements.in"
lock = "requirements.txt"
target = "cp311-manylinux_2_28_x86_64"
requires_env = ["DATABASE_URL"]
"""


def _found(project: Project, code: int) -> list[dict[str, str]]:
    done = project.run("check", "--json")
    assert done.returncode == code, done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def _of(found: list[dict[str, str]], factor: str) -> list[tuple[str, str]]:
    return [(one["verdict"], one["says"]) for one in found if one["check"].split()[0] == factor]


def test_a_project_as_it_should_be_has_nothing_wrong(project: Project, local_lock: str) -> None:
    project.commit(
        {
            "pyproject.toml": PYPROJECT + GOOD,
            "requirements.in": "greet\n",
            "requirements.txt": local_lock,
            "Procfile": "web: greet --bind 127.0.0.1:$PORT app\nworker: python app.py\n",
        }
    )
    before = project.git("status", "--porcelain", "--ignored")
    found = _found(project, 0)
    assert {one["verdict"] for one in found} == {"right", "note"}
    assert [one["says"] for one in found if one["verdict"] == "note"] == ["this repository has no remote"]
    assert ("right", "requirements.txt: 2 packages, all with hashes") in _of(found, "II")
    assert project.git("status", "--porcelain", "--ignored") == before


def test_each_thing_that_is_wrong_has_a_line_with_its_fix(project: Project, local_lock: str) -> None:
    project.commit(
        {
            "pyproject.toml": PYPROJECT + 'installer = "own"\n',
            "requirements.in": "greet\nneeds-more\n",
            "requirements.txt": local_lock,
            "install.sh": "#!/bin/sh\n# curl is not used\npip install -r requirements.txt && npm ci\n",
            "Procfile": "web: cd site && gunicorn --bind 0.0.0.0:8000 app\nrelease: python app.py\n",
            "conf/key.pem": "x",
            "conf/prod.py": f"TOKEN = '{SECRETS['GitHub Token']}'\nhandlers = 'logging.FileHandler'\n",
            "log/web.log": "",
            "shop.sqlite3": "",
        }
    )
    project.git("remote", "add", "origin", "https://git.example.org/shop.git")
    project.write({"new.py": ""})
    found = _found(project, 1)
    assert [verdict for verdict, _ in _of(found, "I")] == ["wrong", "wrong"]
    assert "new.py" in _of(found, "I")[0][1]
    assert _of(found, "II")[0][0] == "wrong"
    assert "needs-more" in _of(found, "II")[0][1]
    wrong = [says for verdict, says in _of(found, "III") if verdict == "wrong"]
    assert "conf/key.pem" in wrong[0]
    assert "conf/prod.py line 1: GitHub Token" in wrong[1]
    assert _of(found, "V")[0][0] == "wrong"
    assert "install.sh (npm, pip install)" in _of(found, "V")[0][1]
    notes = {
        factor: " ".join(says for _, says in _of(found, factor))
        for factor in ("VI", "VII", "IX", "XI", "XII")
    }
    assert "shop.sqlite3" in notes["VI"]
    assert notes["VII"] == "web always binds to port 8000"
    assert notes["IX"].endswith(": web")
    assert "log/web.log" in notes["XI"]
    assert "conf/prod.py" in notes["XI"]
    assert "release is an ordinary process" in notes["XII"]
    assert all(one["fix"] for one in found if one["verdict"] != "right")
    shown = project.run("check")
    assert shown.returncode == 1
    assert SECRETS["GitHub Token"] not in shown.stdout + shown.stderr
    assert (
        f"{len([one for one in found if one['verdict'] == 'wrong'])} of {len(found)} checks failed"
        in shown.stderr
    )


def test_a_folder_without_a_repository_is_an_error(tmp_path: Path) -> None:
    done = Project(tmp_path).run("check")
    assert done.returncode in (1, 2)
    assert "git" in done.stderr


def test_nothing_is_said_that_was_not_tried(project: Project, tmp_path: Path) -> None:
    project.git("remote", "add", "origin", str(tmp_path))
    files = {
        "Procfile": "web: bash start.sh\nother: uwsgi --ini x.ini\n",
        "start.sh": "",
        "shop/logs/models.py": "",
    }
    findings = _found(project.commit({**files, "shop/logs/__init__.py": "", "log/web.log": "x"}), 0)
    assert ("note", "log files are committed: log/web.log") in _of(findings, "XI")
    assert not [says for _, says in _of(findings, "IX") if says.startswith("SIGTERM reaches each")]
    assert ("note", "whether SIGTERM reaches what a script starts was not tried: web") in _of(findings, "IX")
    assert ("note", "SIGTERM reloads uwsgi instead of ending it: other") in _of(findings, "IX")
    assert not [one for one in findings if one["fix"] == "git remote add origin URL"]
