"""What `fapstore doctor` finds out: on real stores, and on ones that do wrong what a store can do wrong."""

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import boto3
import pytest

from artifact_store.blobs import doctor
from artifact_store.blobs.bucket_rules import StorageSettings, findings
from artifact_store.blobs.memory import MemoryBlobs
from artifact_store.blobs.open import make_store, open_blobs
from artifact_store.blobs.parts import Range
from artifact_store.blobs.protocol import Blob, Blobs, CopyError
from artifact_store.core.actor import Actor
from artifact_store.core.errors import StoreError
from artifact_store.store.store import Store
from tests.parts.tgz import tgz
from tests.parts.two_steps import TwoSteps

FAPSTORE = str(Path(sys.executable).with_name("fapstore"))


def now() -> datetime:
    return datetime.now(UTC)


def verdicts(blobs: Blobs) -> dict[str, str]:
    return {found.check: found.verdict for found in doctor.examine(blobs, now)}


class Overwriting(MemoryBlobs):
    """A store that knows no conditions, as some S3 servers do."""

    def create(self, key: str, body: bytes | BinaryIO, sha256: str = "") -> None:
        self.delete(key)
        super().create(key, body, sha256)


class OverwritingLarge(MemoryBlobs):
    """A store that knows no conditions on multipart uploads, as Ceph RGW 16."""

    def create(self, key: str, body: bytes | BinaryIO, sha256: str = "") -> None:
        if not isinstance(body, bytes):
            self.delete(key)
        super().create(key, body, sha256)


class Undeletable(MemoryBlobs):
    def delete(self, key: str) -> None:
        raise StoreError(f"{key}: refused (AccessDenied)")


class ReadOnly(MemoryBlobs):
    def create(self, key: str, body: bytes | BinaryIO, sha256: str = "") -> None:
        raise StoreError(f"{key}: refused (AccessDenied)", hint="check the credentials")


class Late(MemoryBlobs):
    """A store whose clock is an hour behind."""

    def listing(self, prefix: str, after: str = "") -> Any:
        for blob in super().listing(prefix, after):
            yield Blob(blob.key, blob.size, blob.modified - timedelta(hours=1))


def test_a_good_store() -> None:
    blobs = MemoryBlobs()
    assert set(verdicts(blobs).values()) == {"right"}
    assert list(blobs.keys("")) == []


@pytest.mark.parametrize(
    ("blobs", "wrong"),
    [
        (Overwriting(), {"create-only", "create-only, at once", "create-only, large"}),
        (OverwritingLarge(), set()),
        (ReadOnly(), {"access"}),
        (Late(), {"clock"}),
        (Undeletable(), set()),
    ],
)
def test_what_is_wrong_is_found(blobs: Blobs, wrong: set[str]) -> None:
    found = list(doctor.examine(blobs, now))
    assert {finding.check for finding in found if finding.verdict == "wrong"} == wrong
    assert all(finding.fix for finding in found if finding.verdict == "wrong")


def test_a_check_and_a_write_in_two_steps_are_found() -> None:
    for _ in range(10):
        (found,) = (
            found for found in doctor.examine(TwoSteps(), now) if found.check == "create-only, at once"
        )
        assert found.verdict == "wrong"
        assert "of 20 rounds, not exactly one of 6 simultaneous writers succeeded" in found.says


def test_large_uploads_alone_stop_no_promotion() -> None:
    odd = [found for found in doctor.examine(OverwritingLarge(), now) if found.verdict != "right"]
    assert [(found.check, found.verdict) for found in odd] == [("create-only, large", "note")]
    assert odd[0].fix.startswith("pushes and promotions are safe")


class Copyless(MemoryBlobs):
    """A store without UploadPartCopy."""

    def create_with(self, key: str, file: BinaryIO, sha256: str, ranges: Sequence[Range]) -> int:
        raise CopyError("the server did not copy a part: refused (NotImplemented)")


