"""Fixtures of the store's tests."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.parts.tgz import tgz


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The URL of moto, which stands for AWS where no other server at hand has what is asked for."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def moto_url(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty store in moto, with the environment to reach it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto_server)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    bucket = f"bucket-{uuid.uuid4().hex}"
    monkeypatch.setattr("artifact_store.stages.lost_races._WAIT", 0.0)  # moto is no server that was measured
    boto3.Session().client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/prefix"


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """Version 1 of the shop."""
    return tgz(tmp_path, version="1")


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Version 2 of the shop."""
    return tgz(tmp_path, version="2")
