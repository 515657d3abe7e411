"""What vendors of S3 servers, and networks, answer, and what fapstore says then.

Each row was reported by users of other S3 clients. A proxy before moto plays it.
"""

import os
import shlex
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from artifact_store.blobs.open import open_blobs
from artifact_store.cli import main
from artifact_store.core.actor import Actor
from artifact_store.core.errors import VerificationError
from artifact_store.gc.references import Retention
from artifact_store.store.maintenance import plan_gc, run_gc
from artifact_store.store.store import open_store
from tests.parts.s3_proxy import Answer, Asked, Fault, Proxy, proxy, refusal
from tests.parts.tgz import tgz

pytestmark = pytest.mark.s3
TOKEN = "FwoSECRETTOKENxyz"
SECRET = "very-secret-key"


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


class Fapstore:
    """Runs fapstore in this process; between it and moto is a proxy."""

    def __init__(self, proxy: Proxy, capsys: pytest.CaptureFixture[str]) -> None:
        self.proxy = proxy
        self._capsys = capsys

    def __call__(self, command: str) -> Ended:
        with pytest.raises(SystemExit) as exited:
            main(shlex.split(command))
        out, err = self._capsys.readouterr()
        assert SECRET not in out + err
        assert TOKEN not in out + err
        return Ended(int(exited.value.code or 0), out, err)

    def done(self, command: str) -> Ended:
        ended = self(command)
        assert ended.code == 0, ended.err
        return ended


@pytest.fixture
def fapstore(
    moto_server: str,
    moto_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Fapstore]:
    """Fapstore with version 1 of the shop in the store, and shop-2.tgz in its folder."""
    for name in ("1", "2"):
        tgz(tmp_path, version=name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAP_STORE", moto_url)
    monkeypatch.setenv("FAP_WHO", "ann")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    shortened = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 100), time=time.time)
    monkeypatch.setattr("botocore.endpoint.time", shortened)
    with proxy(moto_server) as one:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", one.url)
        fap = Fapstore(one, capsys)
        fap.done("push shop-1.tgz")
        yield fap


def always(answer: Answer) -> Fault:
    return lambda asked: answer


def when(method: str, answer: Answer, part: str = "") -> Fault:
    return lambda asked: answer if asked.method in method and part in asked.path else None


def unconditional(asked: Asked) -> Answer | None:
    odd = "if-none-match" in asked.headers
    return refusal("NotImplemented", "A header is not implemented", 501) if odd else None


MOVED = "The bucket you are attempting to access must be addressed using the specified endpoint."
WRONG_REGION = "the region 'us-east-1' is wrong; expecting 'eu-west-3'"
ARCHIVED = "The operation is not valid for the object's storage class"


