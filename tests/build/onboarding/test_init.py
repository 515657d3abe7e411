"""`fapbuild init`: what it detects in a project, and the settings it writes."""

import json
import shutil
import tomllib
from pathlib import Path

import pytest

from fapbuild.onboarding.detection import Django, Frontend, detect
from fapbuild.onboarding.init import render, summary
from fapbuild.project import config
from tests.parts.project import Project

HASHED = "flask==3.0 --hash=sha256:" + "1" * 64
SETTINGS = "import os\nfrom pathlib import Path\nBASE_DIR = Path(__file__).parent.parent\n"
FLASK = "from flask import Flask\napp = Flask(__name__)\n"
UVICORN = "exec env UVICORN_UDS=${FAP_BIND#unix:} UVICORN_PORT=${PORT##*/*} uvicorn --host 0.0.0.0"
FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"
WSGI = "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
ASGI = "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n"
MANAGE = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'


@pytest.mark.parametrize(
    ("files", "requirements", "lock", "locked"),
    [
        ({}, "", "", False),
        ({"requirements.in": "flask"}, "requirements.in", "requirements.txt", False),
        ({"requirements.in": "", "requirements.txt": HASHED}, "requirements.in", "requirements.txt", True),
        ({"requirements.txt": HASHED}, "", "requirements.txt", True),
        ({"requirements.txt": "flask==3.0"}, "requirements.txt", "requirements-lock.txt", False),
        ({"requirements/prod.txt": "flask"}, "requirements/prod.txt", "requirements/prod-lock.txt", False),
        ({"requirements/base.in": "flask"}, "requirements/base.in", "requirements/base.txt", False),
        ({"uv.lock": "", "requirements.txt": "flask"}, "", "uv.lock", True),
        ({"poetry.lock": "", "pyproject.toml": ""}, "", "poetry.lock", True),
        ({"pylock.toml": "", "uv.lock": ""}, "", "pylock.toml", True),
        ({"pyproject.toml": "[tool.poetry]\nname = 'x'"}, "", "poetry.lock", False),
        ({"pyproject.toml": "[project]\ndependencies = ['flask']"}, "", "requirements.txt", False),
    ],
)  # fmt: skip
def test_the_lock_that_fits(files: dict[str, str], requirements: str, lock: str, locked: bool) -> None:
    found = detect(sorted(files), lambda name: files[name], "shop")
    assert (found.requirements, found.lock, found.has_lock) == (requirements, lock, locked)


