"""Fixtures that more than one folder of tests uses."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.seaweed import Server, seaweed

BUCKET = "fapkit"

# What is tested is told which CI it runs in; the tests' own CI must not be seen.
for _name in [name for name in os.environ if name == "CI" or name.startswith("GITHUB_")]:
    del os.environ[_name]
# The logs of its releases are no business of who runs the tests.
os.environ["XDG_STATE_HOME"] = str(Path(tempfile.gettempdir()) / "fapkit-tests-state")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real S3 server with one bucket; mark its tests `xdist_group("s3")`, so that one worker starts it."""
    with seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        server.make_bucket(BUCKET)
        yield server


@pytest.fixture
def s3_url(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty store on that server, with the environment to reach it."""
    for name, value in s3_server.env.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"
