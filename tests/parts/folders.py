"""The lists of folders in docs/design.md, made of import-linter's contracts and of docstrings.

`python -m tests.parts.folders` writes them again.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.parts.repository import ROOT

PACKAGES = ("faprelease", "artifact_store", "fapbuild")
DESIGN = ROOT / "docs" / "design.md"
BEGIN, END = "<!-- folders: made by python -m tests.parts.folders -->\n", "<!-- end of folders -->\n"


def docstring(module: Path) -> str:
    """The docstring of a folder, or of a module that is given without its suffix."""
    files = [module.with_suffix(".py"), module / "__init__.py", module / "__main__.py"]
    file = next(file for file in files if file.is_file())
    return ast.get_docstring(ast.parse(file.read_text())) or ""


def first_sentence(module: Path) -> str:
    sentence = re.match(r".+?\.(?=\s|$)", docstring(module), re.DOTALL)
    assert sentence, f"{module} has no docstring"
    return " ".join(sentence[0].split())


def modules(package: str) -> set[str]:
    """The names of all folders and modules at the top of a package, private ones left out."""
    below = (ROOT / package).iterdir()
    names = {path.stem for path in below if path.suffix == ".py" or any(path.glob("*.py"))}
    return {name for name in names if not name.startswith("_")}


def rows(package: str) -> Iterator[tuple[str, str]]:
    """The layer of each module of a package (empty: none) and its name; the highest layer comes first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract.get("containers") == [package]]
    listed = set()
    for number, layer in zip(range(len(layers), 0, -1), layers, strict=True):
        for name in layer.split(" | "):
            listed.add(name)
            yield str(number), name
    for name in sorted(modules(package) - listed):
        yield "", name


def lists() -> Iterator[str]:
    for package in PACKAGES:
        yield f"### {package}\n"
        yield " ".join(docstring(ROOT / package).split("\n\n")[0].split()) + "\n"
        yield "| layer | module | what it is |\n|---|---|---|"
        for layer, name in rows(package):
            yield f"| {layer} | `{name}` | {first_sentence(ROOT / package / name)} |"
        yield ""


def written(page: str) -> str:
    """The page with its lists made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + "\n".join(lists()) + END + after


if __name__ == "__main__":
    DESIGN.write_text(written(DESIGN.read_text()))