def test_the_lock_of_a_workspace_above(tmp_path: Path) -> None:
    member = tmp_path / "apps" / "web"
    member.mkdir(parents=True)
    (tmp_path / "uv.lock").write_text("")
    (tmp_path / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["apps/*"]\n')
    assert config.workspace_lock(member, [member.parent, tmp_path]) == "../../uv.lock"
    assert config.workspace_lock(tmp_path / "libs", [tmp_path]) == ""
    assert detect([], lambda name: "", "web", "../../uv.lock").lock == "../../uv.lock"


@pytest.mark.parametrize(
    ("script", "more", "outputs"),
    [
        ("vite build", {}, ("web/dist",)),
        ("vite build", {"web/vite.config.ts": "build: { outDir: '../static/app' }"}, ("static/app",)),
        ("rollup -c", {"web/rollup.config.mjs": "output: { file: 'out/bundle.js' }"}, ("web/out/bundle.js",)),
        (
            "rollup -c",
            {"web/rollup.config.mjs": "output: { sourcemap: true, file: 'a.js' }"},
            ("web/a.js", "web/a.js.map"),
        ),
        (
            "webpack --config conf/webpack.js --mode production",
            {"web/conf/webpack.js": "output: { path: path.resolve(__dirname, '..') }"},
            (),
        ),
        ("npm run css && npm run js", {}, ("web/a.css", "web/js")),
        ("esbuild app.js --bundle --outfile=static/app.js", {}, ("web/static/app.js",)),
        ("react-scripts build", {}, ("web/build",)),
        ("make", {}, ()),
        ("webpack -o ../../outside", {}, ()),
    ],
)
def test_what_a_front_end_writes(script: str, more: dict[str, str], outputs: tuple[str, ...]) -> None:
    files = {
        "web/package.json": json.dumps(
            {"scripts": {"build": script, "css": "postcss -o a.css b.css", "js": "tsc --outDir js"}}
        ),
        "web/package-lock.json": "{}",
        "docs/package.json": '{"scripts": {"build": "docusaurus"}}',
        **more,
    }
    (frontend,) = detect(sorted(files), lambda name: files[name], "shop").frontends
    assert frontend == Frontend("web", ("npm ci", "npm run build"), outputs, locked=True)


SASS = '"devDependencies": {"sass": "1"}'


@pytest.mark.parametrize(
    ("package", "more", "run"),
    [
        (  # what an image is made with comes before a script called build
            '{"scripts": {"build": "nuxt build", "generate": "nuxt generate"}}',
            {"docker/Dockerfile": "FROM node\nRUN yarn generate\n"},
            ("npm run generate",),
        ),
        (
            '{"scripts": {"build:css:sass": "sass a.scss a.css", "test": "jest"}}',
            {"Dockerfile": "RUN npm ci \\\n  && npm run build:css:sass && npm run test\n"},
            ("npm run build:css:sass",),
        ),
        (
            '{"scripts": {"build-dev": "webpack", "build-prod": "webpack", "build-demo": "webpack"}}',
            {"Makefile": "js:\n\tnpm run build-prod\ndev:\n\tnpm run build-dev\n"},
            ("npm run build-prod",),
        ),
        ('{"scripts": {"compile": "tsc", "compile:watch": "tsc -w"}}', {}, ("npm run compile",)),
        ('{"scripts": {"heroku-postbuild": "webpack", "start": "x"}}', {}, ("npm run heroku-postbuild",)),
        (
            '{"scripts": {"build": "vite build", "clean": "rm", "build-storybook": "sb"}}',
            {"Dockerfile": "RUN npm run clean && npm run build-storybook\n"},
            ("npm run build",),
        ),
        (
            f"{{{SASS}}}",
            {"Makefile": "css: a.scss\n\tnpx sass a\njs:\n\tnpx terser a\nhelp:\n\techo\n",
             "Dockerfile": "RUN make css\nRUN make js && make help\n"},
            ("make css", "make js"),
        ),
    ],
)  # fmt: skip
def test_a_front_end_is_built_by_the_lines_of_the_project(
    package: str, more: dict[str, str], run: tuple[str, ...]
) -> None:
    files = {"package.json": package, "package-lock.json": "{}", **more}
    project = detect(sorted(files), lambda name: files[name], "shop")
    (frontend,) = project.frontends
    assert frontend.run == ("npm ci", *run)


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        (f"{{{SASS}}}", "which command builds it with sass was not found"),
        (
            '{"scripts": {"build-a": "a", "build-b": "b"}}',
            "which of its scripts hosts need was not found: build-a, build-b",
        ),
    ],
)
def test_a_front_end_that_nobody_knows_how_to_build_is_named(package: str, reason: str) -> None:
    files = {"package.json": package, "package-lock.json": "{}"}
    project = detect(sorted(files), lambda name: files[name], "shop")
    assert f"front end: package.json (no step: {reason})" in summary(project, "fapbuild.toml")
    assert "assets" not in render(project, "")


def test_a_package_json_that_builds_nothing_is_no_front_end() -> None:
    files = {"package.json": '{"scripts": {"lint": "eslint"}, "devDependencies": {"eslint": "9"}}'}
    assert detect(sorted(files), lambda name: files[name], "shop").frontends == ()


@pytest.mark.parametrize(
    ("lock", "more", "run"),
    [
        ("bun.lock", {}, ("bun install --frozen-lockfile", "cd web/app && bun run build")),
        ("pnpm-lock.yaml", {}, ("pnpm install --frozen-lockfile", "cd web/app && pnpm run build")),
        ("yarn.lock", {}, ("yarn install --frozen-lockfile", "cd web/app && yarn run build")),
        ("yarn.lock", {".yarnrc.yml": ""}, ("yarn install --immutable", "cd web/app && yarn run build")),
    ],
)
def test_a_member_of_a_workspace_is_installed_at_its_top(
    lock: str, more: dict[str, str], run: tuple[str, str]
) -> None:
    files = {lock: "", "package.json": '{"workspaces": ["web/*"]}', **more}
    files["web/app/package.json"] = '{"scripts": {"build": "vite build"}}'
    (frontend,) = detect(sorted(files), lambda name: files[name], "shop").frontends
    assert frontend == Frontend(".", run, ("web/app/dist",), locked=True)
    assert frontend.name == "app"


