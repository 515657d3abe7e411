"""Fixtures that more than one folder of tests uses."""

import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.parts.caller import hide_caller
from tests.parts.seaweed import Server, seaweed

BUCKET = "fapkit"

hide_caller()
# Hypothesis works alike in CI, where it would have a profile of its own; and a busy machine fails no test.
settings.register_profile(
    "fapkit",
    settings.get_profile("default"),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("fapkit")


# Fixtures that need more than Python and a shell, and what: a marker of pyproject.toml.
NEEDS = {"build_env": "index", "packed": "index", "moto_server": "s3"}
BY_MODULE = ("fleet", "index", "supervisord", "systemd")
"""What one module of tests starts or packs for itself; of the others there is one for all."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests that share what they need to one worker, and mark those whose fixtures need it."""
    for item in items:
        for name in (*BY_MODULE, "demo", "s3", "shop"):
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.xdist_group(item.location[0] if name in BY_MODULE else name))
        for fixture, need in NEEDS.items():
            if fixture in item.fixturenames:
                item.add_marker(need)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real S3 server with one bucket; mark its tests `s3`, so that one worker starts it."""
    with seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        server.make_bucket(BUCKET)
        yield server


@pytest.fixture
def s3_url(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty store on that server, with the environment to reach it."""
    for name, value in s3_server.env.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"
