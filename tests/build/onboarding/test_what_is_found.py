"""`fapbuild init` on small projects of every make: the process, its server's package, and other steps."""

import tomllib
from collections.abc import Mapping

import pytest

from fapbuild.onboarding.detection import Detection, detect
from fapbuild.onboarding.django_variables import needed_variables
from fapbuild.onboarding.init import render, summary
from tests.parts.project import Project

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
UVICORN = "exec env UVICORN_UDS=${FAP_BIND#unix:} UVICORN_PORT=${PORT##*/*} uvicorn --host 0.0.0.0"
BIND = "--bind ${FAP_BIND:-0.0.0.0:${PORT:-8000}}"
CLICK = "import click\n@click.group()\ndef cli(): ...\n"


def found(files: Mapping[str, str]) -> Detection:
    return detect(sorted(files), lambda name: files.get(name, ""), "shop")


@pytest.mark.parametrize(
    ("files", "command"),
    [
        (
            {"a/__init__.py": "class App(Flask): ...\ndef create_app(config='x'):\n    return App()\n",
             "wsgi.py": "from a import create_app\napp = create_app()\n"},
            f"gunicorn {BIND} wsgi:app",
        ),
        ({"shop/__init__.py": "def application(environ, start_response): ...\n"}, f"gunicorn {BIND} shop"),
        ({"wsgi.py": "from shop.web import app\n"}, f"gunicorn {BIND} wsgi:app"),
        ({"app.py": "from shop import main\napplication = main()\n"}, f"gunicorn {BIND} app"),
        (
            {"app.py": "from aiohttp import web\napp = web.Application()\n"},
            f"gunicorn --worker-class aiohttp.GunicornWebWorker {BIND} app:app",
        ),
        (
            {"app.py": "from sanic import Sanic\napp = Sanic('x')\n", "requirements.txt": "sanic\n"},
            "sanic --host 0.0.0.0 --port $PORT app:app",
        ),
        (
            {"a.py": "@asgineer.to_asgi\nasync def main(request): ...\n", "requirements.txt": "uvicorn"},
            f"{UVICORN} a:main",
        ),
        (  # a manage.py that is not Django's
            {"shop/__init__.py": "", "shop/manage.py": "import click\n", "shop/wsgi.py": FLASK},
            f"gunicorn {BIND} shop.wsgi:app",
        ),
        (  # of two that are equally likely, the one that the project's own lines start
            {"a/app.py": FLASK, "b/app.py": FLASK, "Dockerfile": 'CMD ["gunicorn", "-w", "4", "b.app:app"]'},
            f"gunicorn {BIND} b.app:app",
        ),
        (
            {"a/app.py": FLASK, "b/app.py": FLASK, "start.sh": "exec gunicorn \\\n  -w 4 'a.app:app'\n"},
            f"gunicorn {BIND} a.app:app",
        ),
        (
            {"a/web.py": "app = made_somehow\n", "run.py": "uvicorn.run('a.web:app', port=1)\n",
             "requirements.txt": "uvicorn\n"},
            f"{UVICORN} a.web:app",
        ),
        (
            {"conf/production.ini": "", "conf/development.ini": "",
             "supervisord.conf": "command=gunicorn --paste conf/production.ini\n",
             "Makefile": "dev:\n\tgunicorn --paste conf/development.ini\n"},
            f"gunicorn {BIND} --paste conf/production.ini",
        ),
        (
            {"pyproject.toml": "[project]\nname = 'shop'\n[project.scripts]\nshop = 'shop.cli:cli'\n"
             "[build-system]\nrequires = ['hatchling']\n",
             "shop/__init__.py": "", "requirements.txt": "click\n",
             "shop/cli.py": f"{CLICK}@cli.command()\n@click.option('--port')\ndef package(port): ...\n"
             "@cli.command()\n@click.option('-h', '--host')\n@click.option('-p', '--port')\n"
             "def serve(host, port): ...\n"},
            "shop serve --host 0.0.0.0 --port $PORT",
        ),
        (
            {"setup.py": "setup(entry_points={'console_scripts': ['shop.io=shop:main']})\n",
             "shop/__init__.py": "def main():\n    serve(os.environ.get('PORT', 80))\n"},
            "shop.io",
        ),
        (
            {"shop/__main__.py": "from shop.app import main\n", "shop/app.py": "config('PORT', cast=int)\n"},
            "python -m shop",
        ),
        (
            {"main.py": "p.add_argument('--port')\nif __name__ == '__main__':\n    serve()\n"},
            "python main.py --port $PORT",
        ),
    ],
)  # fmt: skip
def test_the_web_process(files: dict[str, str], command: str) -> None:
    web = found({"requirements.txt": "gunicorn\n", **files}).web
    assert web is not None
    assert (web.command, web.selected) == (command, True)