@pytest.mark.parametrize(
    ("line", "static"),
    [
        ('STATIC_ROOT = BASE_DIR / "collected"', "site/collected"),
        ('STATIC_ROOT = os.path.join(BASE_DIR, "a/b")', "site/a/b"),
        ("STATIC_ROOT = str(BASE_DIR / 'static')", "site/static"),
        ("STATIC_ROOT = BASE_DIR + '/static'", "site/static"),
        ('STATIC_ROOT = os.environ["STATIC"]', ""),
    ],
)
@pytest.mark.parametrize("file", ["site/shop/settings.py", "site/shop/settings/base.py"])
def test_where_django_collects(line: str, static: str, file: str) -> None:
    settings = SETTINGS.replace(".parent.parent", ".parent.parent.parent") if "base" in file else SETTINGS
    files = {"site/manage.py": MANAGE, file: settings + line, "site/shop/wsgi.py": WSGI}
    found = detect(sorted(files), lambda name: files[name], "shop")
    assert found.django == Django("site", static)
    assert found.web
    assert found.web.command == "cd site && exec gunicorn --bind ${FAP_BIND:-0.0.0.0:${PORT:-8000}} shop.wsgi"


@pytest.mark.parametrize(
    ("base", "static"),
    [
        ("Path(__file__).resolve().parent", "site/shop/static"),
        ("Path(__file__).resolve().parent.parent", "site/static"),
        ("Path(__file__).resolve().parents[2]", "static"),
        ("os.path.dirname(os.path.dirname(os.path.abspath(__file__)))", "site/static"),
        ("environ.Path(__file__) - 3", "static"),
        ("OTHER.parent", "site/static"),
        ("os.path.dirname(OTHER)", "site/static"),
        ("Path(__file__).parents[9]", ""),
        ("load()", "site/static"),
    ],
)
def test_the_folder_that_the_settings_start_from(base: str, static: str) -> None:
    text = f"OTHER = Path(__file__).parent\nPROJECT_DIR = {base}\nSTATIC_ROOT = PROJECT_DIR / 'static'\n"
    files = {"site/manage.py": MANAGE, "site/shop/settings.py": text}
    found = detect(sorted(files), lambda name: files[name], "shop")
    assert found.django == Django("site", static)


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"app.py": FLASK}, "gunicorn --bind ${FAP_BIND:-0.0.0.0:${PORT:-8000}} app:app"),
        (
            {"app.py": FASTAPI, "requirements.txt": "uvicorn[standard]==1\n"},
            f"{UVICORN} app:app",
        ),
        (
            {"app.py": FLASK, "requirements.txt": "uvicorn-worker==1\n"},
            "gunicorn --bind ${FAP_BIND:-0.0.0.0:${PORT:-8000}} app:app",
        ),
        (
            {"app.py": FLASK, "uv.lock": '[[package]]\nname = "waitress"\n'},
            "waitress-serve --port=$PORT app:app",
        ),
        (
            {
                "pyproject.toml": '[project]\nname = "a"\ndependencies = [\n  "daphne>=4",\n]\n',
                "asgi.py": ASGI,
            },
            "daphne -e ${FAP_BIND:-tcp:port=${PORT:-8000}:interface=0.0.0.0} asgi:application",
        ),
        (
            {"site/manage.py": MANAGE, "site/shop/settings.py": SETTINGS, "site/shop/wsgi.py": WSGI},
            "cd site && exec gunicorn --bind ${FAP_BIND:-0.0.0.0:${PORT:-8000}} shop.wsgi",
        ),
    ],
)
def test_the_web_server_that_is_suggested(files: dict[str, str], command: str) -> None:
    detection = detect(sorted(files), lambda name: files[name], "shop")
    assert f"  printf 'web: {command}\\n' > Procfile" in summary(detection, "fapbuild.toml")


