"""The command `fapbuild`: its arguments, its exit codes, and its output."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from artifact_store.artifact.archive import read_manifest
from artifact_store.blobs.open import make_store
from artifact_store.core.errors import FapError, UnreachableError, UsageError, VerificationError
from artifact_store.store.store import open_store
from fapbuild.cli import fapbuild
from tests.parts.project import PYPROJECT, Project

HEAVY = (
    *("boto3", "botocore", "paramiko", "httpx", "deflate", "cyclonedx", "pathspec", "packaging", "rich"),
    *("msgspec", "yaml", "jinja2"),
)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["pack", "--help"], *([name, "-h"] for name in sorted(fapbuild.commands))],
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('LOADED', *sorted(sys.modules), file=sys.stderr))\n"
        f"from fapbuild.cli import main; main({arguments!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: fapbuild")
    loaded = done.stderr.split("LOADED ")[1].split()
    assert [name for name in loaded if name.split(".")[0] in HEAVY] == []


@pytest.mark.parametrize("command", [[], *([name] for name in sorted(fapbuild.commands))])
def test_help_fits_80_columns_and_is_not_cut(project: Project, command: list[str]) -> None:
    shown = project.run(*command, "--help", COLUMNS="80").stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "..." not in shown.replace("[ARGS]...", "")


def test_pack_prints_path_and_digest_and_talks_elsewhere(project: Project) -> None:
    done = project.run("pack", "--version", "1.0")
    path, digest = done.stdout.split()
    assert path == "dist/shop-1.0.tgz"
    assert len(digest) == 64
    writing, packed = done.stderr.splitlines()[-2:]
    assert writing.startswith("wrote shop-1.0.tgz: ")
    assert packed.startswith("packed ")


def test_pack_prints_one_object(project: Project, tmp_path: Path) -> None:
    done = project.run("pack", "--json", "--version=1.0", "-o", str(tmp_path / "out" / "there"))
    facts = json.loads(done.stdout)
    path = tmp_path / "out" / "there" / "shop-1.0.tgz"
    assert sorted(facts) == ["app", "digest", "path", "root", "size", "version"]
    assert (facts["path"], facts["size"]) == (str(path), path.stat().st_size)
    assert path.stat().st_mode & 0o777 == 0o644
    assert sorted(name.name for name in path.parent.iterdir()) == [
        "shop-1.0.provenance.json",
        "shop-1.0.sbom.cdx.json",
        "shop-1.0.tgz",
    ]


def test_a_dry_run_shows_what_it_would_pack_and_writes_nothing(project: Project, local_lock: str) -> None:
    project.commit({"requirements.in": "greet\n", "requirements.txt": local_lock})
    done = project.run("pack", "--dry-run", "--version=1")
    assert done.returncode == 0
    assert done.stdout.startswith("would write dist/shop-1.tgz\n")
    assert "  app.py\n" in done.stdout
    assert "  greet==1.0\n" in done.stdout
    facts = json.loads(project.run("pack", "--dry-run", "--json", "--version=1").stdout)
    assert facts["wheels"] == ["greet==1.0", "left-pad==1.0"]
    assert not (project.folder / "dist").exists()


def test_push_stores_the_artifact_once(project: Project, tmp_path: Path) -> None:
    url = f"file://{tmp_path / 'store'}"
    refused = project.run("pack", "--push", url, "--version=1")
    assert (refused.returncode, (tmp_path / "store").exists()) == (1, False)
    make_store(url)
    facts = project.pack("--push", url, "--version=1", FAP_WHO="ci@example.org")
    record = open_store(url).artifacts.get("shop", "1")
    assert (record.digest, record.who) == (facts["digest"], "ci@example.org")
    assert "pushed: shop 1" in facts["talk"]
    assert "already in the store: shop 1" in project.pack("--push", url, "--version=1")["talk"]
    project.commit({"app.py": "other bytes"})
    done = project.run("pack", "--push", url, "--version=1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("hint: ")


def test_inspect_shows_app_version_and_commit(packed: Path, project: Project) -> None:
    done = project.run("inspect", str(packed))
    manifest = read_manifest(packed)
    assert done.stdout.splitlines()[:2] == [f"shop {manifest.version}", f"commit     {manifest.commit}"]
    assert json.loads(project.run("inspect", "--json", str(packed)).stdout)["app"] == "shop"


def test_inspect_refuses_other_files(project: Project) -> None:
    project.write({"page.tgz": "<html>404</html>"})
    assert project.run("inspect", "page.tgz").returncode == 6
    assert project.run("inspect", "absent.tgz").returncode != 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["pakc"], 2),
        (["pack", "--reff"], 2),
        (["pack", "--version", "a/b"], 2),
        (["pack", "-o", "app.py"], 2),
    ],
)
def test_usage_errors(project: Project, arguments: list[str], code: int) -> None:
    done = project.run(*arguments)
    assert done.returncode == code
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_full_disk_leaves_nothing(project: Project, tmp_path: Path) -> None:
    """A limit on file sizes makes a write fail as a full disk does: with an OSError in the middle."""
    project.commit({"large.bin": os.urandom(3_000_000)})
    project.pack("-o", str(tmp_path / "warm"))
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3_200_000, 3_200_000))\n"
        f"from fapbuild.cli import main; main(['pack', '-o', {str(tmp_path / 'out')!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.folder,
        env={**os.environ, **project.env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2].startswith("fapbuild: File too large")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_terminated_build_cleans_up(project: Project, tmp_path: Path) -> None:
    step = '[[tool.fapbuild.assets]]\nname = "slow"\nrun = ["touch $MARK; sleep 100"]\noutputs = ["x"]\n'
    mark = tmp_path / "mark"
    project.commit({"pyproject.toml": PYPROJECT + step.replace("$MARK", str(mark))})
    (tmp_path / "tmp").mkdir()
    started = subprocess.Popen(
        [sys.executable, "-m", "fapbuild", "pack"],
        cwd=project.folder,
        env={**os.environ, **project.env, "TMPDIR": str(tmp_path / "tmp")},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not mark.exists() and started.poll() is None:
        time.sleep(0.01)
    started.send_signal(signal.SIGTERM)
    _, talk = started.communicate(timeout=50)
    assert started.returncode == 130
    assert "interrupted; no incomplete artifact is left" in talk
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (project.folder / "dist").exists()


@pytest.mark.parametrize("store", ["", "s3:bucket", "https://artifacts.example.org"])
def test_a_store_that_takes_no_push_is_refused_before_anything_is_packed(
    project: Project, store: str
) -> None:
    done = project.run("pack", "--push", store)
    assert done.returncode == 2
    assert "hint: " in done.stderr
    assert not (project.folder / "dist").exists()


def test_help_lists_the_exit_codes(project: Project) -> None:
    said = project.run("--help").stdout
    for code, error in ((1, FapError), (2, UsageError), (6, VerificationError), (7, UnreachableError)):
        assert error.exit_code == code
        assert f"\n    {code} " in said