@pytest.mark.parametrize(
    ("fault", "command", "says", "look_at"),
    [
        pytest.param(
            always(refusal("ExpiredToken", "The provided token has expired.", 400)),
            "promote shop 1 staging",
            "the AWS credentials have expired (ExpiredToken The provided token has expired.)",
            "get new credentials (`aws sso login`, or as you got these)",
            id="14 expired token",
        ),
        pytest.param(
            always(refusal("InvalidToken", "The provided token is malformed.", 400)),
            "list shop",
            "AWS_SESSION_TOKEN is not valid (InvalidToken The provided token is malformed.)",
            "it belongs to other keys, or was cut",
            id="14 invalid token",
        ),
        pytest.param(
            always(refusal("RequestExpired", "Request has expired", 400)),
            "list shop",
            "the request was too old when it arrived (RequestExpired Request has expired)",
            "set the clock",
            id="14 request expired",
        ),
        pytest.param(
            always(refusal("RequestTimeTooSkewed", "The difference is too large.", 403)),
            "list shop",
            "the clock of this machine is wrong: 20",
            "set the clock",
            id="16 clock",
        ),
        pytest.param(
            always(refusal("PermanentRedirect", MOVED, 301, x_amz_bucket_region="eu-west-3")),
            "list shop",
            f"the bucket is in another region (PermanentRedirect {MOVED})",
            "set AWS_DEFAULT_REGION=eu-west-3",
            id="17 redirect",
        ),
        pytest.param(
            always(refusal("AuthorizationHeaderMalformed", WRONG_REGION, 400, "<Region>eu-west-3</Region>")),
            "list shop",
            f"the bucket is in another region (AuthorizationHeaderMalformed {WRONG_REGION})",
            "set AWS_DEFAULT_REGION=eu-west-3",
            id="17 region of the signature",
        ),
        pytest.param(
            when("PUT", refusal("AccessDenied", "not authorized to perform: kms:GenerateDataKey", 403)),
            "push shop-2.tgz",
            "refused (AccessDenied not authorized to perform: kms:GenerateDataKey)",
            "allow kms:GenerateDataKey and kms:Decrypt",
            id="18 KMS key",
        ),
        pytest.param(
            when("PUT", refusal("AccessDenied", "Access Denied", 403)),
            "push shop-2.tgz",
            "refused (AccessDenied Access Denied)",
            "if the bucket requires encryption headers, set FAP_S3_SSE",
            id="18 encryption required",
        ),
        pytest.param(
            when("GET", refusal("InvalidObjectState", ARCHIVED, 403), ".tgz"),
            "fetch shop 1 -o got.tgz",
            f"is archived and can't be read now (InvalidObjectState {ARCHIVED})",
            "restore it (`aws s3api restore-object`)",
            id="archived",
        ),
        pytest.param(
            always(refusal("SlowDown", "Please reduce your request rate.", 503)),
            "promote shop 1 staging",
            "SlowDown Please reduce your request rate.",
            "the server has trouble: run it again in a few minutes",
            id="10 SlowDown for good",
        ),
        pytest.param(
            when("PUT", refusal("QuotaExceeded", "42 of 42 GB used", 409)),
            "push shop-2.tgz",
            "refused (QuotaExceeded 42 of 42 GB used)",
            "look up QuotaExceeded in the documentation or the log of the server",
            id="not understood",
        ),
        pytest.param(
            always(Answer(403, b"<html>login</html>")),
            "list shop",
            "refused (status 403)",
            "check the AWS credentials",
            id="no error of S3",
        ),
        pytest.param(
            when("GET", refusal("SignatureDoesNotMatch", "", 403)),
            "list shop",
            "refused (SignatureDoesNotMatch)",
            "check the AWS credentials",
            id="A6 no message",
        ),
        pytest.param(
            always(Answer(200)),
            "list",
            "the answer is not that of an S3 server",
            "check AWS_ENDPOINT_URL_S3: a console, a proxy or a login page answers",
            id="A11 200 to everything, list",
        ),
        pytest.param(
            always(Answer(200, b"<html>login</html>", {"Content-Type": "text/html"})),
            "list shop",
            "the answer is not that of an S3 server",
            "check AWS_ENDPOINT_URL_S3: a console, a proxy or a login page answers",
            id="A11 login page, list shop",
        ),
        pytest.param(
            when("PUT", Answer(200)),
            "push shop-2.tgz",
            "the answer is not that of an S3 server",
            "check AWS_ENDPOINT_URL_S3",
            id="A11 200 to everything, push",
        ),
        pytest.param(
            unconditional,
            "push shop-2.tgz",
            "A header is not implemented): without If-None-Match, it can't prevent overwriting",
            "fapstore --unsafe-store",
            id="6 no conditional writes (Backblaze B2)",
        ),
        pytest.param(
            when("PUT", refusal("PreconditionFailed", "x", 412), "00000001.json"),
            "promote shop 1 staging",
            "shop/stages/staging/00000001.json is refused as existing, but can't be read",
            "a deleted object may count as existing in a bucket with versions",
            id="19 delete markers, promote",
        ),
    ],
)
def test_a_refusal_says_what_the_server_said_and_what_to_look_at(
    fapstore: Fapstore, fault: Fault, command: str, says: str, look_at: str
) -> None:
    fapstore.proxy.before = fault
    ended = fapstore(command)
    message, _, hint = ended.err.partition("hint: ")
    assert ended.code == 1
    assert says in message
    assert look_at in hint
    assert "Traceback" not in ended.err


