"""The pages of the documentation."""

import re

from tests.parts.repository import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        *(ROOT / "examples").rglob("README.md"),
        *(ROOT / "faprelease").rglob("README.md"),
        *ROOT.glob("changelog.d/*.md"),
    ]
)
CODE = re.compile(r"^```.*?^```$|^ {4}.*?$", re.MULTILINE | re.DOTALL)
"""Code in a page: fenced blocks and indented lines."""
