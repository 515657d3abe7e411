"""The names in a store: app, version, stage, host, operation, and sha256 digest."""

import re
from dataclasses import dataclass

from artifact_store.core.errors import UsageError

_APP = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_STAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_OPERATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def check_app(name: str) -> str:
    """Return `name` if it is a valid app name; otherwise raise UsageError."""
    if not _APP.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a valid app name",
            hint="use at most 64 lower-case letters, digits, '.', '_' and '-'; start with a letter or digit",
        )
    return name


def check_version(version: str) -> str:
    """Return `version` if it is a valid version; otherwise raise UsageError."""
    if not _VERSION.fullmatch(version):
        raise UsageError(
            f"{version!r} is not a valid version",
            hint="use at most 128 letters, digits, '.', '_', '+' and '-'; start with a letter or digit",
        )
    return version


def is_version(name: str) -> bool:
    """Whether a name is a valid version."""
    return _VERSION.fullmatch(name) is not None


def check_stage(stage: str) -> str:
    """Return `stage` if it is a valid name for a stage or role; otherwise raise UsageError."""
    if not _STAGE.fullmatch(stage):
        raise UsageError(
            f"{stage!r} is not a valid name for a stage or role",
            hint="use at most 64 letters, digits, '_' and '-'; start with a letter or digit",
        )
    return stage


def is_stage(name: str) -> bool:
    """Whether a name is valid for a stage or role."""
    return _STAGE.fullmatch(name) is not None


def check_host(host: str) -> str:
    """Return `host` if it is a valid host name in a store; otherwise raise UsageError."""
    if not _HOST.fullmatch(host):
        raise UsageError(
            f"{host!r} is not a valid host name in a store",
            hint="use at most 253 letters, digits, '.', '_' and '-': the host's name or id",
        )
    return host


def check_operation(operation: str) -> str:
    """Return `operation`, the random id of a run, if it is valid; otherwise raise UsageError."""
    if not _OPERATION.fullmatch(operation):
        raise UsageError(
            f"{operation!r} is not a valid id of a run",
            hint="use at most 64 letters, digits, '.', '_' and '-'",
        )
    return operation


def check_digest(digest: str) -> str:
    """Return `digest` if it is a sha256 in lower-case hexadecimal; otherwise raise UsageError."""
    if not _DIGEST.fullmatch(digest):
        raise UsageError(
            f"{digest!r} is not a sha256", hint="a sha256 has 64 hexadecimal digits, in lower case"
        )
    return digest


@dataclass(frozen=True, order=True)
class ArtifactId:
    """One version of one app. It is never reused for other bytes."""

    app: str
    version: str

    def __post_init__(self) -> None:
        check_app(self.app)
        check_version(self.version)

    @property
    def file_name(self) -> str:
        """`<app>-<version>.tgz`"""
        return f"{self.app}-{self.version}.tgz"

    def __str__(self) -> str:
        return f"{self.app} {self.version}"
