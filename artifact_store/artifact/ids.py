"""What names an artifact: its app, its version and the sha256 digest of its bytes."""

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
    """Return `name` if it can be a file name and part of a URL; raise UsageError otherwise."""
    if not _APP.fullmatch(name):
        raise UsageError(
            f"{name!r} can't be an app name",
            hint="use lower-case letters, digits, '.', '_' and '-', at most 64",
        )
    return name


def check_version(version: str) -> str:
    """Return `version` if it can be a file name and part of a URL; raise UsageError otherwise."""
    if not _VERSION.fullmatch(version):
        raise UsageError(
            f"{version!r} can't be a version",
            hint="use letters, digits, '.', '_', '+' and '-', at most 128, starting with a letter or digit",
        )
    return version


def check_stage(stage: str) -> str:
    """Return the name of a stage or role if it can be a folder name and an argument; else UsageError."""
    if not _STAGE.fullmatch(stage):
        raise UsageError(
            f"{stage!r} can't name a stage or role", hint="use letters, digits, '_' and '-', at most 64"
        )
    return stage


def check_host(host: str) -> str:
    """Return `host`, the name of a machine, if it can be a folder name; raise UsageError otherwise."""
    if not _HOST.fullmatch(host):
        raise UsageError(
            f"{host!r} can't name a host in a store",
            hint="use letters, digits, '.', '_' and '-', at most 253: its name, or its id",
        )
    return host


def check_operation(operation: str) -> str:
    """Return `operation`, the random id of one run, if it can be part of a file name; else UsageError."""
    if not _OPERATION.fullmatch(operation):
        raise UsageError(
            f"{operation!r} can't be the id of a run",
            hint="use letters, digits, '.', '_' and '-', at most 64",
        )
    return operation


def check_digest(digest: str) -> str:
    """Return `digest` if it is 64 lower-case hexadecimal digits (a sha256); raise UsageError otherwise."""
    if not _DIGEST.fullmatch(digest):
        raise UsageError(
            f"{digest!r} is not a sha256", hint="a sha256 is 64 hexadecimal digits, in lower case"
        )
    return digest


@dataclass(frozen=True, order=True)
class ArtifactId:
    """One version of one app; never reused for other bytes."""

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
