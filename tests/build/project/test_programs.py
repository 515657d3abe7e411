"""Each process starts a program and a module that are in the artifact."""

from pathlib import Path

import pytest

from artifact_store.core.errors import UsageError
from fapbuild.project.programs import Started, check, started
from tests.parts.project import Project
from tests.parts.wheelhouse import make_wheel, pin


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("gunicorn shop.wsgi", Started("gunicorn", "shop.wsgi")),
        ("gunicorn --bind ${FAP_BIND:-127.0.0.1:8000} shop.wsgi", Started("gunicorn", "shop.wsgi")),
        ('exec gunicorn -w 2 "shop:create_app()"', Started("gunicorn", "shop")),
        ("cd site && exec gunicorn shop.wsgi:application", Started("gunicorn", "shop.wsgi", ("site",))),
        ("A=1 uvicorn --port $PORT --app-dir src main:app", Started("uvicorn", "main", (".", "src"))),
        ("uvicorn main:app --workers 2", Started("uvicorn", "main")),
        ("python -m uvicorn main:app", Started("uvicorn", "main")),
        ("python -m shop.worker", Started("python", "shop.worker")),
        ("python app.py", Started("python")),
        ("./start.sh", Started("./start.sh")),
        ("celery -A shop worker", Started("celery")),
        ("$COMMAND x", None),
    ],
)
def test_what_a_process_starts(command: str, what: Started | None) -> None:
    assert started(command) == what


def names(command: str) -> list[str]:
    return check({"web": command}, ["site/shop/wsgi.py", "main.py"], {"gunicorn", "greet"}, {"greet"})


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("uvicorn main:app", "process web starts uvicorn, which no package in the artifact brings"),
        ("gunicorn shop.wsgi", "process web imports shop.wsgi, which is in no committed file"),
        ("cd site && exec gunicorn shop.asgi", "process web imports shop.asgi"),
        ("python -m absent", "process web imports absent"),
    ],
)
def test_what_is_not_in_the_artifact(command: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        names(command)
    assert says in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("command", "warns"),
    [
        ("cd site && exec gunicorn shop.wsgi", False),
        ("gunicorn main:app", False),
        ("gunicorn greet:app", False),
        ("python -m http.server", False),
        ("python3 main.py", False),
        ("greet", False),
        ("sh -c 'x'", False),
        ("./run", False),
        ("nginx -g x", True),
    ],
)
def test_what_is_in_it_or_on_the_host(command: str, warns: bool) -> None:
    assert bool(names(command)) is warns


def test_pack_and_check_refuse_a_process_without_its_program(project: Project, tmp_path: Path) -> None:
    house, files = tmp_path / "house", {"Procfile": "web: gunicorn app:app\n", "requirements.in": "greet\n"}
    entry = {"gunicorn-1.0.dist-info/entry_points.txt": "[console_scripts]\ngunicorn = gunicorn:main\n"}
    wheels = [make_wheel(house, "greet"), make_wheel(house, "gunicorn", also=entry)]
    done = project.commit({**files, "requirements.txt": pin(wheels[0])}).run(
        "pack", PIP_FIND_LINKS=str(house)
    )
    assert done.returncode == 2
    assert "process web starts gunicorn, which no package in the artifact brings" in done.stderr
    assert "hint: add gunicorn to the requirements, lock again" in done.stderr
    assert "wrong  VIII concurrency: process web starts gunicorn" in project.run("check").stdout
    project.commit({"requirements.txt": "".join(map(pin, wheels))}).pack(PIP_FIND_LINKS=str(house))
    assert "wrong  VIII" not in project.run("check").stdout