def checksums(asked: Asked) -> Answer | None:
    names = [name for name in asked.headers if name.startswith(("x-amz-checksum", "x-amz-sdk-checksum"))]
    return refusal("NotImplemented", f"Header '{names[0]}' not implemented", 501) if names else None


def no_md5(asked: Asked) -> Answer | None:
    if asked.method != "PUT" or "content-md5" in asked.headers:
        return None
    return refusal("InvalidRequest", "Missing required header for this request: Content-MD5", 400)


def chunked(asked: Asked) -> Answer | None:
    odd = "aws-chunked" in asked.headers.get("content-encoding", "") or "x-amz-trailer" in asked.headers
    return refusal("SignatureDoesNotMatch", "Invalid argument.", 403) if odd else None


def streaming(asked: Asked) -> Answer | None:
    odd = asked.headers.get("x-amz-content-sha256", "").startswith("STREAMING")
    return refusal("InvalidArgument", "must be UNSIGNED-PAYLOAD or a valid sha256", 400) if odd else None


def without_checksum(asked: Asked) -> Answer | None:
    given = any(name.startswith(("x-amz-checksum", "content-md5")) for name in asked.headers)
    wanted = asked.method == "PUT" and not given
    return refusal("InvalidRequest", "Content-MD5 OR x-amz-checksum- is required", 400) if wanted else None


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(checksums, id="1 checksum headers are not implemented (R2, Huawei OBS, TOS)"),
        pytest.param(chunked, id="2 aws-chunked breaks the signature (GCS)"),
        pytest.param(streaming, id="3 streaming signatures are refused (Oracle)"),
        pytest.param(without_checksum, id="4 object lock requires a checksum"),
        pytest.param(no_md5, id="5 Content-MD5 only (old MinIO)"),
    ],
)
def test_a_server_that_lacks_a_header_works(fapstore: Fapstore, fault: Fault, tmp_path: Path) -> None:
    fapstore.proxy.before = fault
    fapstore.done("push shop-2.tgz")
    fapstore.done("promote shop 2 staging")
    fapstore.done("fetch shop 2 -o got.tgz")
    assert (tmp_path / "got.tgz").read_bytes() == (tmp_path / "shop-2.tgz").read_bytes()
    found = fapstore.done("doctor").out
    assert "wrong" not in found


def test_a_server_without_conditional_writes_works_with_unsafe_store(fapstore: Fapstore) -> None:
    """Row 6."""
    fapstore.proxy.before = unconditional
    refused = fapstore("promote shop 1 staging")
    assert refused.code == 1
    assert "has no history" in fapstore("history shop staging").err  # the refused one wrote nothing
    fapstore.done("--unsafe-store push shop-2.tgz")
    fapstore.done("--unsafe-store promote shop 2 staging")
    fapstore.done("--unsafe-store promote shop 1 staging")
    assert "staging          1 " in fapstore.done("stages shop").out
    found = fapstore("doctor")
    assert found.code == 1
    assert "wrong  create-only: " in found.out
    assert "If-None-Match" in found.out


