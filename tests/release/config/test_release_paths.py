"""Paths in a release that lie in one another, or belong to the release itself."""

from typing import Any

import pytest

from faprelease.config.release_paths import conflicts

ENVIRONMENT = {"environment": {"A": "1"}}


@pytest.mark.parametrize(
    ("values", "file"),
    [
        ({"linked_dirs": ["media", "uploads"], "linked_files": ["config/a.ini", "config/b.ini"]}, ".env"),
        ({"linked_dirs": ["media", "media-cache", "me/dia"]}, ".env"),
        ({"linked_files": [".env"]}, ".env"),
        ({"linked_dirs": ["config"]}, "config/.env"),
        ({"linked_dirs": ["media"], "assets_dirs": ["static"], **ENVIRONMENT}, "config/.env"),
        ({"linked_dirs": ["log", "./log/"]}, ".env"),
        ({"linked_dirs": ["static/uploads"], "assets_dirs": ["static"]}, ".env"),
        ({"linked_dirs": ["venvs", "wheelsX", "a/venv"]}, ".env"),
    ],
)
def test_paths_beside_one_another_are_fine(values: dict[str, Any], file: str) -> None:
    assert not list(conflicts(values, file))


@pytest.mark.parametrize(
    ("values", "file", "key", "message"),
    [
        (
            {"linked_dirs": ["media", "media/cache"]},
            ".env",
            "linked_dirs",
            "media/cache (linked_dirs) lies in media (linked_dirs)",
        ),
        (
            {"linked_dirs": ["media/cache", "media"]},
            ".env",
            "linked_dirs",
            "media/cache (linked_dirs) lies in media (linked_dirs)",
        ),
        (
            {"linked_dirs": ["./media", "media//cache"]},
            ".env",
            "linked_dirs",
            "media//cache (linked_dirs) lies in ./media (linked_dirs)",
        ),
        (
            {"linked_dirs": ["media/", "media/a/b/c"]},
            ".env",
            "linked_dirs",
            "media/a/b/c (linked_dirs) lies in media/ (linked_dirs)",
        ),
        (
            {"linked_dirs": ["media"], "linked_files": ["./media/"]},
            ".env",
            "linked_dirs",
            "media is linked twice",
        ),
        (
            {"linked_files": ["conf", "conf/a.ini"]},
            ".env",
            "linked_files",
            "conf/a.ini (linked_files) lies in conf (linked_files)",
        ),
        (
            {"linked_files": ["conf/a.ini"], "linked_dirs": ["conf"]},
            ".env",
            "linked_files",
            "conf/a.ini (linked_files) lies in conf (linked_dirs)",
        ),
        (
            {"linked_files": ["conf"], "linked_dirs": ["conf/d"]},
            ".env",
            "linked_dirs",
            "conf/d (linked_dirs) lies in conf (linked_files)",
        ),
        (
            {"linked_dirs": ["config"], **ENVIRONMENT},
            "config/.env",
            "environment_file",
            "config/.env (environment_file) lies in config (linked_dirs)",
        ),
        (
            {"linked_dirs": ["config"], **ENVIRONMENT},
            "./config//x/.env",
            "environment_file",
            "lies in config (linked_dirs)",
        ),
        (
            {"linked_dirs": [".env/x"], **ENVIRONMENT},
            ".env",
            "linked_dirs",
            ".env/x (linked_dirs) lies in .env (environment_file)",
        ),
        (
            {"linked_files": [".env"], **ENVIRONMENT},
            ".env",
            "environment",
            ".env is in linked_files, and environment would overwrite it",
        ),
        ({"linked_dirs": [".env"], **ENVIRONMENT}, "./.env", "environment", ".env is in linked_dirs"),
        ({"linked_dirs": ["venv"]}, ".env", "linked_dirs", "venv belongs to the release itself"),
        ({"linked_dirs": ["venv/lib"]}, ".env", "linked_dirs", "venv belongs to the release itself"),
        ({"linked_files": ["./.fap/run"]}, ".env", "linked_files", ".fap belongs to the release itself"),
        (
            {"linked_files": ["install.sh"]},
            ".env",
            "linked_files",
            "install.sh belongs to the release itself",
        ),
        (
            {"linked_dirs": ["static"], "assets_dirs": ["./static/js"]},
            ".env",
            "assets_dirs",
            "./static/js (assets_dirs) lies in static (linked_dirs)",
        ),
    ],
)
def test_paths_in_one_another_are_refused(values: dict[str, Any], file: str, key: str, message: str) -> None:
    (problem,) = conflicts(values, file)
    assert problem[0] == key
    assert message in problem[1]
    assert problem[2]
