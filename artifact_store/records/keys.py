"""The keys of all objects in a store.

<app>/artifacts/<version>/<sha256>/<operation of the push>/<app>-<version>.tgz
<app>/artifacts/<version>/<sha256>/<operation of the push>/<app>-<version>.sbom.cdx.json, .provenance.json
<app>/artifacts/<version>/artifact.json
<app>/artifacts/<version>/signatures/<sha256 of the signature>.sig
<app>/artifacts/<version>/removed/<operation>.json
<app>/artifacts/<version>/withdrawn/<operation>.json
<app>/stages/<stage>/00000042.json
<app>/stages/<stage>/approvals/<digest>/<sha256 of the signature>.sig
<app>/stages/<stage>/receipts/<number>-<operation>.json
<app>/stages/<stage>/origins/00000001.json
<app>/releases/<stage>/<role>/<time>-<entry>-<operation>.json
<app>/hosts/<stage>/<role>/<host>/<entry>-<time>-<operation>.json
_wheels/<sha256 of an sdist>/<target>/…     shared by builders; no app can have this name
"""

import re
from datetime import datetime

from artifact_store.artifact.ids import (
    ArtifactId,
    check_app,
    check_digest,
    check_host,
    check_operation,
    check_stage,
)

_RECORD = re.compile(r"[^/]+/artifacts/([^/]+)/artifact\.json")
_ARCHIVE = re.compile(r"[^/]+/artifacts/([^/]+)/([0-9a-f]{64})/[^/]+/[^/]+\.tgz")
_WITHDRAWAL = re.compile(r"[^/]+/artifacts/([^/]+)/withdrawn/[^/]+\.json")
_APPROVAL = re.compile(r"[^/]+/stages/[^/]+/approvals/([0-9a-f]{64})/[^/]+")
_ENTRY = re.compile(r"[^/]+/stages/[^/]+/([0-9]{8})\.json")
_RECEIPT = re.compile(r"[^/]+/stages/[^/]+/receipts/([0-9]{8,9})-([^/]+)\.json")
_HOST = re.compile(r"([^/]+/hosts/[^/]+/[^/]+/[^/]+/)[0-9]{8}-[0-9]{8}T[0-9]{6}Z-[^/]+\.json")
_RELEASE = re.compile(r"[^/]+/releases/[^/]+/[^/]+/[0-9]{8}T[0-9]{6}Z-([0-9]{8})-[^/]+\.json")


def artifacts(app: str) -> str:
    """The prefix of all versions of an app."""
    return f"{check_app(app)}/artifacts/"


def record(artifact: ArtifactId) -> str:
    """The key of the record; a version exists if its record exists."""
    return f"{artifacts(artifact.app)}{artifact.version}/artifact.json"


def archive(artifact: ArtifactId, digest: str, operation: str) -> str:
    """The key of the artifact's bytes with the sha256 `digest`, as written by the push `operation`."""
    folder = f"{artifacts(artifact.app)}{artifact.version}/{check_digest(digest)}"
    return f"{folder}/{check_operation(operation)}/{artifact.file_name}"


def evidence(archive: str, kind: str) -> str:
    """The key of the evidence file beside the artifact at the key `archive`; `kind` is its suffix."""
    return archive.removesuffix(".tgz") + kind


def signatures(artifact: ArtifactId) -> str:
    """The prefix of a version's signatures."""
    return f"{artifacts(artifact.app)}{artifact.version}/signatures/"


def removals(artifact: ArtifactId) -> str:
    """The prefix of the marks of gc on a version."""
    return f"{artifacts(artifact.app)}{artifact.version}/removed/"


def removal(artifact: ArtifactId, operation: str) -> str:
    """The key of the mark that the run `operation` of gc writes."""
    return f"{removals(artifact)}{check_operation(operation)}.json"


def withdrawals(artifact: ArtifactId) -> str:
    """The prefix of the withdrawals of a version."""
    return f"{artifacts(artifact.app)}{artifact.version}/withdrawn/"


def withdrawal(artifact: ArtifactId, number: int) -> str:
    """The key of withdrawal `number` (from 1) of a version."""
    return f"{withdrawals(artifact)}{number:08d}.json"


HIGHEST_ENTRY = 999_999_999
"""No log has an entry with a higher number."""


def recorded_version(key: str) -> str | None:
    """The version whose record has this key, or None if it is not the key of a record."""
    match = _RECORD.fullmatch(key)
    return match[1] if match else None


def stored_archive(key: str) -> tuple[str, str] | None:
    """The version and the sha256 of the bytes with this key, or None if it is not the key of an archive."""
    match = _ARCHIVE.fullmatch(key)
    return (match[1], match[2]) if match else None


def withdrawn_version(key: str) -> str | None:
    """The version that a withdrawal with this key is about, or None if it is not the key of one."""
    match = _WITHDRAWAL.fullmatch(key)
    return match[1] if match else None