def test_a_bucket_that_requires_encryption(fapstore: Fapstore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 18."""

    def plain(asked: Asked) -> Answer | None:
        starts = asked.method == "PUT" or asked.query == "uploads"
        if not starts or asked.headers.get("x-amz-server-side-encryption") == "aws:kms":
            return None
        return refusal("AccessDenied", "Access Denied", 403)

    fapstore.proxy.before = plain
    assert fapstore("push shop-2.tgz").code == 1
    monkeypatch.setenv("FAP_S3_SSE", "aws:kms")
    monkeypatch.setenv("FAP_S3_SSE_KEY", "alias/store")
    fapstore.done("push shop-2.tgz")
    keys = [asked.headers.get("x-amz-server-side-encryption-aws-kms-key-id") for asked in fapstore.proxy.seen]
    assert "alias/store" in keys


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_SESSION_TOKEN", f"{TOKEN}\n"),
        ("AWS_SESSION_TOKEN", f"{TOKEN}\u201d"),
        ("AWS_SECRET_ACCESS_KEY", f"{SECRET}\n"),
        ("AWS_ACCESS_KEY_ID", "key\n"),
    ],
)
def test_no_text_of_botocore_shows_a_secret(
    fapstore: Fapstore, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    ended = fapstore("list shop")  # which checks that no secret is in it
    assert "Traceback" not in ended.err
    if value.endswith("\n") and name != "AWS_SECRET_ACCESS_KEY":
        assert ended.code == 1
        assert "a credential can't be sent in a header" in ended.err
        assert "line break" in ended.err


def test_a_server_that_repeats_the_token(fapstore: Fapstore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    fapstore.proxy.before = always(refusal("InvalidToken", f"bad token {TOKEN}", 400))
    assert "(InvalidToken bad token ***)" in fapstore("list shop").err


def test_the_file_of_a_web_identity_is_missing(fapstore: Fapstore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 15."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/x")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/token")
    ended = fapstore("list shop")
    assert "can't be read: /nonexistent/token" in ended.err
    assert "hint: check AWS_WEB_IDENTITY_TOKEN_FILE" in ended.err


def test_no_sso_session(fapstore: Fapstore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Row 13."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    config = tmp_path / "config"
    config.write_text(
        "[profile corp]\nsso_start_url = http://127.0.0.1:1/start\nsso_region = us-east-1\n"
        "sso_account_id = 123456789012\nsso_role_name = dev\nregion = us-east-1\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_PROFILE", "corp")
    ended = fapstore("list shop")
    assert ended.code == 1
    assert "hint: aws sso login --profile corp" in ended.err


class Dead:
    """A server that fails for all that follows a write of a key that ends with `last`."""

    def __init__(self, proxy: Proxy, last: str, answer: Answer, *, lost: bool = False) -> None:
        self._last = last
        self._answer = answer
        self._lost = lost
        self._is_dead = False
        proxy.before = lambda asked: self._answer if self._is_dead else None
        proxy.after = self._after

    def _after(self, asked: Asked) -> Answer | None:
        if asked.method == "PUT" and asked.path.endswith(self._last):
            self._is_dead = True
            return self._answer if self._lost else None
        return None


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("code", ["InternalError", "ExpiredToken"])
def test_a_promotion_whose_check_fails_has_an_exit_code_of_its_own(
    fapstore: Fapstore, number: int, code: str
) -> None:
    """C20."""
    fapstore.done("push shop-2.tgz")
    if number == 2:
        fapstore.done("promote shop 1 production")
    Dead(fapstore.proxy, f"0000000{number}.json", refusal(code, "x", 500 if code == "InternalError" else 400))
    ended = fapstore("promote shop 2 production")
    assert ended.code == 3
    assert f"shop production has 2 now (entry {number} is in the log)" in ended.err
    assert "could not be checked" in ended.err
    fapstore.proxy.before = fapstore.proxy.after = lambda asked: None
    assert "production       2 " in fapstore.done("stages shop").out


def test_a_promotion_whose_answer_is_lost_for_good(fapstore: Fapstore) -> None:
    Dead(fapstore.proxy, "00000001.json", refusal("InternalError", "x", 500), lost=True)
    ended = fapstore("promote shop 1 production")
    assert ended.code == 3
    assert "whether entry 1 (promote 1) was written is not known" in ended.err
    fapstore.proxy.before = fapstore.proxy.after = lambda asked: None
    assert "production       1 " in fapstore.done("stages shop").out


def test_a_first_promotion_that_is_refused_has_written_no_entry(fapstore: Fapstore) -> None:
    """Rows 7 and 33: a server that ignores If-None-Match."""
    upstream = fapstore.proxy.answer

    def careless(asked: Asked, target: str, body: bytes, headers: list[tuple[str, str]]) -> Answer:
        return upstream(asked, target, body, [pair for pair in headers if pair[0].lower() != "if-none-match"])

    fapstore.proxy.answer = careless  # type: ignore[method-assign]
    ended = fapstore("promote shop 1 production")
    assert ended.code == 1
    assert "allows overwriting" in ended.err
    assert "no version of shop is on a stage" in fapstore("stages shop").err
    fapstore.done("--unsafe-store promote shop 1 production")
    assert "production       1 " in fapstore.done("stages shop").out
    assert fapstore("doctor").out.count("wrong  create-only") == 3


def test_uploads_that_a_listing_with_a_prefix_hides(fapstore: Fapstore) -> None:
    """Row 28: MinIO lists no unfinished upload below a prefix."""
    empty = b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("artifact_store.blobs.s3.LEAST", 100)
        patch.setattr("artifact_store.blobs.parts.LEAST", 100)
        fapstore.proxy.before = lambda asked: (
            refusal("AccessDenied", "x", 403)
            if "uploadId" in asked.query and asked.method in ("POST", "DELETE")
            else None
        )
        assert fapstore("push shop-2.tgz").code == 1
    fapstore.proxy.before = lambda asked: (
        Answer(200, empty) if "uploads" in asked.query and "prefix=" in asked.query else None
    )
    assert "an unfinished upload" in fapstore.done("gc shop --no-stages --dry-run --grace 0s").out


EMPTY = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


def test_gc_believes_no_empty_listing_of_stages(fapstore: Fapstore) -> None:
    """Row 31 (C22)."""
    fapstore.done("promote shop 1 production")
    time.sleep(1.1)
    fapstore.proxy.before = lambda asked: (
        Answer(200, EMPTY) if "stages" in asked.query and "list-type" in asked.query else None
    )
    assert "shows no stage of shop" in fapstore("gc shop --grace 0s --wait 0s").err
    fapstore.proxy.before = lambda asked: None
    fapstore.done("fetch shop 1 -o got.tgz")


def test_gc_works_where_unfinished_uploads_can_not_be_listed(fapstore: Fapstore) -> None:
    """A3: localbucket, s3rver."""
    fapstore.proxy.before = lambda asked: (
        refusal("NotImplemented", "x", 501) if asked.query.split("&")[0] == "uploads" else None
    )
    fapstore.done("push shop-2.tgz")
    fapstore.done("promote shop 1 production")
    ended = fapstore.done("gc shop --grace 0s --wait 0s")
    assert "this store can't list unfinished uploads, so they stay" in ended.err
    assert "removed" in ended.out


def in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a push of a small file be one in parts."""
    monkeypatch.setattr("artifact_store.blobs.s3.LEAST", 100)
    monkeypatch.setattr("artifact_store.blobs.parts.LEAST", 100)
    monkeypatch.setattr("moto.settings.S3_UPLOAD_PART_MIN_SIZE", 1)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)


