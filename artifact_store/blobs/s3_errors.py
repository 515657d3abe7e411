"""Explain the errors of S3 servers: what the server said, and what to look at. Pure functions.

Error codes are those of the Amazon S3 API Reference, "Error responses". Other servers use the same, and some
have their own.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from artifact_store.core.errors import (
    ConflictError,
    FapError,
    NotFoundError,
    StoreError,
    UncertainError,
    UnreachableError,
)
from artifact_store.core.hints import Hint

MISSING: Final = ("404", "NoSuchKey", "NotFound")
TAKEN: Final = ("412", "PreconditionFailed")
AGAIN: Final = ("409", "ConditionalRequestConflict", "OperationAborted")
UNSUPPORTED: Final = ("501", "NotImplemented", "405", "MethodNotAllowed", "UnsupportedOperation")
_REGION = (
    "301",
    "307",
    "PermanentRedirect",
    "TemporaryRedirect",
    "AuthorizationHeaderMalformed",
    "AuthorizationQueryParametersError",
    "IllegalLocationConstraintException",
)
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired")
_LOGIN = "get new credentials (`aws sso login`, or as you got these), then run it again"
_SERVER = "the server has trouble: run it again in a few minutes"
_ENDPOINT = "check AWS_ENDPOINT_URL_S3: a console, a proxy or a login page answers, and not an S3 server"
HIDDEN: Final = "***"
_SHORTEST_SECRET = 8  # a shorter value is that of a test server, and may be a usual word


class NoUploadError(StoreError):
    """The multipart upload has ended or never existed."""


class BehindEndError(StoreError):
    """The range starts behind the last byte."""


class AgainError(StoreError):
    """Another write of this key is running: repeat the create."""


class UnsupportedError(StoreError):
    """The server does not have this operation, or a header of it."""


class OverwritingError(StoreError):
    """The server refuses conditional writes, so nothing prevents overwriting."""


def refusal(code: str, status: int, message: str, where: str, *, region: str, now: datetime) -> FapError:
    """The error for an answer of an S3 server about `where`, a URL.

    `region` is the region that the answer names, or empty; `now` is this machine's clock, in UTC.
    """
    said = " ".join(filter(None, (code, message))) or f"status {status}"
    if code == "NoSuchBucket":
        bucket = "/".join(where.split("/")[:3])
        return StoreError(f"{bucket}: the bucket does not exist", hint=f"aws s3 mb {bucket}")
    if code in MISSING:
        return NotFoundError(f"{where} does not exist")
    if code in TAKEN:
        return ConflictError(f"{where} already exists")
    if code in AGAIN:
        return AgainError(f"{where}: {said}", hint="run it again")
    if code == "NoSuchUpload":
        return NoUploadError(f"{where}: {said}", hint="run it again: the upload starts anew")
    if code == "InvalidRange":
        return BehindEndError(f"{where}: {said}", hint="run it again")
    if code in UNSUPPORTED or status == 501:
        return UnsupportedError(
            f"{where}: the server does not support this ({said})",
            hint=Hint("see what the server can do: {fapstore} doctor"),
        )
    if code in _REGION:
        named = f"set AWS_DEFAULT_REGION={region}" if region else "set AWS_DEFAULT_REGION to its region"
        return StoreError(f"{where}: the bucket is in another region ({said})", hint=named)
    if code in _EXPIRED:
        return StoreError(f"{where}: the AWS credentials have expired ({said})", hint=_LOGIN)
    if code == "InvalidToken":
        return StoreError(
            f"{where}: AWS_SESSION_TOKEN is not valid ({said})",
            hint="it belongs to other keys, or was cut: " + _LOGIN,
        )
    if code == "RequestTimeTooSkewed":
        return StoreError(
            f"{where}: the clock of this machine is wrong: {now:%Y-%m-%d %H:%M} UTC ({said})",
            hint="set the clock (timedatectl set-ntp true), then run it again",
        )
    if code == "RequestExpired":
        return StoreError(
            f"{where}: the request was too old when it arrived ({said})",
            hint="set the clock (timedatectl set-ntp true), or check a slow proxy, then run it again",
        )
    if code == "InvalidObjectState":
        return StoreError(
            f"{where} is archived and can't be read now ({said})",
            hint="restore it (`aws s3api restore-object`), and remove the lifecycle rule that archives it",
        )
    if "kms" in said.lower():
        return StoreError(
            f"{where}: refused ({said})",
            hint="allow kms:GenerateDataKey and kms:Decrypt for the key; FAP_S3_SSE names another one",
        )
    if status in (401, 403):
        return StoreError(
            f"{where}: refused ({said})",
            hint="check the AWS credentials (`aws sts get-caller-identity`) and their permissions; "
            "if the bucket requires encryption headers, set FAP_S3_SSE",
        )
    if status >= 500:
        return UncertainError(f"{where}: {said}", hint=_SERVER)
    if code.isdigit() or not code:  # the answer to a HEAD has no text
        hint = f"check the AWS credentials, or {_ENDPOINT}"
        return StoreError(f"{where}: the server answers {status} and no error of S3", hint=hint)
    return StoreError(
        f"{where}: refused ({said})", hint=f"look up {code} in the documentation or the log of the server"
    )


def overwriting(error: StoreError) -> OverwritingError:
    """The error for a server that refuses If-None-Match with `error`."""
    return OverwritingError(
        f"{error.message}: without If-None-Match, it can't prevent overwriting",
        hint=Hint(
            "use another store (docs/reference/store.md); or, if only one job at a time writes to this one: "
            "{fapstore} --unsafe-store"
        ),
    )


def wants_md5(error: StoreError) -> bool:
    """Whether a refused write may pass with Content-MD5 in place of x-amz-checksum headers."""
    said = error.message.lower()
    return isinstance(error, UnsupportedError) or "content-md5" in said or "x-amz-checksum" in said


def not_s3(where: str) -> StoreError:
    """The error for a success that no S3 server would give."""
    return StoreError(f"{where}: the answer is not that of an S3 server", hint=_ENDPOINT)


def unreachable(where: str, text: str) -> FapError:
    """The error for a connection that failed with `text`."""
    if "Invalid header" in text:
        return StoreError(
            f"{where}: a credential can't be sent in a header",
            hint="check AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN for a line break at their end",
        )
    return UnreachableError(
        f"{where}: {text}", hint="check the network and AWS_ENDPOINT_URL_S3, then run it again"
    )


def redacted(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets, with or without their line breaks."""
    forms = {form for secret in secrets for form in (secret, secret.strip())}
    for form in sorted(forms, key=len, reverse=True):
        if len(form) >= _SHORTEST_SECRET:
            text = text.replace(form, HIDDEN)
    return text
