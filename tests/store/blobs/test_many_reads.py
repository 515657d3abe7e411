"""Thousands of small objects of a bucket are read with few steps for each, and as surely as one by boto3."""

import os
from collections.abc import Iterator

import pytest

from artifact_store.blobs.open import open_blobs
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.errors import StoreError
from tests.parts.s3_proxy import Answer, Asked, Proxy, proxy, refusal

pytestmark = pytest.mark.s3
KEYS = [f"shop/{number}" for number in range(20)]
BODIES = [key.encode() for key in KEYS]


@pytest.fixture
def between(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with proxy(os.environ["AWS_ENDPOINT_URL_S3"]) as one:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", one.url)
        yield one


@pytest.fixture
def blobs(between: Proxy, s3_url: str) -> Blobs:
    blobs = open_blobs(s3_url)
    for key, body in zip(KEYS, BODIES, strict=True):
        blobs.create(key, body)
    assert blobs.get(KEYS[0]) == BODIES[0]  # the pattern of the others
    between.seen.clear()
    return blobs


def is_quick(asked: Asked) -> bool:
    return "amz-sdk-request" not in asked.headers  # boto3 sends it with each request


def test_after_the_first_one_boto3_is_not_needed(blobs: Blobs, between: Proxy) -> None:
    assert list(blobs.get_each(KEYS)) == BODIES
    assert len(between.seen) == len(KEYS)
    assert all(is_quick(asked) and "authorization" in asked.headers for asked in between.seen)


@pytest.mark.parametrize("answer", [refusal("SlowDown", "later", 503), Answer(301, b"", {"Location": "/x"})])
def test_what_is_no_plain_answer_is_asked_again_by_boto3(
    blobs: Blobs, between: Proxy, answer: Answer
) -> None:
    between.before = lambda asked: answer if is_quick(asked) and asked.path.endswith("/7") else None
    assert list(blobs.get_each(KEYS)) == BODIES
    assert [asked.path[-2:] for asked in between.seen if not is_quick(asked)] == ["/7"]


def test_a_refusal_is_explained_as_ever(blobs: Blobs, between: Proxy) -> None:
    between.before = lambda asked: refusal("AccessDenied", "no", 403)
    with pytest.raises(StoreError, match="AccessDenied"):
        list(blobs.get_each(KEYS))


def test_a_large_object_is_left_to_boto3(blobs: Blobs, between: Proxy) -> None:
    blobs.create("shop/large", bytes(2 << 20))
    between.seen.clear()
    assert list(blobs.get_each(["shop/large"])) == [bytes(2 << 20)]
    assert [is_quick(asked) for asked in between.seen] == [True, False]


def test_temporary_credentials_are_sent_with_their_token(
    blobs: Blobs, between: Proxy, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-token")
    between.before = lambda asked: Answer(200, b"x")
    others = open_blobs(s3_url)
    assert list(others.get_each(KEYS[:1])) == [b"x"]
    assert list(others.get_each(KEYS)) == [b"x"] * len(KEYS)
    assert {asked.headers.get("x-amz-security-token") for asked in between.seen} == {"a-token"}
    assert is_quick(between.seen[-1])
