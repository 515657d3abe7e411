"""Files and commits that are refused, and the hints."""

import os
import tarfile
import time
from pathlib import Path

import pytest

from artifact_store.core.errors import UsageError
from fapbuild.archive.members import TarEntry
from fapbuild.cache import Cache
from fapbuild.guards import secret_scan
from fapbuild.guards.files import check_files, check_secret_names, check_sizes
from fapbuild.guards.secret_scan import ScannedFile, SecretFinding
from fapbuild.project.config import Allowed, BuildSettings
from tests.parts.made_up_secrets import SECRETS
from tests.parts.project import PYPROJECT, Project


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.mark.parametrize("path", [".env", "conf/.env.production", "id_rsa", "certs/Server.PEM", ".netrc"])
def test_secrets_by_name_are_refused_unless_allowed(path: str, cache: Cache) -> None:
    entries = [TarEntry("app.py", 0o644, 0, b""), TarEntry(path, 0o644, 0, b"")]
    with pytest.raises(UsageError, match="looks like a secret") as caught:
        check_files(entries, {}, BuildSettings(), cache)
    assert f'allow = [{{path = "/{path}", reason = "why"}}]' in caught.value.hint
    check_files(entries, {}, BuildSettings(allow=(Allowed(path=f"/{path}", reason="made up"),)), cache)


def test_examples_are_no_secrets() -> None:
    check_secret_names([".env.example", "conf/.env.sample", "environment.py", "monkey.py"])


def test_a_committed_secret_stops_the_build(project: Project) -> None:
    project.commit({"config/.env": "PASSWORD=x"})
    done = project.run("pack")
    assert done.returncode == 2
    assert "config/.env looks like a secret" in done.stderr
    project.commit({"pyproject.toml": PYPROJECT + 'exclude = [".env"]\n'})
    with tarfile.open(project.pack()["path"]) as tar:
        assert "config/.env" not in tar.getnames()


@pytest.mark.parametrize("kind", SECRETS)
def test_secrets_in_texts_are_refused_by_line_and_never_shown(project: Project, kind: str) -> None:
    secret = SECRETS[kind]
    project.commit({"conf/prod.py": f"import os\n\nTOKEN = '{secret}'\n"})
    done = project.run("pack")
    assert done.returncode == 2
    assert f"  conf/prod.py line 3: {kind}" in done.stderr
    assert "environment in deploy.yml" in done.stderr
    assert secret not in done.stdout + done.stderr
    allow = 'allow = [{path = "/conf/prod.py", reason = "revoked"}]\n'
    project.commit({"pyproject.toml": PYPROJECT + allow}).pack()


def test_a_secret_that_an_asset_step_writes_is_refused_too(project: Project) -> None:
    run = f"printf '{SECRETS['AWS Access Key']}' > made.js"
    step = f'[[tool.fapbuild.assets]]\nname = "front"\nrun = ["{run}"]\noutputs = ["made.js"]\n'
    done = project.commit({"pyproject.toml": PYPROJECT + step}).run("pack")
    # The commands of the step are in pyproject.toml, so that contains the secret too.
    assert "pyproject.toml line" in done.stderr
    split = run.replace("AKIA", "AK'I'A")
    step = step.replace(run, split)
    done = project.commit({"pyproject.toml": PYPROJECT + step}).run("pack")
    assert "  made.js line 1: AWS Access Key" in done.stderr


def test_texts_that_hold_no_secret(tmp_path: Path, cache: Cache) -> None:
    texts = {
        "package-lock.json": '{"integrity": "sha512-' + "q7" * 40 + '=="}',
        "requirements.txt": f"flask==3.0 --hash=sha256:{'0123456789abcdef' * 4}\n",
        "settings.py": 'SECRET_KEY = os.environ["SECRET_KEY"]\nURL = "postgres://user:password@db/shop"\n',
        "image.bin": f"\0{SECRETS['Private Key']}",
        "sure.py": f"KEY = '{SECRETS['AWS Access Key']}'  # pragma: allowlist secret\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    assert (
        secret_scan.scan([ScannedFile(name, tmp_path / name, text) for name, text in texts.items()], cache)
        == ()
    )


def test_a_thousand_files_are_read_in_a_moment_and_then_not_again(tmp_path: Path, cache: Cache) -> None:
    """Alone on a core it takes 0.4 s; one file through detect-secrets itself takes 8 ms."""
    text = "".join(f"def function_{number}(self):\n    return {{'key': {number}}}\n" for number in range(100))
    texts = []
    for number in range(1000):
        path = tmp_path / f"{number}.py"
        path.write_text(text)
        texts.append(ScannedFile(path.name, path, "same"))
    start = time.process_time()
    assert secret_scan.scan(texts, cache) == ()
    first = time.process_time() - start
    assert first < 3
    secret = f"\nKEY = '{SECRETS['AWS Access Key']}'\n"
    (tmp_path / "77.py").write_text(secret)
    start = time.process_time()
    assert secret_scan.scan(texts, cache) == (), "by its digest it did not change"
    assert time.process_time() - start < first / 2
    changed = [ScannedFile("77.py", text.place, "other") if text.path == "77.py" else text for text in texts]
    assert secret_scan.scan(changed, cache) == (SecretFinding("77.py", 2, "AWS Access Key"),)
    assert secret_scan.scan(changed, cache) == (SecretFinding("77.py", 2, "AWS Access Key"),)


def test_many_secrets_are_counted(project: Project) -> None:
    project.commit({f"{number}.py": f"KEY = '{SECRETS['AWS Access Key']}'\n" for number in range(8)})
    assert "and 3 more" in project.run("pack").stderr


