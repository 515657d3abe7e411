"""The documentation as a whole: paths and links lead somewhere, and lists are complete."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from tests.parts.folders import DESIGN, PACKAGES, modules, rows, written
from tests.parts.pages import CODE, DOCS, PAGES
from tests.parts.repository import ROOT

TEXTS = sorted([*PAGES, *DOCS.glob("*.toml"), *DOCS.glob("*.yml"), *(ROOT / "examples").glob("*/*.yml")])
IN_A_PACKAGE = rf"(?:{'|'.join(PACKAGES)})/[\w./-]*\w"
PATH = re.compile(
    rf"(?<![\w./<>-])({IN_A_PACKAGE}|(?:tests|bench|examples)/[\w./-]*\w|\w[\w.-]*/[\w./-]+\.(?:py|sh)\b)"
)
SOURCES = {".py", ".sh", ".toml", ".yml"}
MODULE = re.compile(rf"(?<![\w./-])((?:{'|'.join(PACKAGES)})(?:\.[a-z_]+)+)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
STATUS = r"((?:accepted|proposed|superseded by \[\d+\]).*(?:\n  .*)*)"
DECISION = re.compile(rf"# (\d+\. .+)\n\n- Status: {STATUS}\n- Date: (\d{{4}}-\d\d-\d\d).*\n\n")
CHANGELOG = ROOT / "CHANGELOG.md"


def test_the_design_lists_every_folder_in_the_words_of_its_docstring() -> None:
    page = DESIGN.read_text()
    assert page == written(page), "to write it again: python -m tests.parts.folders"
    for package in PACKAGES:
        assert modules(package) == {name for _, name in rows(package)}


def test_the_folders_for_hosts_are_listed() -> None:
    host = ROOT / "faprelease" / "host"
    rows = re.findall(r"^\| `\w+/.*?\|", (host / "README.md").read_text(), re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(\w+)/`", row)}
    assert listed == {path.parent.name for path in host.glob("*/*")} - {"__pycache__"}


def unknown_paths(text: str, folder: Path = ROOT) -> set[str]:
    """The paths in a text that are neither of the repository nor of the folder that the text is in."""
    paths = set(PATH.findall(text))
    return {path for path in paths if not ((ROOT / path).exists() or (folder / path).exists())}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_and_module_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    assert unknown_paths(text, page.parent) == set()
    for name in set(MODULE.findall(text)) - {"fapbuild.toml"}:
        package, module, *_ = name.split(".")
        public = import_module(package).__all__
        assert module in modules(package) or module in public, name


IN_CODE = re.compile(rf"(?<![\w./-])(?:{IN_A_PACKAGE}\.(?:py|sh)|docs/[\w./-]*\w\.(?:md|toml|yml|json))\b")


def test_every_module_and_page_that_code_names_exists() -> None:
    """Code means comments, docstrings, and hints for users."""
    folders = (*PACKAGES, "bench", "examples", "tests")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.*") if path.suffix in SOURCES]
    sources = [path for path in files if "node_modules" not in path.parts]
    named = {(path, source) for source in sources for path in IN_CODE.findall(source.read_text())}
    made_up = {"faprelease/no_such.py", "docs/package.json"}  # in tests
    assert ("docs/reference/plugins.md", ROOT / "faprelease/plugin.py") in named
    assert {
        (path, str(source.relative_to(ROOT)))
        for path, source in named
        if path not in made_up and not (ROOT / path).exists()
    } == set()


def test_a_wrong_path_would_be_found() -> None:
    text = "see `faprelease/no_such.py`, host/gone.sh, `tests/no_such/`, faprelease/cli and <app>/stages/x.py"
    assert unknown_paths(text) == {"faprelease/no_such.py", "host/gone.sh", "tests/no_such"}


def anchors(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(CODE.sub("", page.read_text())):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_decisions_have_their_parts_and_are_all_in_the_index() -> None:
    folder = DOCS / "decisions"
    parts = ["Context", "Decision", "Alternatives", "Consequences"]
    rows = []
    for number, page in enumerate(sorted(folder.glob("[0-9]*.md")), 1):
        text = page.read_text()
        head = re.match(DECISION, text)
        assert head, f"{page.name}: a title, Status and Date, as in template.md"
        title, status, date = (" ".join(part.split()) for part in head.groups())
        assert re.match(f"{number:04}-", page.name)
        assert title.startswith(f"{number}. ")
        assert re.findall("^## (.+)$", text, re.MULTILINE) == parts, page.name
        rows.append(f"| {number} | [{title.partition('. ')[2]}]({page.name}) | {status} | {date} |")
    assert rows
    index = (folder / "README.md").read_text().split("\n")
    assert [line for line in index if re.match(r"\| \d", line)] == rows
    assert re.findall("^## (.+)$", (folder / "template.md").read_text(), re.MULTILINE) == parts


def towncrier(folder: Path) -> subprocess.CompletedProcess[str]:
    argv = [Path(sys.executable).parent / "towncrier", "build", "--draft", "--version", "next"]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)


def test_the_changelog_has_this_version_and_its_fragments_make_the_next() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$", CHANGELOG.read_text(), re.MULTILINE)
    done = towncrier(ROOT)
    assert done.returncode == 0, done.stderr
    for fragment in (ROOT / "changelog.d").glob("*.*.md"):
        assert " ".join(fragment.read_text().split()) in " ".join(done.stdout.split()), fragment.name


def test_a_fragment_of_an_unknown_kind_would_be_found(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(CHANGELOG, tmp_path)
    (tmp_path / "changelog.d").mkdir()
    (tmp_path / "changelog.d/+a.mended.md").write_text("A is mended.")
    done = towncrier(tmp_path)
    assert done.returncode == 1
    assert "+a.mended.md" in done.stderr


@pytest.mark.parametrize("module", [*PACKAGES, "faprelease.plugin"])
def test_the_page_of_the_python_api_shows_the_examples_of_the_docstrings(module: str) -> None:
    lines = (import_module(module).__doc__ or "").split("\n")
    indented = [number for number, line in enumerate(lines) if line.startswith("    ")]
    example = "\n".join(lines[indented[0] : indented[-1] + 1])
    page = (DOCS / "reference/python.md").read_text()
    assert f"## {module}\n\n{example}\n" in page


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_of_a_page_fit_120_columns(page: Path) -> None:
    """Rows of tables may be longer, and fragments of the changelog are wrapped when it is made."""
    lines = [] if page.parent.name == "changelog.d" else page.read_text().split("\n")
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []
