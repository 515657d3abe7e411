"""The project as a whole: its workflows, its distribution, and the walls between its packages."""

import ast
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest
import yaml

from artifact_store.artifact.manifest import Manifest
from tests.parts.repository import ROOT

HEAVY = {"boto3", "botocore", "paramiko", "httpx", "cryptography", "yaml", "rich", "deflate"}


def run(*argv: str | Path) -> str:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_workflows_are_valid() -> None:
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert [workflow.name for workflow in workflows] == ["ci.yml", "publish.yml", "release.yml"]
    run(
        Path(sys.executable).parent / "check-jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        *workflows,
    )


def test_each_job_of_the_example_pipeline_has_only_the_roles_it_needs() -> None:
    """GitHub itself is not asked here: the workflow is read as it stands."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    jobs = workflow["jobs"]
    roles = {
        name: re.findall(r"vars\.(AWS_\w+_ROLE)", json.dumps(job["steps"])) for name, job in jobs.items()
    }
    both = ["AWS_PROMOTE_ROLE", "AWS_RELEASE_ROLE"]
    assert roles == {"build": [], "push": ["AWS_BUILD_ROLE"], "staging": both, "production": both}
    tokens = {name for name, job in jobs.items() if "id-token" in job.get("permissions", ())}
    assert tokens == {"push", "staging", "production"}
    assert "id-token" not in workflow["permissions"]
    assert "concurrency" not in workflow, "a run that waits for an approval would block all others"
    assert all(job["timeout-minutes"] <= 30 for job in jobs.values())
    for stage in ("staging", "production"):
        steps = json.dumps(jobs[stage]["steps"])
        order = ["AWS_PROMOTE_ROLE", "fapstore promote", "AWS_RELEASE_ROLE", f"faprelease {stage}"]
        assert sorted(order, key=steps.index) == order


def test_the_trust_policy_names_an_environment_of_the_example_pipeline() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    environments = {job["environment"] for job in jobs.values() if "environment" in job}
    (statement,) = json.loads((ROOT / "docs" / "iam" / "trust-github.json").read_text())["Statement"]
    claims = {
        name.rpartition(":")[2]: value for name, value in statement["Condition"]["StringEquals"].items()
    }
    assert claims["aud"] == "sts.amazonaws.com"
    assert claims["sub"].removeprefix("repo:acme/shop:environment:") in environments


@pytest.mark.slow
def test_a_broken_workflow_would_be_found(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text((ROOT / ".github" / "workflows" / "ci.yml").read_text().replace("runs-on:", "run-on:"))
    done = subprocess.run(
        [
            Path(sys.executable).parent / "check-jsonschema",
            "--builtin-schema",
            "vendor.github-workflows",
            broken,
        ],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1


@pytest.mark.index  # the build backend comes from there
def test_the_wheel_holds_what_travels_to_hosts(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    travelling = [*(ROOT / "faprelease" / "host").rglob("*"), *(ROOT / "fapbuild" / "installer").iterdir()]
    expected = {
        str(path.relative_to(ROOT)) for path in travelling if path.is_file() and path.suffix != ".pyc"
    }
    assert {
        "faprelease/host/release/swap.sh",
        "faprelease/host/programs/unpack.py",
        "fapbuild/installer/install.sh",
    } <= expected
    assert expected <= names
    assert not [name for name in names if name.startswith(("tests/", "bench/", "examples/"))]


@pytest.mark.parametrize(
    "command",
    [
        "fapbuild --help",
        "fapbuild pack --help",
        "fapstore --help",
        "fapstore promote --help",
        "faprelease --help",
        "faprelease release --help",
        "faprelease status --help",
        "faprelease once --help",
    ],
)
def test_help_loads_nothing_heavy(command: str) -> None:
    name, *arguments = command.split()
    module = {"fapbuild": "fapbuild.cli", "fapstore": "artifact_store.cli", "faprelease": "faprelease.cli"}[
        name
    ]
    code = (
        f"import sys; sys.argv = {[name, *arguments]!r}\n"
        f"from {module} import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "print('loaded:', *sorted(sys.modules))"
    )
    loaded = run(sys.executable, "-c", code).rpartition("loaded:")[2].split()
    assert "click" in loaded
    assert HEAVY.isdisjoint(loaded)


def test_examples_install_is_the_installer() -> None:
    link = ROOT / "examples" / "install.sh"
    assert link.is_symlink()
    assert link.resolve() == ROOT / "fapbuild" / "installer" / "install.sh"


def test_the_schema_of_the_manifest_is_current() -> None:
    written = json.loads((ROOT / "docs" / "manifest.schema.json").read_text())
    current = json.loads(json.dumps(msgspec.json.schema(Manifest)))  # tuples become lists
    assert written == current, "write it again: msgspec.json.schema(Manifest)"


@pytest.mark.index
@pytest.mark.parametrize(
    ("extra", "brings", "leaves_out"),
    [
        ("build", {"build", "wheel", "pip-tools"}, {"paramiko", "pluggy", "boto3"}),
        ("release", {"paramiko", "pyyaml", "pluggy"}, {"build", "wheel", "pip-tools", "boto3"}),
        ("s3", {"boto3"}, {"build", "pip-tools", "paramiko"}),
    ],
)
def test_an_extra_brings_what_it_names_and_nothing_of_the_others(
    extra: str, brings: set[str], leaves_out: set[str], tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    options = ("--quiet", "--dry-run", "--ignore-installed", "--report", report)
    run(sys.executable, "-m", "pip", "install", *options, f"{ROOT}[{extra}]")
    found = {item["metadata"]["name"].lower() for item in json.loads(report.read_text())["install"]}
    assert brings <= found
    assert leaves_out.isdisjoint(found)


def imported(module: Path) -> set[str]:
    """The names of all that a module imports, each `from x import y` as `x` and as `x.y`."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: imports here are absolute"
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_no_module_imports_a_test_module() -> None:
    modules = [path for folder in ("tests", "bench", "examples") for path in (ROOT / folder).rglob("*.py")]
    guilty = {
        str(module.relative_to(ROOT)): sorted(names)
        for module in modules
        if (names := {name for name in imported(module) if re.search(r"\btests\b.*\.test_", name)})
    }
    assert guilty == {}, "what tests share lies in tests/parts"


@pytest.mark.parametrize(
    ("folder", "package"), [("build", "fapbuild"), ("release", "faprelease"), ("store", "artifact_store")]
)
def test_folders_of_tests_are_named_after_those_they_test(folder: str, package: str) -> None:
    tests = ROOT / "tests" / folder
    below = {path.parent.relative_to(tests) for path in tests.rglob("*.py")}
    assert len(below) > 1
    assert [str(path) for path in sorted(below) if not (ROOT / package / path).is_dir()] == []


def test_workers_are_chosen_by_what_tests_need() -> None:
    files = (ROOT / "tests").rglob("*.py")
    named = [path.name for path in files if "xdist" + "_group" in path.read_text()]
    assert named == ["conftest.py"], "mark tests with what they need; tests/conftest.py makes the groups"