MAIN = "if __name__ == '__main__':\n    run()\n"
SCRIPT = {"setup.py": "setup(entry_points={'console_scripts': ['shopd=shop:run']})\n", "shop/__init__.py": ""}


@pytest.mark.parametrize(
    ("files", "command"),
    [
        (
            {"bot/__main__.py": MAIN, "Dockerfile": 'ENTRYPOINT ["python", "-m"]\nCMD ["bot"]\n'},
            "python -m bot",
        ),
        (
            {"bot.py": MAIN, "Dockerfile": "CMD exec python3 ./bot.py --verbose\n"},
            "python ./bot.py --verbose",
        ),
        ({**SCRIPT, "Dockerfile": "CMD echo\nCMD shopd --quiet\n"}, "shopd --quiet"),
        ({**SCRIPT, "Dockerfile": 'CMD ["uv", "run", "--no-dev", "shopd", "-v"]\n'}, "shopd -v"),
        ({"bot.py": MAIN, "setup.py": MAIN, "requirements.txt": "aiogram\n"}, "python bot.py"),
        ({"bot/__main__.py": MAIN, "make.py": MAIN, "requirements.txt": "discord.py\n"}, "python -m bot"),
        ({**SCRIPT, "requirements.txt": "slack_bolt\n"}, "shopd"),
    ],
)
def test_the_process_of_a_project_that_serves_no_port(files: dict[str, str], command: str) -> None:
    project = found({"requirements.txt": "requests\n", **files})
    assert (project.web, project.workers.processes) == (None, {"worker": command})
    lines = summary(project, "fapbuild.toml")
    assert f"  printf 'worker: {command}\\n' > Procfile" in lines
    assert "web process: none found; if there is one, write it to the Procfile as: web: COMMAND" in lines


@pytest.mark.parametrize(
    "files",
    [
        {"bot.py": MAIN},
        {"a.py": MAIN, "b.py": MAIN, "requirements.txt": "aiogram\n"},
        {"bot.py": MAIN, "Dockerfile": "CMD nginx\n"},
        {"bot.py": MAIN, "Dockerfile": "CMD python bot.py && rm -rf $HOME\n"},
        {"bot.py": MAIN, "Dockerfile": 'CMD ["python", "bot.py", "it\'s"]\n'},
        {"bot.py": MAIN, "Dockerfile": "CMD [python, bot.py\n"},
        {**SCRIPT, "Dockerfile": 'ENTRYPOINT ["shopd"]\nCMD ["--help"]\n'},
        {"bot.py": MAIN, "a/Dockerfile": "CMD python bot.py\n", "b/Dockerfile": "CMD python bot.py -v\n"},
    ],
)
def test_a_process_that_is_not_sure_is_not_written(files: dict[str, str]) -> None:
    project = found({"requirements.txt": "requests\n", **files})
    assert project.workers.processes == {}
    assert not any("printf" in line for line in summary(project, "fapbuild.toml"))
    assert any("or, if it serves no port, as: worker: COMMAND" in line for line in summary(project, "x"))


def test_workers_alone_are_processes() -> None:
    celery = {"requirements.txt": "celery\n", "jobs.py": "from celery import Celery\napp = Celery('jobs')\n"}
    assert "  printf 'worker: celery -A jobs worker\\n' > Procfile" in summary(found(celery), "fapbuild.toml")


def test_a_reader_that_gives_none_needs_no_variable() -> None:
    assert [*needed_variables(["env = os.environ.get\nDEBUG = env('DEBUG') == 'True'\n"])] == []
    assert [*needed_variables(["env = environ.Env()\nDEBUG = env('DEBUG')\n"])] != []


