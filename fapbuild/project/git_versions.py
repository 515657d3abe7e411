"""Which packages ask git while they are built: for their version, or for the files that belong to them."""

import re
from pathlib import Path
from typing import Any

from artifact_store.core import toml_text
from fapbuild.project.config import PYPROJECT, subtable

VARIABLES = r"(SETUPTOOLS_SCM|VCS_VERSIONING)_PRETEND_\w+|PBR_VERSION"
"""Variables that give a version in place of git."""
_REQUIREMENT = r"(?i)scm|vcs|git|version|dunamai|^pbr\b"
"""setuptools-scm, hatch-vcs, versioningit, versioneer, poetry-dynamic-versioning, setuptools-git, pbr, …"""
_TABLES = (
    "setuptools_scm",
    "setuptools-git-versioning",
    "versioningit",
    "versioneer",
    "poetry-dynamic-versioning",
)
_TEXT = r"\bgit\b|scm|versioneer|\bpbr\b"


def asks_git(folder: Path) -> bool:
    """Whether the build of the package in `folder` seems to ask git."""
    try:
        pyproject = toml_text.loads((folder / PYPROJECT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pyproject = {}
    return _requires(pyproject) or any(
        re.search(_TEXT, _text(folder / name)) for name in ("setup.py", "setup.cfg")
    )


def _requires(pyproject: dict[str, Any]) -> bool:
    tool = subtable(pyproject, "tool")
    requires = subtable(pyproject, "build-system").get("requires")
    names = [str(line) for line in requires] if isinstance(requires, list) else []
    if any(re.search(_REQUIREMENT, re.split(r"[\s<>=!~;\[(]", name, maxsplit=1)[0]) for name in names):
        return True
    version = subtable(subtable(tool, "pdm"), "version")
    return version.get("source") == "scm" or any(name in tool for name in _TABLES)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