def test_what_django_settings_need_to_load_in_a_clean_tree(tmp_path: Path) -> None:
    """Like those of linkding: with folders that are not committed, and developers' settings that win."""
    text = SETTINGS + (
        'STATIC_ROOT = BASE_DIR / "static"\nA = os.path.join(BASE_DIR, "data", "queue", "tasks.sqlite3")\n'
        'B = BASE_DIR / "var" / "db.sqlite3"\nC = BASE_DIR / "shop" / "dictionary.txt"\n'
        'FOLDER = BASE_DIR / "media" / "pictures"\nD = BASE_DIR / "db.sqlite3"\n'
    )
    files = {
        ".dockerignore": "*\n!shop\n # no\n/shop/settings/dev.py\ntests.py\nREADME.md\n",
        "README.md": "",
        "shop/tests/.env": "",
        "site/manage.py": MANAGE,
        "site/shop/dictionary.txt": "",
        "site/shop/settings.py": text,
        "shop/settings/dev.py": "",
    }
    found = detect(sorted(files), lambda name: files[name], "shop")
    assert found.django == Django("site", "site/static", ("data/queue", "var"))
    (tmp_path / "fapbuild.toml").write_text(render(found, ""))
    settings = config.load(tmp_path).settings
    assert settings.exclude == ("/shop/settings/dev.py", "/shop/tests/.env")
    (static,) = settings.assets
    assert static.run == ("mkdir -p data/queue var", "python manage.py collectstatic --noinput")
    assert static.inputs == ("*", "!/shop/settings/dev.py")
    assert static.scratch == ("/site/data/queue/", "/site/var/")


@pytest.mark.parametrize("prefix", ["", "tool.fapbuild"])
def test_what_is_written_is_read_again(tmp_path: Path, prefix: str) -> None:
    """Everything that can be detected at once, with names that need quoting."""
    files = {
        "pyproject.toml": (
            '[build-system]\nrequires = []\n[project]\nname = "shop"\nrequires-python = ">=3.11"\n'
            '[project.optional-dependencies]\n"a\\"b" = []\n[dependency-groups]\nworker = []\ndev = []\n'
        ),
        "uv.lock": "",
        "src/shop/__init__.py": "",
        "install.sh": "",
        "we b/package.json": '{"scripts": {"build": "x -o \\"o u t\\" && y -o äé.css"}}',
        "manage.py": MANAGE,
        "shop/settings.py": SETTINGS + 'STATIC_ROOT = BASE_DIR / "static"',
    }
    found = detect(sorted(files), lambda name: files[name], "folder")
    text = render(found, prefix)
    if prefix:
        (tmp_path / "pyproject.toml").write_text(files["pyproject.toml"] + text)
    else:
        (tmp_path / "fapbuild.toml").write_text(text)
    settings = config.load(tmp_path).settings
    assert (settings.app, settings.lock, settings.package) == ("shop", "uv.lock", True)
    assert settings.exclude == ("/install.sh",)
    assert [(step.name, step.directory, step.venv) for step in settings.assets] == [
        ("we b", "we b", False),
        ("static", ".", True),
    ]
    assert "# groups = " in text
    assert "dev" not in tomllib.loads(text)


def test_a_project_is_packed_with_what_init_writes(project: Project, local_lock: str) -> None:
    (project.folder / "pyproject.toml").unlink()
    project.write(
        {
            "requirements.in": "greet\n",
            "requirements.txt": local_lock,
            "package.json": '{"scripts": {"build": "cp app.js built.js # -o built.js"}}',
            "package-lock.json": '{"lockfileVersion": 3, "packages": {"": {}}}',
            "app.js": "1",
        }
    )
    done = project.run("init")
    assert (done.returncode, done.stdout) == (0, f"{project.folder / 'fapbuild.toml'}\n")
    assert "dependencies: requirements.in, locked in requirements.txt\n" in done.stderr
    assert "  fapbuild pack\n" in done.stderr
    path = project.commit().pack()["path"]
    assert "built.js" in project.run("inspect", "--json", path).stdout
    again = project.run("init")
    assert again.returncode == 2
    assert "fapbuild.toml already exists" in again.stderr