def completes(asked: Asked) -> bool:
    return asked.method == "POST" and "uploadId" in asked.query


@pytest.mark.parametrize("times", [1, 100])
def test_a_completion_that_went_through_and_answers_500(
    fapstore: Fapstore, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Row 8 (Hetzner): once, it is noticed; always, the next push finds the bytes."""
    in_small_parts(monkeypatch)
    answered = 0

    def after(asked: Asked) -> Answer | None:
        nonlocal answered
        if not completes(asked) or answered == times:
            return None
        answered += 1
        return refusal("InternalError", "This multipart completion is already in progress", 500)

    fapstore.proxy.after = after
    ended = fapstore("push shop-2.tgz")
    assert ended.code == (0 if times == 1 else 1)
    if ended.code:
        assert "already in progress" in ended.err
        assert fapstore("show shop 2").code == 1
    fapstore.proxy.after = lambda asked: None
    fapstore.done("push shop-2.tgz")
    fapstore.done("verify shop 2")


@pytest.mark.parametrize("times", [2, 100])
def test_a_completion_that_answers_200_with_an_error(
    fapstore: Fapstore, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Row 9: twice, it is tried again; always, there is no version."""
    in_small_parts(monkeypatch)
    answered = 0
    error = b"<Error><Code>InternalError</Code><Message>We encountered an internal error</Message></Error>"

    def before(asked: Asked) -> Answer | None:
        nonlocal answered
        if not completes(asked) or answered == times:
            return None
        answered += 1
        return Answer(200, error)

    fapstore.proxy.before = before
    ended = fapstore("push shop-2.tgz")
    assert ended.code == (0 if times == 2 else 1)
    if ended.code:
        assert "InternalError We encountered an internal error" in ended.err
        assert "the server has trouble: run it again in a few minutes" in ended.err
        assert fapstore("show shop 2").code == 1
    else:
        fapstore.done("verify shop 2")


def test_parts_have_one_length(fapstore: Fapstore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 11 (R2): all but the last."""
    in_small_parts(monkeypatch)
    fapstore.done("push shop-2.tgz")
    lengths = {
        int(asked.query.split("partNumber=")[1].split("&")[0]): int(asked.headers["content-length"])
        for asked in fapstore.proxy.seen
        if "partNumber=" in asked.query
    }
    *same, last = (length for _, length in sorted(lengths.items()))
    assert len(same) > 3
    assert set(same) == {100}
    assert 0 < last <= 100


def test_a_url_of_a_session_says_when_it_ends(fapstore: Fapstore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 12."""
    assert "session" not in fapstore.done("url shop 1 --expires 7d").err
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-session-token")
    said = fapstore.done("url shop 1 --expires 7d").err
    assert "; earlier if the session of the AWS credentials ends" in said


def test_a_proxy_that_does_not_answer(fapstore: Fapstore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 20: its password is not shown."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3.example.com")
    monkeypatch.setenv("HTTP_PROXY", f"http://me:{SECRET}@127.0.0.1:1")
    ended = fapstore("list shop")  # which checks that the secret is not in it
    assert ended.code == 7
    assert "check the network and AWS_ENDPOINT_URL_S3, then run it again" in ended.err


def test_bytes_that_were_deleted_by_hand(fapstore: Fapstore, tmp_path: Path) -> None:
    """Row 21: no URL leads to them, and a push puts them back."""
    store = open_blobs(os.environ["FAP_STORE"])
    (key,) = (key for key in store.keys("shop/artifacts/") if key.endswith(".tgz"))
    store.delete(key)
    for command in ("url shop 1", "fetch shop 1 -o got.tgz", "promote shop 1 staging"):
        ended = fapstore(command)
        assert ended.code == 1
        assert "the bytes of shop 1 are missing" in ended.err
        assert "hint: push the same file again" in ended.err
    fapstore.done("push shop-1.tgz")
    fapstore.done("fetch shop 1 -o got.tgz")
    assert (tmp_path / "got.tgz").read_bytes() == (tmp_path / "shop-1.tgz").read_bytes()


def test_a_gc_at_the_same_moment_as_a_push(fapstore: Fapstore) -> None:
    """Row 22: the bytes of a push that has no record yet are young."""
    other = open_store(os.environ["FAP_STORE"])
    ran = []

    def before(asked: Asked) -> Answer | None:
        if asked.method == "PUT" and asked.path.endswith("/2/artifact.json") and not ran:
            ran.append(plan_gc(other, "shop", Retention(keep=1)))
            run_gc(other, ran[0], Actor("gc"), lambda: None)
        return None

    fapstore.proxy.before = before
    fapstore.done("push shop-2.tgz")
    assert [plan.leftovers for plan in ran] == [()]
    fapstore.done("fetch shop 2 -o got.tgz")


def test_a_push_after_gc_is_refused_plainly(fapstore: Fapstore) -> None:
    """Row 23."""
    fapstore.done("push shop-2.tgz")
    fapstore.done("promote shop 2 production")
    time.sleep(1.1)
    fapstore.done("gc shop --grace 0s --wait 0s")
    ended = fapstore("push shop-1.tgz")
    assert ended.code == 1
    assert "shop 1 was removed with `fapstore gc` by ann" in ended.err
    assert "pack it with a new --version; version numbers are never reused" in ended.err


def test_a_store_that_shows_an_old_state(fapstore: Fapstore) -> None:
    """Row 24: an entry that expires is refused as the last one; see also test_store_head.py."""
    fapstore.done("promote shop 1 production --expires 1s")
    time.sleep(2.1)
    assert "EXPIRED" in fapstore.done("stages shop").out
    ended = fapstore("verify shop")
    assert ended.code == 6
    assert "entry 1 expired at" in ended.out
    with pytest.raises(VerificationError, match="the store or mirror may show an old state"):
        open_store(os.environ["FAP_STORE"]).stages.head_with_link("shop", "production")


def test_a_number_that_was_fast_forwarded(fapstore: Fapstore) -> None:
    """Row 25 (C1)."""
    fapstore.done("push shop-2.tgz")
    fapstore.done("promote shop 1 production")
    fapstore.done("promote shop 2 production")
    open_blobs(os.environ["FAP_STORE"]).create("shop/stages/production/99999999.json", b"{}")
    ended = fapstore("promote shop 1 production")
    assert ended.code == 6
    assert "production/99999999.json is passed over" in ended.err
    assert "production 1  " in fapstore.done("rollback shop production --to 1").out
    assert "entry 100000000" in fapstore.done("stages shop").out


def test_a_rolled_back_version_is_not_promoted_again_without_a_word(fapstore: Fapstore) -> None:
    """Row 26 (kargo#3016)."""
    fapstore.done("push shop-2.tgz")
    for words in ("1 production", "2 staging", "2 production"):
        fapstore.done(f"promote shop {words}")
    fapstore.done("rollback shop production")
    ended = fapstore("promote shop --from staging --to production")
    assert ended.code == 1
    assert "--override" in ended.err
    fapstore.done("promote shop --from staging --to production --override fixed")


def test_virtual_hosts_of_a_profile_are_used(
    fapstore: Fapstore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Row 27."""
    (tmp_path / "config").write_text("[default]\ns3 =\n    addressing_style = virtual\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    bucket = os.environ["FAP_STORE"].split("/")[2]
    port = urlsplit(fapstore.proxy.url).port
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://s3.test:{port}")
    lookup = socket.getaddrinfo
    monkeypatch.setattr(
        "socket.getaddrinfo",
        lambda host, *rest, **more: lookup(
            "127.0.0.1" if str(host).endswith("s3.test") else host, *rest, **more
        ),
    )
    fapstore.proxy.before = always(Answer(200, EMPTY))
    fapstore.proxy.seen.clear()
    assert "contains no apps yet" in fapstore.done("list").err
    (asked,) = fapstore.proxy.seen
    assert asked.headers["host"] == f"{bucket}.s3.test:{port}"
    assert asked.path == "/"


def test_a_server_whose_check_and_write_are_two_steps(fapstore: Fapstore) -> None:
    """Row 29 (Swift, several endpoints): doctor finds it, and no promotion is lost."""
    upstream = fapstore.proxy.answer

    def answer(asked: Asked, target: str, body: bytes, headers: list[tuple[str, str]]) -> Answer:
        if asked.method == "PUT" and "if-none-match" in asked.headers:
            plain = [pair for pair in headers if pair[0].lower() != "if-none-match"]
            unsigned = replace(asked, method="HEAD")
            if upstream(unsigned, target, b"", plain).status == 200:
                return refusal("PreconditionFailed", "x", 412)
            time.sleep(0.01)
            return upstream(asked, target, body, plain)
        return upstream(asked, target, body, headers)

    fapstore.proxy.answer = answer  # type: ignore[method-assign]
    ended = fapstore("doctor")
    assert ended.code == 1
    (line,) = (line for line in ended.out.splitlines() if "create-only, at once" in line)
    assert line.startswith("wrong")
    assert "of 20 rounds, not exactly one of 6 simultaneous writers succeeded -> don't promote here" in line


def test_gc_goes_by_references_and_not_by_age(fapstore: Fapstore) -> None:
    """Row 30 (nexus-public#413)."""
    fapstore.done("promote shop 1 production")
    fapstore.done("push shop-2.tgz")
    time.sleep(1.1)
    said = fapstore.done("gc shop --grace 0s --wait 0s")
    assert "shop 2  " in said.err
    assert "shop 1  " not in said.err
    fapstore.done("fetch shop 1 -o got.tgz")


def test_a_version_is_withdrawn_on_purpose(fapstore: Fapstore) -> None:
    """Row 32 (artipie#1459)."""
    fapstore.done("withdraw shop 1 --why 'it contains a key'")
    ended = fapstore("promote shop 1 production")
    assert ended.code == 1
    assert "1 was withdrawn by ann: it contains a key" in ended.err
