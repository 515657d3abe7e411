"""A deploy.yml in the test's own folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[[str], Path]


@pytest.fixture
def deploy_yml(tmp_path: Path) -> Write:
    """Write `deploy.yml` and return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "deploy.yml"
        path.write_text(text)
        return path

    return write