def test_large_files_are_refused(project: Project) -> None:
    entry = TarEntry("data/model.bin", 0o644, 1_000_001, b"")
    with pytest.raises(UsageError, match=r"data/model.bin has 1 MB, but file_limit is 1 MB"):
        check_sizes([entry], 1)
    check_sizes([entry], 2)
    project.commit({"pyproject.toml": PYPROJECT + "file_limit = 1\n", "big": os.urandom(1_000_001)})
    done = project.run("pack")
    assert done.returncode == 2
    assert 'exclude = ["/big"]' in done.stderr


@pytest.fixture
def cloned(project: Project, tmp_path: Path) -> Project:
    """The project, with a remote that has all its commits."""
    project.git("clone", "--quiet", "--bare", ".", str(tmp_path / "remote.git"))
    project.git("remote", "add", "origin", str(tmp_path / "remote.git"))
    project.git("fetch", "--quiet")
    return Project(project.folder, {**project.env, "CI": ""})


def test_a_commit_that_was_not_pushed_is_refused(cloned: Project) -> None:
    cloned.pack()
    cloned.commit({"app.py": "new"})
    done = cloned.run("pack")
    assert done.returncode == 2
    assert "has not been pushed" in done.stderr
    assert "hint: git push" in done.stderr
    mine = cloned.pack("--allow-unpushed")["digest"]
    assert cloned.pack("--ref=HEAD~1")["version"] != cloned.pack("--allow-unpushed")["version"]
    cloned.git("push", "--quiet", "origin", "main")
    assert cloned.pack()["digest"] == mine


@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize("depth", ["--depth=1", "--depth=20"])
def test_a_commit_that_was_fetched_as_a_tag_alone_was_pushed(
    cloned: Project, tmp_path: Path, depth: str, annotated: bool
) -> None:
    cloned.git("tag", *(("--annotate", "--message=one") if annotated else ()), "v1")
    cloned.git("push", "--quiet", "origin", "v1")
    job = Project(tmp_path / "job", cloned.env)
    job.folder.mkdir()
    job.git("init", "--quiet")
    job.git("remote", "add", "origin", f"file://{tmp_path}/remote.git")
    # What GitLab's runner and actions/checkout do for a tag.
    job.git("fetch", "--quiet", depth, "origin", "+refs/tags/v1:refs/tags/v1")
    job.git("checkout", "--quiet", "--force", "v1")
    job.pack()
    job.commit({"app.py": "only here"})
    done = job.run("pack")
    assert (done.returncode, "has not been pushed" in done.stderr) == (2, True)


def test_a_shallow_clone_of_a_tag_was_pushed(cloned: Project, tmp_path: Path) -> None:
    cloned.commit({"app.py": "new"}).git("push", "--quiet", "origin", "HEAD:refs/tags/v2")
    source, job = f"file://{tmp_path}/remote.git", Project(tmp_path / "job", cloned.env)
    cloned.git("clone", "--quiet", "--depth=1", "--branch=v2", source, str(job.folder))
    job.pack()


def test_names_that_are_not_here_any_more_prove_nothing(cloned: Project) -> None:
    cloned.commit({"app.py": "new"})
    (cloned.folder / ".git" / "FETCH_HEAD").write_text(f"{'1' * 40}\t\tbranch 'x' of elsewhere\n-\n\n")
    assert "has not been pushed" in cloned.run("pack").stderr


def test_what_ci_has_checked_out_was_pushed(cloned: Project) -> None:
    """A checkout of a tag has no remote branches."""
    cloned.commit({"app.py": "new"}).pack(CI="true")


def test_a_dirty_tree_needs_no_second_flag(cloned: Project) -> None:
    cloned.commit({"app.py": "new"}).write({"app.py": "newer"})
    assert "+dirty" in cloned.pack("--allow-dirty")["version"]


def test_sdists_in_the_tree_are_refused(project: Project) -> None:
    done = project.commit({"wheels/left-pad-1.0.tar.gz": b"\0"}).run("pack")
    assert done.returncode == 2
    assert 'exclude = ["/wheels"]' in done.stderr


def test_all_that_looks_like_a_secret_is_named_at_once(project: Project) -> None:
    token = f"TOKEN = 'ghp_{'aB3dE6gH9' * 4}'\n"
    project.commit({".env.docker": "X=1\n", "a/.env": "X=1\n", "settings.py": token})
    done = project.run("pack")
    assert done.returncode == 2
    for name in (".env.docker", "a/.env", "settings.py line 1"):
        assert f"\n  {name}" in done.stderr
    lines = '\n  {path = "/.env.docker", reason = "why"},\n  {path = "/a/.env", reason = "why"},\n'
    assert f"allow = [{lines}]" in done.stderr


def test_harmless_forms_pass(project: Project) -> None:
    certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    public = "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n"
    project.commit(
        {
            ".env.local.example": "X=1\n",
            "certs/ca-bundle.pem": certificate * 2 + public,
            "docs/settings.rst": f"AWS_SES_SECRET_ACCESS_KEY = '{'Y' * 40}'\n",
        }
    )
    project.pack()
    private = certificate + "-----BEGIN " + "PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"
    done = project.commit({"certs/ca-bundle.pem": private}).run("pack")
    assert "certs/ca-bundle.pem looks like a secret" in done.stderr
    assert (
        "certs/empty.pem looks"
        in project.commit({"certs/ca-bundle.pem": certificate, "certs/empty.pem": ""}).run("pack").stderr
    )
