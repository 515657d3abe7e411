"""Asset steps: their inputs, and which of their files are packed."""

import shutil
import tarfile
from pathlib import Path

import pytest

from fapbuild.assets import environment
from fapbuild.assets.tools import first_words
from fapbuild.project.config import Assets
from tests.parts.project import PYPROJECT, Project


def step(name: str = "front", directory: str = ".", *, run: str, outputs: str, more: str = "") -> str:
    return (
        f'[[tool.fapbuild.assets]]\nname = "{name}"\ndirectory = "{directory}"\n'
        f"run = {run}\noutputs = {outputs}\n{more}\n"
    )


def content(path: str, name: str) -> bytes:
    with tarfile.open(path) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


def test_only_declared_outputs_get_in(project: Project) -> None:
    text = PYPROJECT + step(
        directory="front",
        run='["mkdir ../static; cp a.ts ../static/app.js; touch a.pyc", "ln -s app.js ../static/new.js"]',
        outputs='["static"]',
    )
    project.commit({"pyproject.toml": text, "front/a.ts": "compiled"})
    path = project.pack()["path"]
    with tarfile.open(path) as tar:
        names = tar.getnames()
    assert content(path, "static/app.js") == b"compiled"
    assert "static/new.js" in names
    assert "front/a.pyc" not in names
    assert not (project.folder / "static").exists()
    assert not (project.folder / "front" / "a.pyc").exists()


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
        ('["true"]', '["x"]', "assets 'front' did not make x"),
        ('["mkdir x"]', '["x"]', "the output x is an empty folder"),
        (
            '["mkdir x; ln -s /etc/passwd x/link"]',
            '["x"]',
            "the symbolic link x/link -> /etc/passwd points outside",
        ),
        ('["ln -s /etc x"]', '["x"]', "the output x is outside the project"),
        ('["mkfifo x"]', '["x"]', "x is neither a file nor a symbolic link"),
        ('["echo > .env"]', '[".env"]', ".env looks like a secret"),
        ('["mkdir wheels; echo > wheels/a"]', '["wheels"]', "the name wheels is reserved"),
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


@pytest.mark.parametrize(
    ("run", "message", "hint"),
    [
        (
            '["mkdir z; touch x z/1"]',
            "wrote files that are not in its outputs:\n  z/1\n",
            'outputs = [..., "z/1"]',
        ),
        ('["mkdir -p a/b/c a/b/d; touch x y a/b/c/1 a/b/d/2"]', "  a/b/c/1\n", 'outputs = [..., "a/b"]'),
        ('["touch x; for i in 1 2 3 4 5 6 7; do touch $i; done"]', "  and 2 more", 'scratch = ["/1"]'),
        ('["touch x; ln -s /etc l"]', "not in its outputs:\n  l\n", "scratch"),
        ('["touch x; echo more >> app.py"]', "changed committed files:\n  app.py\n", "npm ci"),
        ('["touch x; chmod +x app.py"]', "changed committed files:\n  app.py\n", "npm ci"),
        (
            '["touch x; touch -r app.py r; sed -i s/hello/HELLO/ app.py; touch -r r app.py; rm r"]',
            "app.py",
            "",
        ),
        ('["touch x; rm app.py"]', "changed committed files:\n  app.py\n", "npm ci"),
        ('["touch x; rm app.py; ln -s pyproject.toml app.py"]', "changed committed files:", "npm ci"),
    ],
)
def test_a_step_that_writes_elsewhere_is_refused(project: Project, run: str, message: str, hint: str) -> None:
    done = project.commit({"pyproject.toml": PYPROJECT + step(run=run, outputs='["x"]')}).run("pack")
    assert done.returncode == 1
    assert message in done.stderr
    assert hint in done.stderr.splitlines()[-1]


def test_leftovers_of_tools_are_ignored(project: Project) -> None:
    run = """["mkdir -p node_modules/a .cache log; touch node_modules/a/b .cache/c log/d x",
        "cat app.py > app2; mv app2 app.py"]"""
    text = PYPROJECT + step(run=run, outputs='["x"]', more='scratch = ["log/"]')
    with tarfile.open(project.commit({"pyproject.toml": text}).pack()["path"]) as tar:
        assert not {"node_modules/a/b", ".cache/c", "log/d"} & set(tar.getnames())


def test_what_is_left_out_decides_what_a_step_gives(project: Project, tmp_path: Path) -> None:
    text = (
        PYPROJECT
        + '[[tool.fapbuild.assets]]\nname = "front"\nrun = ["touch out notes"]\ninputs = ["/app.py"]\n'
    )
    env = {"FAP_CACHE": str(tmp_path / "cache")}
    with tarfile.open(project.commit({"pyproject.toml": text}).pack(**env)["path"]) as tar:
        assert {"out", "notes"} <= set(tar.getnames())
    text += 'scratch = ["/notes"]\n'
    with tarfile.open(project.commit({"pyproject.toml": text}).pack(**env)["path"]) as tar:
        assert "out" in tar.getnames()
        assert "notes" not in tar.getnames()


