"""What the settings of a bucket or folder mean for what is stored there: pure judgement."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from artifact_store.core.finding import Finding


class StorageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a place is set up, as the S3 API tells it; None is what can't be told or is not known there."""

    lifecycle: tuple[dict[str, Any], ...] | None = None
    """The rules that expire objects (GetBucketLifecycleConfiguration)."""
    prefix: str = ""
    """Of the store in the bucket; ends in `/` if there is one."""
    policy: str | None = None
    """The bucket's policy as JSON; empty if it has none."""
    grants: tuple[str, ...] | None = None
    """Who the bucket's ACL lets in."""
    blocked: bool | None = None
    """Whether public access is blocked whatever policy and ACL say."""
    versioned: bool | None = None
    checks_bytes: bool | None = None
    """Whether an upload whose bytes don't match its checksum is refused."""
    open_to_all: bool | None = None
    """Of a folder: whether every user of the machine can write there."""


def findings(settings: StorageSettings) -> Iterator[Finding]:
    """What is right and wrong with them."""
    if settings.open_to_all is not None:
        yield _folder(settings.open_to_all)
        return
    yield from _lifecycle(settings.lifecycle, settings.prefix)
    yield _public(settings)
    if settings.versioned is not None:
        yield _versioning(settings.versioned)
    if settings.checks_bytes is not None:
        yield _checksums(settings.checks_bytes)


def _folder(open_to_all: bool) -> Finding:
    if open_to_all:
        return Finding("access", "wrong", "every user of this machine can write there", "chmod -R o-w it")
    return Finding("access", "right", "not every user of this machine can write there")


def _lifecycle(rules: tuple[dict[str, Any], ...] | None, prefix: str) -> Iterator[Finding]:
    if rules is None:
        yield Finding(
            "lifecycle",
            "note",
            "the bucket's rules can't be read",
            "allow s3:GetLifecycleConfiguration, or look yourself that no rule expires objects by age",
        )
        return
    wrong = [rule for rule in rules if _expires(rule) and _touches(rule, prefix)]
    for rule in wrong:
        yield Finding(
            "lifecycle",
            "wrong",
            f"rule {rule.get('ID', '')!r} removes objects by age, be they live or not",
            "remove the rule; `fapstore gc` removes what nothing refers to",
        )
    if not wrong:
        yield Finding("lifecycle", "right", "no rule removes objects by age")


def _expires(rule: dict[str, Any]) -> bool:
    expiration = rule.get("Expiration", {})
    return rule.get("Status") == "Enabled" and ("Days" in expiration or "Date" in expiration)


def _touches(rule: dict[str, Any], prefix: str) -> bool:
    """Whether its prefix and the store's have keys in common; one limited by tags or size may, too."""
    filter_ = rule.get("Filter") or {}
    wanted = rule.get("Prefix") or filter_.get("Prefix") or filter_.get("And", {}).get("Prefix") or ""
    return bool(wanted.startswith(prefix) or prefix.startswith(wanted))


def _public(settings: StorageSettings) -> Finding:
    fix = "turn on Block Public Access of the bucket; hosts download with presigned URLs"
    if settings.blocked:
        return Finding("public access", "right", "is blocked")
    if any(grant.endswith(("/AllUsers", "/AuthenticatedUsers")) for grant in settings.grants or ()):
        return Finding("public access", "wrong", "the bucket's ACL lets everyone in", fix)
    if settings.policy and _is_public(settings.policy):
        return Finding("public access", "wrong", "the bucket's policy allows everyone something", fix)
    if settings.policy is None or settings.grants is None:
        return Finding("public access", "note", "the bucket's policy or ACL can't be read", fix)
    return Finding("public access", "right", "neither policy nor ACL lets everyone in")


def _is_public(policy: str) -> bool:
    statements = json.loads(policy).get("Statement", [])
    return any(
        statement.get("Effect") == "Allow"
        and statement.get("Principal") in ("*", {"AWS": "*"}, {"AWS": ["*"]})
        and not statement.get("Condition")
        for statement in ([statements] if isinstance(statements, dict) else statements)
    )


def _versioning(on: bool) -> Finding:
    if on:
        return Finding("versioning", "right", "is on: who deletes an object by mistake can have it back")
    return Finding(
        "versioning",
        "note",
        "is off: an object that someone deletes by hand is gone",
        "turn on versioning of the bucket, with a rule that expires noncurrent versions",
    )


def _checksums(checked: bool) -> Finding:
    if checked:
        return Finding("checksums", "right", "an upload that was damaged on its way is refused")
    return Finding(
        "checksums",
        "note",
        "a damaged upload is stored, and noticed only when it is fetched",
        "use https, and a store that honours x-amz-checksum headers",
    )