def test_settings_that_manage_py_chooses_by_the_environment() -> None:
    manage = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', f'shop.settings.{os.environ[\"E\"]}')\n"
    files = {"manage.py": manage, "shop/settings/production.py": "STATIC_ROOT = BASE_DIR / 'static'\n"}
    django = found(files).django
    assert django is not None
    assert django.static_root == "static"
    assert ("DJANGO_SETTINGS_MODULE", "shop.settings.production") in django.variables


def test_files_that_settings_write_are_not_packed() -> None:
    settings = "STATIC_ROOT = BASE_DIR / 'static'\nSECRET = os.path.join(BASE_DIR, 'secret.txt')\n"
    settings += (
        "DB = BASE_DIR / 'db.sqlite3'\nTEXT = BASE_DIR / 'about.txt'\nLOG = BASE_DIR / 'log' / 'a.log'\n"
    )
    manage = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n"
    files = {"web/manage.py": manage, "web/shop/settings.py": settings, "web/about.txt": ""}
    assert 'scratch = ["/web/log/", "/web/secret.txt"]' in render(found(files), "")


def test_periodic_tasks_are_named() -> None:
    text = "from celery import Celery\napp = Celery('jobs')\n"
    files = {"requirements.txt": "celery\n", "jobs.py": text}
    line = "periodic tasks: a worker does not start them; on one host, run: celery -A jobs beat"
    assert line not in summary(found(files), "fapbuild.toml")
    files["settings.py"] = "CELERY_BEAT_SCHEDULE = {}\n"
    assert line in summary(found(files), "fapbuild.toml")


def test_a_variable_without_which_settings_raise_an_error() -> None:
    text = "KEY = os.environ.get('APP_KEY', None)\nif {}:\n    raise ImproperlyConfigured('APP_KEY')\n"
    for test in ("KEY is None", "not KEY"):
        assert [*needed_variables([text.format(test)])] == [("APP_KEY", "only-for-the-build")]
    assert [*needed_variables([text.format("KEY == 'x'")])] == []


def test_settings_that_manage_py_chooses_by_a_variable() -> None:
    manage = "settings = 'shop.settings.base'\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', settings)\n"
    files = {"manage.py": manage, "shop/settings/base.py": "STATIC_ROOT = BASE_DIR / 'static'\n"}
    django = found(files).django
    assert django is not None
    assert (django.static_root, django.variables) == ("static", ())


def test_settings_of_a_server_that_are_not_committed() -> None:
    line = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings.{}')\n"
    files = {
        "manage.py": line.format("base"),
        "shop/wsgi.py": line.format("local"),
        "shop/settings/base.py": "",
    }
    assert "Django's settings: shop.settings.base; set DJANGO_SETTINGS_MODULE on hosts, too" in summary(
        found(files), "fapbuild.toml"
    )


def test_a_project_that_names_two_applications() -> None:
    lines = "gunicorn a.app:app\ngunicorn b.app:app\n"
    assert found({"a/app.py": FLASK, "b/app.py": FLASK, "Dockerfile": lines}).web is None


PROJECT = '[project]\nname = "shop"\ndependencies = ["flask"]\n'
NO_SERVER = {
    "requirements": {"requirements.txt": "flask"},
    "uv": {"pyproject.toml": PROJECT, "uv.lock": '[[package]]\nname = "shop"\n'},
    "poetry": {"pyproject.toml": "[tool.poetry]\nname = 'shop'\n", "poetry.lock": ""},
    "pdm": {"pyproject.toml": PROJECT, "pdm.lock": ""},
    "pipenv": {"Pipfile": "", "Pipfile.lock": "{}"},
    "setup.py": {"setup.py": "setup(install_requires=['flask'])\n"},
}


@pytest.mark.parametrize(
    ("tool", "steps"),
    [
        ("requirements", ["printf '\\ngunicorn\\n' >> requirements.txt", "fapbuild lock"]),
        ("uv", ["uv add --no-sync gunicorn"]),
        ("poetry", ["poetry add --lock gunicorn"]),
        ("pdm", ["pdm add --no-sync gunicorn"]),
        ("pipenv", ["pipenv upgrade gunicorn"]),
        ("setup.py", ["printf '%s\\n' '-e .' gunicorn > requirements.in", "fapbuild lock"]),
    ],
)
def test_steps_that_add_the_web_server(tool: str, steps: list[str]) -> None:
    lines = summary(found({"app.py": FLASK, **NO_SERVER[tool]}), "fapbuild.toml")
    after = lines[lines.index("check the settings, then run:") + 1 :]
    assert after[: len(steps)] == [f"  {step}" for step in steps]
    assert "web server: none among the packages; the first step adds gunicorn" in lines
    changed = {"requirements": "requirements.txt requirements-lock.txt", "pipenv": "Pipfile Pipfile.lock"}
    assert f" {changed.get(tool, '')}" in after[-2]


@pytest.mark.parametrize("groups", ["", "[dependency-groups]\ndev = ['pytest']\n"])
def test_a_group_with_the_web_server(project: Project, groups: str) -> None:
    project.write({"pyproject.toml": PROJECT + groups, "app.py": FLASK})
    done = project.run("init")
    assert "web server: gunicorn, by the group server that the settings select" in done.stderr
    written = tomllib.loads((project.folder / "pyproject.toml").read_text())
    assert written["dependency-groups"]["server"] == ["gunicorn"]
    assert ("dev" in written["dependency-groups"]) == bool(groups)
    assert written["tool"]["fapbuild"]["groups"] == ["server"]


def test_an_extra_or_a_group_that_has_the_web_server_is_selected() -> None:
    lock = {"uv.lock": '[[package]]\nname = "shop"\n', "app.py": FLASK}
    extra = '[project.optional-dependencies]\ndev = ["uwsgi"]\nweb = ["granian[uvloop]>=2"]\n'
    one = found({"pyproject.toml": PROJECT + extra, **lock})
    assert 'extras = ["web"]' in render(one, "tool.fapbuild")
    assert one.web
    assert one.web.command.endswith("granian --host 0.0.0.0 --interface wsgi app:app")
    group = '[dependency-groups]\ndev = ["gunicorn"]\ndocker = ["waitress"]\n'
    two = found({"pyproject.toml": PROJECT + group, **lock})
    assert 'groups = ["docker"]' in render(two, "tool.fapbuild")


def test_the_server_of_a_workspace_lock() -> None:
    lock = '[[package]]\nname = "shop"\ndependencies = [{name = "uvicorn"}]\n[[package]]\nname = "uvicorn"\n'
    files = {"pyproject.toml": PROJECT, "main.py": "app = FastAPI()\n", "../uv.lock": lock}
    web = detect(["main.py", "pyproject.toml"], files.__getitem__, "shop", "../uv.lock").web
    assert web
    assert web.selected


MANAGE = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("STATIC_ROOT = place('X', BASE_DIR.parent / 'static')", ["# outputs = [...]  # without it, "]),
        ("STATIC_ROOT = BASE_DIR / 'out'\nCOMPRESS_OFFLINE = True", ['--noinput", "python manage.py comp']),
        ("STATIC_ROOT = BASE_DIR / 'out'\nKEY = env('A_KEY')", ['environment = {A_KEY = "only-for-the']),
    ],
)  # fmt: skip
def test_the_step_that_collects(line: str, lines: list[str]) -> None:
    text = render(found({"manage.py": MANAGE, "shop/settings.py": line, "requirements.txt": "django"}), "")
    for part in lines:
        assert part in text