def test_a_step_sees_its_inputs_only(project: Project) -> None:
    files = {"front/a.ts": "", "front/b.ts": "", "shared/c.ts": "", "static/old": ""}
    text = PYPROJECT + step(
        directory="front",
        run='["(cd ..; find . -type f | sort) > $HOME/list; mkdir ../static; mv $HOME/list ../static/list"]',
        outputs='["static"]',
        more='inputs = ["front/", "!front/b.ts", "/shared"]',
    )
    path = project.commit({"pyproject.toml": text, **files}).pack()["path"]
    assert content(path, "static/list") == b"./front/a.ts\n./shared/c.ts\n"
    assert content(path, "static/old") == b""


def test_inputs_that_match_nothing(project: Project) -> None:
    text = PYPROJECT + step(run='["true"]', outputs='["x"]', more='inputs = ["frnt/"]')
    done = project.commit({"pyproject.toml": text}).run("pack")
    assert "assets 'front': no committed file matches its inputs" in done.stderr


class Counted:
    def __init__(self, project: Project, mark: Path, env: dict[str, str]) -> None:
        self.project, self.mark, self.env = project, mark, env

    def config(self, *, run: str = "cat in > out; chmod +x out", more: str = "") -> str:
        more = f'inputs = ["/in"]\n{more}'
        return PYPROJECT + step(run=f'["echo x >> {self.mark}; {run}"]', outputs='["out"]', more=more)

    def runs(self, files: dict[str, str], **env: str) -> int:
        """Commit these files and pack; return how often the step has run."""
        path = self.project.commit(files).pack(**self.env, **env)["path"]
        assert content(path, "out") == content(path, "in")
        with tarfile.open(path) as tar:
            assert tar.getmember("out").mode == 0o755
        return self.mark.read_text().count("x")


@pytest.fixture
def counted(project: Project, tmp_path: Path) -> Counted:
    """A project whose step records each of its runs in a file."""
    return Counted(project, tmp_path / "ran", {"FAP_CACHE": str(tmp_path / "cache")})


def test_a_step_runs_again_only_for_other_inputs_commands_tools_or_variables(counted: Counted) -> None:
    version = counted.project.folder.parent / "version"
    version.write_text("1")
    more = f'tools = ["cat {version}"]\n'
    assert counted.runs({"in": "1", "pyproject.toml": counted.config(more=more)}) == 1
    assert counted.runs({"app.py": "other code"}) == 1
    assert counted.runs({"in": "2"}) == 2
    assert counted.runs({"in": "1"}) == 2
    version.write_text("2")
    assert counted.runs({"app.py": "third"}) == 3
    more += 'environment = {A = "1"}\n'
    assert counted.runs({"pyproject.toml": counted.config(more=more)}) == 4
    more += 'pass_env = ["TOKEN"]\n'
    assert counted.runs({"pyproject.toml": counted.config(more=more)}, TOKEN="1") == 5
    assert counted.runs({"app.py": "4"}, TOKEN="2") == 5, "credentials change from run to run"
    run = "cp in out; chmod +x out"
    assert counted.runs({"pyproject.toml": counted.config(run=run, more=more)}, TOKEN="1") == 6


def test_a_damaged_cache_does_no_harm(counted: Counted) -> None:
    assert counted.runs({"in": "1", "pyproject.toml": counted.config()}) == 1
    for blob in Path(counted.env["FAP_CACHE"]).glob("blobs/*/*"):
        blob.write_bytes(b"rotten")
    assert counted.runs({"app.py": "other"}) == 2


def test_a_variable_to_pass_that_is_not_set(project: Project) -> None:
    text = PYPROJECT + step(run='["true"]', outputs='["x"]', more='pass_env = ["SHOP_TOKEN"]')
    done = project.commit({"pyproject.toml": text}).run("pack")
    assert "pass_env names SHOP_TOKEN, which is not set" in done.stderr


def test_a_tool_that_is_not_there(project: Project) -> None:
    text = PYPROJECT + step(run='["true"]', outputs='["x"]', more='tools = ["sassc --version"]')
    done = project.commit({"pyproject.toml": text}).run("pack")
    assert "assets 'front': 'sassc --version' failed" in done.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("npm ci", ("npm",)),
        ("cd front && NODE_ENV=production npx webpack --mode x; (sass a b)", ("cd", "npx", "sass")),
        ("echo 'it's", ("echo",)),
        ("", ()),
    ],
)
def test_the_programs_of_a_line(line: str, words: tuple[str, ...]) -> None:
    assert first_words(line) == words


def test_a_step_with_the_vendored_packages(project: Project, local_lock: str) -> None:
    """`manage.py collectstatic` needs them; the venv is made as on hosts."""
    run = "[\"python -c 'import greet; print(greet.VERSION)' > out; greet >> out; echo $VIRTUAL_ENV >> out\"]"
    text = PYPROJECT + 'post_install = ["false"]\n' + step(run=run, outputs='["out"]', more="venv = true")
    project.commit({"pyproject.toml": text, "requirements.in": "greet\n", "requirements.txt": local_lock})
    facts = project.pack()
    *said, home = content(facts["path"], "out").decode().splitlines()
    assert said == ["1.0", "greet 1.0"]
    assert home.endswith("/venv")
    assert "made a venv for the assets in" in facts["talk"]