def test_pyproject_is_added_to_and_never_overwritten(project: Project) -> None:
    before = '[project]\nname = "Shop"\ndependencies = ["greet"]\n# the end, without a newline'
    project.write({"pyproject.toml": before})
    (project.folder / "pyproject.toml").chmod(0o600)
    assert project.run("init").returncode == 0
    after = (project.folder / "pyproject.toml").read_text()
    assert after.startswith(f"{before}\n\n[tool.fapbuild]\n")
    assert (project.folder / "pyproject.toml").stat().st_mode & 0o777 == 0o600
    assert project.run("init").returncode == 2
    assert (project.folder / "pyproject.toml").read_text() == after
    assert project.run("lock").returncode == 0
    assert "warning" not in project.commit().pack()["talk"]


def test_a_pyproject_that_can_not_be_added_to(project: Project) -> None:
    text = "tool = {black = {}}\n"
    project.write({"pyproject.toml": text})
    done = project.run("init")
    assert done.stdout == f"{project.folder / 'fapbuild.toml'}\n"
    assert (project.folder / "pyproject.toml").read_text() == text
    assert config.load(project.folder).settings.app == "project"


def test_a_broken_pyproject_is_left_alone(project: Project) -> None:
    project.write({"pyproject.toml": "[tool"})
    done = project.run("init")
    assert done.returncode == 2
    assert "pyproject.toml: " in done.stderr


def test_outside_of_git(tmp_path: Path, project: Project) -> None:
    shutil.rmtree(project.folder / ".git")
    done = project.run("init")
    assert done.returncode == 1
    assert "hint: fapbuild packs committed files: git init" in done.stderr


def test_dependencies_that_only_setup_py_knows() -> None:
    setup = (
        "from setuptools import setup\nsetup(name='shop', packages=['shop'], install_requires=['flask'])\n"
    )
    files = {"setup.py": setup, "shop/__init__.py": ""}
    found = detect(sorted(files), lambda name: files[name], "shop")
    assert (found.lock, found.has_lock, found.package) == ("requirements.txt", False, True)
    lines = summary(found, "fapbuild.toml")
    assert lines[0] == "dependencies: setup.py, to be locked in requirements.txt"
    assert "  fapbuild lock" in lines


CELERY = "from celery import Celery\napp = Celery('shop')\n"


@pytest.mark.parametrize(
    ("files", "packages", "lines"),
    [
        ({"s/__init__.py": "", "s/celery.py": CELERY}, "celery", "worker: celery -A s.celery worker\\n"),
        ({"jobs.py": CELERY}, "celery[redis]", "worker: celery -A jobs worker\\n"),
        (
            {"site/manage.py": MANAGE, "site/shop/settings.py": "INSTALLED_APPS = ['django_rq']\n"},
            "django-rq",
            "worker: cd site && exec python manage.py rqworker\\n",
        ),
    ],
)  # fmt: skip
def test_workers_that_are_found(files: dict[str, str], packages: str, lines: str) -> None:
    files = {**files, "app.py": FLASK, "requirements.txt": f"gunicorn\n{packages}\n"}
    detection = detect(sorted(files), lambda name: files[name], "shop")
    line = "gunicorn --bind ${FAP_BIND:-0.0.0.0:${PORT:-8000}} app:app"
    assert f"  printf 'web: {line}\\n{lines}' > Procfile" in summary(detection, "fapbuild.toml")


def test_a_worker_that_is_not_found_is_said() -> None:
    files = {"a.py": CELERY, "b.py": CELERY, "requirements.txt": "celery\ndramatiq\n"}
    lines = summary(detect(sorted(files), lambda name: files[name], "shop"), "fapbuild.toml")
    assert [line.split(" is among")[0] for line in lines if line.startswith("worker: ")] == [
        "worker: celery",
        "worker: dramatiq",
    ]


def test_files_of_developers_that_look_like_secrets_are_left_out() -> None:
    files = ["compose.yaml", ".env", ".env.web", "docker/.env.prod", "tests/key.pem", "shop/.env", "web/.env"]
    files += ["web/docker-compose.dev.yml"]
    found = detect(sorted(files), lambda name: "", "shop")
    left_out = ["/.env", "/.env.web", "/docker/.env.prod", "/tests/key.pem", "/web/.env"]
    assert list(found.left_out) == left_out
