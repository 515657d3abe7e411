"""A deploy.yml in the test's own folder, and the app it is for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from faprelease.steps import redaction
from tests.parts.site import Site

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def forgotten_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test redacts the secrets of another one: what a process remembers lasts as long as the process."""
    monkeypatch.setattr(redaction, "_known", set())


@pytest.fixture
def deploy_yml(tmp_path: Path) -> Write:
    """Write `deploy.yml` and return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "deploy.yml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An app on this machine, with the fewest settings."""
    made = Site(tmp_path)
    made.configure()
    return made
