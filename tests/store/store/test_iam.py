"""The policies of docs/iam: each role can do its work, and nobody else's.

moto stands for AWS here: it evaluates IAM policies, and no other server at hand does. SeaweedFS evaluates
the bucket's policy, but for the condition `s3:if-none-match`, which it passes over.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import boto3
import httpx
import msgspec
import pytest

from artifact_store.artifact.ids import ArtifactId
from artifact_store.blobs.open import open_blobs
from artifact_store.core.actor import Actor
from artifact_store.core.errors import StoreError
from artifact_store.gc.references import Retention
from artifact_store.records import hosts, keys
from artifact_store.records.artifacts import archive_key
from artifact_store.records.releases import ReleaseRecord
from artifact_store.store.maintenance import plan_gc, run_gc
from artifact_store.store.store import Store, open_store
from tests.parts.records import HOST_RECORD as HOST
from tests.parts.records import RELEASE_RECORD as RECORD
from tests.parts.repository import ROOT
from tests.parts.seaweed import Server
from tests.parts.tgz import tgz

DOCS = ROOT / "docs"
BUCKET = "example-artifacts"
ROLES = ("ci", "promoter", "releaser", "host", "gc")


def policy(name: str) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads((DOCS / "iam" / f"{name}.json").read_text())
    return found


@dataclass(frozen=True)
class Aws:
    """A server that asks IAM; `act_as` gives this process the key of a role."""

    url: str
    keys: dict[str, tuple[str, str]]
    monkeypatch: pytest.MonkeyPatch

    def act_as(self, role: str) -> Store:
        key, secret = self.keys[role]
        self.monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        self.monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        return open_store(f"s3://{BUCKET}")


@pytest.fixture
def aws(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    url = moto_server
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    root = {"endpoint_url": url, "aws_access_key_id": "root", "aws_secret_access_key": "root"}
    boto3.client("s3", **root).create_bucket(Bucket=BUCKET)
    iam = boto3.client("iam", **root)
    keys = {}
    for role in ROLES:
        iam.create_user(UserName=role)
        iam.put_user_policy(UserName=role, PolicyName="fapkit", PolicyDocument=json.dumps(policy(role)))
        made = iam.create_access_key(UserName=role)["AccessKey"]
        keys[role] = (made["AccessKeyId"], made["SecretAccessKey"])
    # from here on every request is judged
    httpx.post(f"{url}/moto-api/reset-auth", content="0").raise_for_status()
    yield Aws(url, keys, monkeypatch)
    httpx.post(f"{url}/moto-api/reset-auth", content="1000000000")
    httpx.post(f"{url}/moto-api/reset")


def record(digest: str) -> ReleaseRecord:
    return msgspec.structs.replace(RECORD, stage="production", digest=digest)


def refused(work: Callable[[], object]) -> None:
    with pytest.raises(StoreError, match="AccessDenied"):
        work()


def test_each_role_does_its_own_work_alone(aws: Aws, tmp_path: Path) -> None:
    one, two = tgz(tmp_path, version="1"), tgz(tmp_path, version="2")
    ci = aws.act_as("ci")
    digest = ci.artifacts.publish(one, by=Actor("ci")).digest
    refused(lambda: ci.stages.promote("shop", "1", "production", by=Actor("ci")))
    refused(lambda: ci.records.add_release(record(digest)))

    promoter = aws.act_as("promoter")
    assert promoter.stages.promote("shop", "1", "production", by=Actor("ann")).changed
    assert [entry.state.version for entry in promoter.stages.history("shop", "production")] == ["1"]
    refused(lambda: promoter.artifacts.publish(two, by=Actor("ann")))
    refused(lambda: promoter.records.add_release(record(digest)))

    releaser = aws.act_as("releaser")
    found = releaser.stages.head_with_link("shop", "production")
    assert found
    state = found[0]
    # a presigned URL is more than moto's IAM understands
    assert releaser.artifacts.fetch("shop", "1", tmp_path / "fetched.tgz").read_bytes() == one.read_bytes()
    releaser.records.add_release(record(state.digest))
    assert len(releaser.records.releases("shop", "production")) == 1
    refused(lambda: releaser.artifacts.publish(two, by=Actor("rel")))
    refused(lambda: releaser.stages.promote("shop", "1", "staging", by=Actor("rel")))

    host = aws.act_as("host")
    assert host.stages.head("shop", "production") == state
    host.records.add_host(HOST)
    assert host.records.host("shop", "production", HOST.role, HOST.host) == HOST
    refused(lambda: host.records.add_host(msgspec.structs.replace(HOST, stage="staging")))
    refused(lambda: host.records.add_release(record(digest)))
    refused(lambda: host.stages.freeze("shop", "production", by=Actor("web1"), why="ours"))


def test_only_gc_deletes_and_only_artifacts(aws: Aws, tmp_path: Path) -> None:
    archive = archive_key(aws.act_as("ci").artifacts.publish(tgz(tmp_path, version="1"), by=Actor("ci")))
    aws.act_as("promoter").stages.promote("shop", "1", "production", by=Actor("ann"))
    for role in ("ci", "promoter", "releaser", "host"):
        aws.act_as(role)
        blobs = open_blobs(f"s3://{BUCKET}")
        refused(lambda: blobs.delete(archive))  # noqa: B023
    gc = aws.act_as("gc")
    blobs = open_blobs(f"s3://{BUCKET}")
    refused(lambda: blobs.delete(keys.entry("shop", "production", 1)))
    refused(lambda: gc.stages.promote("shop", "1", "staging", by=Actor("gc")))
    blobs.delete(archive)
    assert blobs.size(archive) is None


def test_a_host_without_a_key_reads_nothing(aws: Aws, tmp_path: Path) -> None:
    pushed = aws.act_as("ci").artifacts.publish(tgz(tmp_path, version="1"), by=Actor("ci"))
    assert httpx.get(f"{aws.url}/{BUCKET}/{archive_key(pushed)}").status_code == 403


@pytest.mark.s3
def test_under_the_bucket_policy_all_goes_on_and_records_and_logs_stay(
    s3_server: Server, s3_url: str, tmp_path: Path
) -> None:
    s3_server.make_bucket(BUCKET)
    text = (DOCS / "iam" / "bucket.json").read_text()
    boto3.Session().client("s3").put_bucket_policy(Bucket=BUCKET, Policy=text)
    store, blobs = open_store(f"s3://{BUCKET}"), open_blobs(f"s3://{BUCKET}")
    pushed = [store.artifacts.publish(tgz(tmp_path, version=version), by=Actor("ci")) for version in "12"]
    store.stages.promote("shop", "1", "production", by=Actor("ann"))
    store.records.add_release(record(pushed[0].digest))
    store.records.add_host(HOST)
    for kept in [name for name in blobs.keys("") if not name.endswith(".tgz")]:
        refused(lambda: blobs.delete(kept))  # noqa: B023
    assert [entry.state.version for entry in store.stages.history("shop", "production")] == ["1"]
    time.sleep(1.1)
    done = run_gc(
        store, plan_gc(store, "shop", Retention(grace=timedelta())), by=Actor("gc"), wait=lambda: None
    )
    assert done.removed == ("2",)
    assert blobs.size(archive_key(pushed[1])) is None


def test_the_bucket_policy_names_what_lies_there() -> None:
    overwrite, delete = policy("bucket")["Statement"]
    assert overwrite["Condition"] == {
        "Null": {"s3:if-none-match": "true"},
        "Bool": {"s3:ObjectCreationOperation": "true"},
    }
    one = ArtifactId("shop", "1")
    kept = [
        keys.record(one),
        f"{keys.signatures(one)}a.sig",
        keys.entry("shop", "production", 1),
        f"{keys.releases('shop', 'production')}web/x.json",
        hosts.key(HOST),
    ]
    resources = delete["Resource"]
    assert isinstance(resources, list)
    patterns = [re.escape(text.partition(":::")[2]).replace(r"\*", ".*") for text in resources]
    for key in kept:
        assert any(re.fullmatch(pattern, f"{BUCKET}/{key}") for pattern in patterns), key
    archive = keys.archive(one, "a" * 64, "b" * 32)
    assert not any(re.fullmatch(pattern, f"{BUCKET}/{archive}") for pattern in patterns)


def test_the_page_names_files_that_are_there() -> None:
    page = DOCS / "reference" / "store.md"
    text = page.read_text()
    for name in re.findall(r"`(test_\w+\.py)`", text):
        assert list((ROOT / "tests" / "store").rglob(name)), name
    for name in re.findall(r"\]\(([\w./]+)\)", text):
        assert (page.parent / name).is_file(), name
