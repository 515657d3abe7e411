"""Fixtures of the store's tests."""

from pathlib import Path

import pytest

from tests.store.tgz import tgz


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """Version 1 of the shop."""
    return tgz(tmp_path, version="1")


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Version 2 of the shop."""
    return tgz(tmp_path, version="2")