def stages(app: str) -> str:
    """The prefix of all stages of an app."""
    return f"{check_app(app)}/stages/"


def log(app: str, stage: str) -> str:
    """The prefix of a stage's log."""
    return f"{stages(app)}{check_stage(stage)}/"


def entry(app: str, stage: str, number: int) -> str:
    """The key of entry `number` (from 1) of a stage's log."""
    return f"{log(app, stage)}{number:08d}.json"


def approvals(app: str, stage: str, digest: str) -> str:
    """The prefix of the approvals of an artifact, whose sha256 is `digest`, for a stage."""
    return f"{log(app, stage)}approvals/{check_digest(digest)}/"


def all_approvals(app: str, stage: str) -> str:
    """The prefix of the approvals of all artifacts for a stage."""
    return f"{log(app, stage)}approvals/"


def approved_digest(key: str) -> str | None:
    """The sha256 of the artifact whose approval has this key, or None if it is not the key of an approval."""
    match = _APPROVAL.fullmatch(key)
    return match[1] if match else None


def entry_number(key: str) -> int | None:
    """The number of the log entry with this key, or None if it is not the key of an entry.

    Numbers of nine digits are left out: they count only above 99999999, without a gap.
    """
    match = _ENTRY.fullmatch(key)
    return int(match[1]) if match else None


def origin(app: str, stage: str, number: int) -> str:
    """The key of the mark `number` (from 1) of an entry that begins a stage's log anew."""
    return f"{log(app, stage)}origins/{number:08d}.json"


def receipts(app: str, stage: str) -> str:
    """The prefix of the copies of a stage's entries, which writers keep where two of them may succeed."""
    return f"{log(app, stage)}receipts/"


def receipt(app: str, stage: str, number: int, operation: str) -> str:
    """The key of the copy of entry `number` that the run `operation` wrote."""
    return f"{receipts(app, stage)}{number:08d}-{check_operation(operation)}.json"


def receipt_place(key: str) -> tuple[int, str] | None:
    """The number and the operation of the entry whose copy has this key; None if it is not such a key."""
    match = _RECEIPT.fullmatch(key)
    return (int(match[1]), match[2]) if match else None


def all_releases(app: str) -> str:
    """The prefix of the release records of all stages."""
    return f"{check_app(app)}/releases/"


def releases(app: str, stage: str, role: str | None = None) -> str:
    """The prefix of the release records of a stage, or of one of its roles."""
    folder = f"{all_releases(app)}{check_stage(stage)}/"
    return folder if role is None else f"{folder}{check_stage(role)}/"


def release(app: str, stage: str, role: str, at: datetime, entry: int, operation: str) -> str:
    """The key of the record of a run that released `entry` of the stage's log and ended at `at` (UTC)."""
    name = f"{at:%Y%m%dT%H%M%SZ}-{entry:08d}-{check_operation(operation)}.json"
    return f"{releases(app, stage, role)}{name}"


def released_entry(key: str) -> int | None:
    """The log entry of the release record with this key, or None if it is not the key of such a record."""
    match = _RELEASE.fullmatch(key)
    return int(match[1]) if match else None


def hosts(app: str, stage: str, role: str | None = None) -> str:
    """The prefix of the host records of a stage, or of one of its roles."""
    folder = f"{check_app(app)}/hosts/{check_stage(stage)}/"
    return folder if role is None else f"{folder}{check_stage(role)}/"


def host(app: str, stage: str, role: str, name: str) -> str:
    """The prefix of the records of one host; they sort by entry and time."""
    return f"{hosts(app, stage, role)}{check_host(name)}/"


def host_record(folder: str, entry: int, at: datetime, operation: str) -> str:
    """The key, in a host's folder, of a run that tried `entry` of the log and ended at `at` (UTC)."""
    return f"{folder}{entry:08d}-{at:%Y%m%dT%H%M%SZ}-{check_operation(operation)}.json"


def host_folder(key: str) -> str | None:
    """The host's prefix in this key, or None if it is not the key of a host record."""
    match = _HOST.fullmatch(key)
    return match[1] if match else None


def is_app(folder: str) -> bool:
    """Whether a top folder belongs to an app; names that start with `_` do not."""
    return not folder.startswith("_")


def shared_wheel_entry(source: str, target: str, number: int) -> str:
    """The key of the entry that names the wheel built from an sdist with this sha256 for a target."""
    return f"_wheels/{check_digest(source)}/{target}/{number:08d}.json"


def shared_wheel(source: str, target: str, number: int, digest: str, file: str) -> str:
    """The key of the bytes of that wheel, with the sha256 `digest`."""
    folder = shared_wheel_entry(source, target, number).removesuffix(".json")
    return f"{folder}/{check_digest(digest)}/{file}"