@pytest.mark.parametrize(
    ("named", "files", "chosen"),
    [
        ("shop.settings", {"shop/settings/__init__.py": "", "shop/settings/production.py": ""}, "production"),
        (
            "shop.settings",
            {"shop/settings/__init__.py": "", "shop/settings/live.py": "",
             "Dockerfile": "ENV DJANGO_SETTINGS_MODULE=shop.settings.live"},
            "live",
        ),
        (
            "shop.settings.local",
            {"shop/settings/local.py": "", "shop/settings/live.py": "", "shop/wsgi.py": "shop.settings.live"},
            "live",
        ),
        ("shop.settings", {"shop/settings/__init__.py": "from .base import *"}, ""),
    ],
)  # fmt: skip
def test_the_settings_of_hosts(named: str, files: dict[str, str], chosen: str) -> None:
    manage = MANAGE.replace("shop.settings", named)
    django = found({"manage.py": manage, "requirements.txt": "", **files}).django
    assert django
    assert [value for _, value in django.variables] == [f"shop.settings.{chosen}"] * bool(chosen)


def test_a_yarn_that_only_corepack_has() -> None:
    package = '{"packageManager": "yarn@4.1.0", "scripts": {"build": "vite build"}}'
    files = {
        "package.json": package,
        "yarn.lock": "",
        "requirements.txt": "",
        ".yarnrc.yml": "nodeLinker: pnp",
    }
    (one,) = found(files).frontends
    assert one.run == ("corepack yarn install --immutable", "corepack yarn run build")
    (two,) = found({**files, ".yarnrc.yml": "yarnPath: .yarn/releases/yarn-4.1.0.cjs"}).frontends
    assert two.run == ("yarn install --immutable", "yarn run build")


def test_a_module_of_settings_that_only_hosts_have() -> None:
    line = "place = os.getenv('SHOP_CONFIG', 'shop.configuration')\nother = os.getenv('X', 'shop.urls')\n"
    files = {"manage.py": MANAGE, "shop/settings.py": line, "shop/urls.py": "", "requirements.txt": ""}
    django = found({**files, "shop/configuration_testing.py": ""}).django
    assert django
    assert django.variables == (("SHOP_CONFIG", "shop.configuration_testing"),)