def test_a_store_without_copies_gets_whole_uploads() -> None:
    odd = [found for found in doctor.examine(Copyless(), now) if found.verdict != "right"]
    assert [(found.check, found.verdict) for found in odd] == [("copies", "note")]
    assert "each push uploads the whole artifact (the server did not copy a part: " in odd[0].says


def test_probes_that_stay_are_told() -> None:
    (found,) = (found for found in doctor.examine(Undeletable(), now) if found.check == "deleting")
    assert found.verdict == "note"
    assert "test objects remain in _doctor/" in found.says


@pytest.mark.s3
def test_a_real_s3_server_and_a_rule_that_removes_objects(s3_url: str) -> None:
    blobs = open_blobs(s3_url)
    found = verdicts(blobs)
    assert {check for check, verdict in found.items() if verdict != "right"} == {"versioning"}
    assert list(blobs.keys("")) == []
    bucket, prefix = s3_url.removeprefix("s3://").split("/")
    client = boto3.session.Session().client("s3")
    rule = {"ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": {"Days": 30}}
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    try:
        done = subprocess.run(
            [FAPSTORE, "--store", s3_url, "doctor"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert (
            "wrong  lifecycle: rule 'tidy' removes objects by age, even if they are in use -> " in done.stdout
        )
        assert verdicts(open_blobs(f"s3://{bucket}/elsewhere"))["lifecycle"] == "right"
    finally:
        client.delete_bucket_lifecycle(Bucket=bucket)


def test_a_folder_that_everyone_can_write(tmp_path: Path) -> None:
    store = tmp_path / "store"
    make_store(f"file://{store}")
    store.chmod(0o777)
    done = subprocess.run(
        [FAPSTORE, "--store", store, "doctor", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    wrong = [found for found in json.loads(done.stdout) if found["verdict"] == "wrong"]
    assert [(found["check"], found["fix"]) for found in wrong] == [("access", "chmod -R o-w FOLDER")]
    assert [path.name for path in store.rglob("*") if path.is_file()] == [".fapstore"]
    store.chmod(0o755)
    assert set(verdicts(open_blobs(str(store))).values()) == {"right"}


EVERYONE = json.dumps({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}]})
ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"


@pytest.mark.parametrize(
    ("settings", "check", "verdict"),
    [
        (StorageSettings(blocked=True, policy=EVERYONE), "public access", "right"),
        (StorageSettings(blocked=False, policy=EVERYONE, grants=()), "public access", "wrong"),
        (StorageSettings(policy="", grants=("", ALL_USERS)), "public access", "wrong"),
        (StorageSettings(policy="", grants=("",)), "public access", "right"),
        (StorageSettings(), "public access", "note"),
        (StorageSettings(), "lifecycle", "note"),
        (StorageSettings(lifecycle=()), "lifecycle", "right"),
        (
            StorageSettings(
                lifecycle=({"Status": "Enabled", "Prefix": "", "Expiration": {"Days": 9}},), prefix="x/"
            ),
            "lifecycle",
            "wrong",
        ),
        (
            StorageSettings(lifecycle=({"Status": "Disabled", "Expiration": {"Days": 9}},)),
            "lifecycle",
            "right",
        ),
        (
            StorageSettings(
                lifecycle=(
                    {"Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}},
                )
            ),
            "lifecycle",
            "right",
        ),
        (StorageSettings(checks_bytes=False), "checksums", "note"),
        (StorageSettings(versioned=True), "versioning", "right"),
    ],
)
def test_what_settings_mean(settings: StorageSettings, check: str, verdict: str) -> None:
    assert {found.verdict for found in findings(settings) if found.check == check} == {verdict}


def test_nothing_is_promoted_in_a_store_that_overwrites(tmp_path: Path) -> None:
    blobs = Overwriting()
    first = Store(blobs, unsafe=True)
    for version in "12":
        first.artifacts.publish(tgz(tmp_path, version=version), by=Actor("ann"))
    first.stages.promote("shop", "1", "staging", by=Actor("ann"))
    with pytest.raises(StoreError, match="allows overwriting") as error:
        Store(blobs).stages.promote("shop", "2", "staging", by=Actor("bob"))
    assert "--unsafe-store" in error.value.hint
    assert [entry.state.version for entry in first.stages.history("shop", "staging")] == ["1"]
    with pytest.raises(StoreError, match="allows overwriting"):
        Store(blobs).stages.promote("shop", "2", "production", by=Actor("bob"))
    Store(blobs, unsafe=True).stages.promote("shop", "2", "staging", by=Actor("bob"))
    assert [entry.state.version for entry in first.stages.history("shop", "staging")] == ["1", "2"]


def statement(principal: object, condition: object = None, effect: str = "Allow") -> str:
    one = {"Effect": effect, "Action": "s3:GetObject", "Resource": "*"}
    one |= {"NotPrincipal": {"AWS": "arn:x"}} if principal == "not" else {"Principal": principal}
    return json.dumps({"Statement": [one | ({"Condition": condition} if condition else {})]})


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        (statement({"AWS": ["*", "arn:aws:iam::1:root"]}), "wrong"),
        (statement({"AWS": "*", "Service": "s3.amazonaws.com"}), "wrong"),
        (statement("not"), "wrong"),
        (statement("*", {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}), "wrong"),
        (statement("*", {"StringLike": {"aws:Referer": "https://example.com/*"}}), "wrong"),
        (statement("*", {"Bool": {"aws:SecureTransport": "true"}}), "wrong"),
        (statement("*", {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), "wrong"),
        (statement("*", {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8"]}}), "right"),
        (statement("*", {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}), "right"),
        (statement("*", effect="Deny"), "right"),
        (statement({"AWS": "arn:aws:iam::1:root"}), "right"),
        ("<ListBucketResult/>", "note"),
        ("[]", "note"),
    ],
)
def test_policies_that_give_everyone_access(policy: str, verdict: str) -> None:
    settings = StorageSettings(policy=policy, grants=())
    assert {found.verdict for found in findings(settings) if found.check == "public access"} == {verdict}


@pytest.mark.parametrize(("says", "verdict"), [(True, "wrong"), (False, "right")])
def test_the_server_knows_best_whether_a_policy_is_public(says: bool, verdict: str) -> None:
    for policy in (EVERYONE, statement({"AWS": "arn:x"}), ""):
        settings = StorageSettings(policy=policy, policy_is_public=says, grants=())
        assert {found.verdict for found in findings(settings) if found.check == "public access"} == {verdict}


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        ({"Transitions": [{"Days": 30, "StorageClass": "GLACIER"}]}, "wrong"),
        ({"Transition": {"Days": 30, "StorageClass": "DEEP_ARCHIVE"}, "Prefix": ""}, "wrong"),
        ({"Transitions": [{"Days": 30, "StorageClass": "GLACIER_IR"}]}, "right"),
        ({"Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}]}, "right"),
        ({"Transitions": [{"Days": 30, "StorageClass": "GLACIER"}], "Filter": {"Prefix": "y/"}}, "right"),
    ],
)
def test_rules_that_archive(rule: dict[str, Any], verdict: str) -> None:
    settings = StorageSettings(lifecycle=({"ID": "cold", "Status": "Enabled", **rule},), prefix="x/")
    found = [found for found in findings(settings) if found.check == "lifecycle"]
    assert [each.verdict for each in found] == [verdict]
    assert verdict == "right" or "'cold' archives objects by age" in found[0].says


def test_a_bucket_policy_status_is_asked_for(moto_url: str) -> None:
    """Moto does not know the operation: the policy itself is looked at then."""
    bucket = moto_url.removeprefix("s3://").split("/")[0]
    client = boto3.session.Session().client("s3")
    assert verdicts(open_blobs(moto_url))["public access"] == "right"
    client.put_bucket_policy(Bucket=bucket, Policy=statement({"AWS": ["*"]}))
    assert verdicts(open_blobs(moto_url))["public access"] == "wrong"