def test_a_step_with_packages_of_another_python(project: Project) -> None:
    text = PYPROJECT + step(run='["touch out"]', outputs='["out"]', more="venv = true")
    done = project.commit({"pyproject.toml": text}).run("pack", "--target", "cp314")
    assert done.returncode == 2
    assert "venv = true, but this machine is not cp314" in done.stderr


def test_a_step_gets_a_clean_environment(project: Project) -> None:
    text = PYPROJECT + step(
        run='["env | cut -d= -f1 | sort > names", "umask >> names; test -d $HOME; ls -A $HOME >> names"]',
        outputs='["names"]',
        more='environment = {MODE = "production"}\npass_env = ["TOKEN"]',
    )
    env = {"AWS_SECRET_ACCESS_KEY": "x", "NPM_CONFIG_REGISTRY": "https://x", "TOKEN": "t"}
    names = content(project.commit({"pyproject.toml": text}).pack(**env)["path"], "names").decode().split()
    expected = {"PATH", "HOME", "NPM_CONFIG_REGISTRY", "SOURCE_DATE_EPOCH", "LC_ALL", "TZ", "MODE", "TOKEN"}
    assert expected <= set(names)
    assert {"AWS_SECRET_ACCESS_KEY", "USER", "LOGNAME"}.isdisjoint(names)
    assert names[-1] == "0022"


def test_what_is_passed_on(tmp_path: Path) -> None:
    mine = {"PATH": "/bin", "https_proxy": "p", "HTTP_PROXY": "P", "TOKEN": "t", "npm_config_registry": "r"}
    step = Assets(name="front", run=(), outputs=(), environment={"PATH": "/opt"})
    assert environment(step, mine, tmp_path, Path("/caches")) == {
        "PATH": "/opt",
        "https_proxy": "p",
        "HTTP_PROXY": "P",
        "npm_config_registry": "r",
        "npm_config_cache": "/caches/npm",
        "XDG_CACHE_HOME": "/caches",
        "HOME": f"{tmp_path}/home",
        "TMPDIR": f"{tmp_path}/tmp",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SOURCE_DATE_EPOCH": "315532800",
    }


def test_a_failing_step_shows_its_first_and_last_lines(project: Project) -> None:
    run = '["seq 100; exit 4"]'
    done = project.commit({"pyproject.toml": PYPROJECT + step(run=run, outputs='["x"]')}).run("pack")
    assert "failed with exit code 4\n  1\n" in done.stderr
    assert "  8\n  …\n  61\n" in done.stderr
    assert "  100\n" in done.stderr


def test_a_missing_package_manager_is_said_before_anything_is_downloaded(
    project: Project, local_lock: str, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(str(shutil.which("git")))
    text = PYPROJECT + step(run='["pnpm install && pnpm build"]', outputs='["x"]')
    files = {"pyproject.toml": text, "requirements.in": "greet\n", "requirements.txt": local_lock}
    done = project.commit(files).run("pack", PATH=str(tmp_path / "bin"))
    assert done.returncode == 2
    assert "assets 'front' starts pnpm, which is not installed here" in done.stderr
    assert "hint: install it: npm install --global pnpm" in done.stderr
    assert "downloading" not in done.stderr


def undeclared(run: str) -> str:
    return PYPROJECT + f'[[tool.fapbuild.assets]]\nname = "front"\ndirectory = "web"\nrun = {run}\n'


def test_a_step_without_outputs_packs_what_it_writes(project: Project) -> None:
    leftovers = '"mkdir node_modules .angular", "echo 1 | tee node_modules/x > .angular/x"'
    lines = f'[{leftovers}, "mkdir out", "cp a.ts out/a.js", "echo 2 > b.ts"]'
    project.commit({"pyproject.toml": undeclared(lines), "web/a.ts": "1\n", "web/b.ts": "1\n"})
    for _ in range(2):
        facts = project.pack()
        with tarfile.open(facts["path"]) as tar:
            names = tar.getnames()
        assert {"web/out/a.js", "web/a.ts"} <= {*names}
        assert not any("node_modules" in name or ".angular" in name for name in names)
        assert content(facts["path"], "web/b.ts") == b"2\n"
        assert "assets front: its 2 files are packed, most of them in web\n" in facts["talk"]


def test_a_step_without_outputs_that_changes_a_lock(project: Project) -> None:
    run = '["echo 2 > package-lock.json; echo 1 > x"]'
    done = project.commit({"pyproject.toml": undeclared(run), "web/package-lock.json": "1"}).run("pack")
    assert done.returncode == 1
    assert "changed committed files:\n  web/package-lock.json" in done.stderr


def test_a_step_without_outputs_that_writes_elsewhere(project: Project) -> None:
    facts = project.commit({"pyproject.toml": undeclared('["true"]'), "web/a.ts": "1"}).pack()
    assert "warning: assets front: it wrote nothing in the project's folder" in facts["talk"]