def test_a_front_end_whose_output_is_committed() -> None:
    files = {
        "web/package.json": '{"scripts": {"build": "vite build"}}',
        "web/vite.config.ts": "const OUT = resolve(ROOT, 'shop/static/');\nbuild: {outDir: OUT}\n",
        "requirements.txt": "",
    }
    assert 'directory = "web"' in render(found(files), "")
    built = found({**files, "shop/static/app.min.js": ""})
    assert "assets" not in render(built, "")
    assert any("what it builds is committed in shop/static)" in line for line in summary(built, ""))


def test_the_variables_that_settings_need() -> None:
    text = """
env = environ.Env(DEBUG=(bool, False))
A = os.environ["A_KEY"]
B = env("B_KEY")
C = env("C_KEY", default="")
D = env.db("D_URL")
E = config("E_ON", cast=bool)
F = os.environ.get("F_KEY")
G = os.getenv("G_KEY")
K = int(os.environ["K_SECONDS"])
L = _get_int_env("L_SECONDS")
H = env("DEBUG")
if DEBUG:
    I = env("I_KEY")
J = env("J_KEY", "x")
M = os.environ["M_KEY"] if "M_KEY" in os.environ else None
N = DEBUG or os.environ["N_KEY"]
"""
    assert dict(needed_variables([text])) == {
        "A_KEY": "only-for-the-build",
        "B_KEY": "only-for-the-build",
        "D_URL": "sqlite://:memory:",
        "E_ON": "false",
        "K_SECONDS": "1",
        "L_SECONDS": "1",
    }


@pytest.mark.parametrize("default", ["", ", None", ", ''", ", default=''"])
def test_a_secret_key_without_a_default(default: str) -> None:
    one = f"SECRET_KEY = os.environ.get('A_KEY'{default})\n"
    assert dict(needed_variables([one])) == {"A_KEY": "only-for-the-build"}
    assert dict(needed_variables(["SECRET_KEY = os.environ.get('A_KEY', 'x')\n"])) == {}


def test_variables_of_compose_alone_are_left_out() -> None:
    files = {".env": "# of compose\nCOMPOSE_PROJECT_NAME=shop\n", "a/.env": "COMPOSE_X=1\nKEY=1\n"}
    assert found(files).left_out == ("/.env",)


def test_names_that_differ_only_in_case_are_left_out_of_documentation() -> None:
    names = ["examples/READ", "examples/read", "examples/index", "shop/A.py", "shop/a.py"]
    assert found(dict.fromkeys(names, "")).left_out == ("/examples/READ", "/examples/read")


def test_documentation_with_secrets_is_left_out(project: Project) -> None:
    text = "Authorization: Basic bWU6YTlCOGM3RDZlNUY0"
    files = {"docs/api.rst": text, "docs/more.rst": "text", "app.py": FLASK, "pyproject.toml": PROJECT}
    files["extras/docker-compose.yml"] = text
    assert project.commit(files).run("init").returncode == 0
    written = tomllib.loads((project.folder / "pyproject.toml").read_text())
    assert written["tool"]["fapbuild"]["exclude"] == ["/docs/api.rst", "/extras/docker-compose.yml"]


def test_variables_of_developers_are_left_out() -> None:
    names = [
        "development.env",
        "shop/.pytestrc.env",
        "docker-compose.env",
        ".env.test",
        "docker-compose.dev.env",
    ]
    assert found(dict.fromkeys([*names, "shop.env", ".env"], "")).left_out == tuple(
        f"/{name}" for name in sorted(names)
    )


def test_a_lock_without_hashes_is_made_again() -> None:
    one = found({"requirements.in": "flask\n", "requirements.txt": "flask==3.0\n"})
    assert (one.requirements, one.lock, one.has_lock) == ("requirements.in", "requirements.txt", False)
    assert "  fapbuild lock" in summary(one, "")


def test_a_stale_lock_is_locked_again(project: Project) -> None:
    project.commit({"requirements.in": "greet\n", "requirements.txt": "", "pyproject.toml": ""})
    done = project.run("init")
    assert "lock: requirements.txt is stale: " in done.stderr
    assert "  fapbuild lock\n" in done.stderr
    assert "  git add pyproject.toml requirements.txt && " in done.stderr


def test_the_release_of_the_system(project: Project) -> None:
    done = detect([], lambda name: "", "shop", target="cp311.2-manylinux_2_36_x86_64")
    assert 'target = "cp311.2-manylinux_2_36_x86_64"' in render(done, "")
    assert any("cp311.2-manylinux_2_36_x86_64" in line for line in summary(done, ""))
