"""Check the settings of a bucket or folder. Pure functions."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from artifact_store.core.finding import Finding

_ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")
# "The meaning of public" in the Amazon S3 User Guide; DataAccessPointArn is left out
_RESTRICTING = frozenset(
    f"aws:{name}".lower()
    for name in (
        "SourceIp",
        "SourceArn",
        "SourceVpc",
        "SourceVpce",
        "SourceOwner",
        "SourceAccount",
        "userid",
        "PrincipalArn",
        "PrincipalAccount",
        "PrincipalOrgID",
        "PrincipalOrgPaths",
    )
)


class StorageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a storage, as in the S3 API. None means unknown, or not readable."""

    lifecycle: tuple[dict[str, Any], ...] | None = None
    """The rules that expire or archive objects (GetBucketLifecycleConfiguration)."""
    prefix: str = ""
    """The prefix of the store in the bucket; empty, or ends in `/`."""
    policy: str | None = None
    """The bucket's policy as JSON; empty if it has none."""
    policy_is_public: bool | None = None
    """What the server says of the policy (GetBucketPolicyStatus)."""
    grants: tuple[str, ...] | None = None
    """The groups that the bucket's ACL gives access to."""
    blocked: bool | None = None
    """Whether public access is blocked, regardless of policy and ACL."""
    versioned: bool | None = None
    checks_bytes: bool | None = None
    """Whether an upload with a wrong checksum is refused."""
    open_to_all: bool | None = None
    """For a folder: whether every user of the machine can write to it."""
    elsewhere: tuple[str, ...] = ()
    """For a folder: the folders in it that lie on another file system."""
    closed_to_group: tuple[str, ...] = ()
    """For a folder that a group shares: the folders in it that the group can't write to."""
    unshared: bool = False
    """For a folder: whether its mode lets a group write to it, although it was not made for a group."""


def findings(settings: StorageSettings) -> Iterator[Finding]:
    """Check the settings."""
    if settings.open_to_all is not None:
        yield _folder(settings.open_to_all)
        yield from _places(settings)
        return
    yield from _lifecycle(settings.lifecycle, settings.prefix)
    yield _public(settings)
    if settings.versioned is not None:
        yield _versioning(settings.versioned)
    if settings.checks_bytes is not None:
        yield _checksums(settings.checks_bytes)


def _folder(open_to_all: bool) -> Finding:
    if open_to_all:
        return Finding("access", "wrong", "every user of this machine can write to it", "chmod -R o-w FOLDER")
    return Finding("access", "right", "not writable for every user of this machine")


def _places(settings: StorageSettings) -> Iterator[Finding]:
    if settings.elsewhere:
        yield Finding(
            "file system",
            "wrong",
            f"{_some(settings.elsewhere)}: on another file system, so nothing can be written there",
            "mount the whole store as one file system, without links to others",
        )
    else:
        yield Finding("file system", "right", "the whole store is on one")
    if settings.closed_to_group:
        yield Finding(
            "group",
            "wrong",
            f"{_some(settings.closed_to_group)}: the store's group can't write there",
            "as their owner: chgrp -R GROUP, then chmod -R g+rwX,g+s",
        )
    elif settings.unshared:
        yield Finding(
            "group",
            "note",
            "a group may write to it, but folders that one user makes may be closed to the others",
            "share it whatever the umask: fapstore init --group GROUP",
        )


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _lifecycle(rules: tuple[dict[str, Any], ...] | None, prefix: str) -> Iterator[Finding]:
    if rules is None:
        yield Finding(
            "lifecycle",
            "note",
            "the bucket's lifecycle rules can't be read",
            "allow s3:GetLifecycleConfiguration, or check yourself that no rule expires or archives objects",
        )
        return
    expiring = [rule for rule in rules if _expires(rule) and _touches(rule, prefix)]
    for rule in expiring:
        yield Finding(
            "lifecycle",
            "wrong",
            f"rule {rule.get('ID', '')!r} removes objects by age, even if they are in use",
            "remove the rule; `fapstore gc` removes unused versions",
        )
    archiving = [rule for rule in rules if _archives(rule) and _touches(rule, prefix)]
    for rule in archiving:
        yield Finding(
            "lifecycle",
            "wrong",
            f"rule {rule.get('ID', '')!r} archives objects by age: what is archived can't be released",
            "remove the transition, or use a class that is read at once, such as GLACIER_IR",
        )
    if not expiring and not archiving:
        yield Finding("lifecycle", "right", "no rule removes objects by age")


def _expires(rule: dict[str, Any]) -> bool:
    expiration = rule.get("Expiration", {})
    return rule.get("Status") == "Enabled" and ("Days" in expiration or "Date" in expiration)


def _archives(rule: dict[str, Any]) -> bool:
    """Whether a rule moves objects to a class that needs a restore before they can be read."""
    transitions = [*rule.get("Transitions", ()), *filter(None, [rule.get("Transition")])]
    classes = {transition.get("StorageClass") for transition in transitions}
    return rule.get("Status") == "Enabled" and not classes.isdisjoint(_ARCHIVES)


def _touches(rule: dict[str, Any], prefix: str) -> bool:
    """Whether a rule can apply to keys of the store. A rule limited by tags or size counts as well."""
    filter_ = rule.get("Filter") or {}
    wanted = rule.get("Prefix") or filter_.get("Prefix") or filter_.get("And", {}).get("Prefix") or ""
    return bool(wanted.startswith(prefix) or prefix.startswith(wanted))


def _public(settings: StorageSettings) -> Finding:
    fix = "turn on Block Public Access of the bucket; hosts download with presigned URLs"
    if settings.blocked:
        return Finding("public access", "right", "it is blocked")
    if any(grant.endswith(("/AllUsers", "/AuthenticatedUsers")) for grant in settings.grants or ()):
        return Finding("public access", "wrong", "the bucket's ACL gives everyone access", fix)
    is_public = _is_public(settings)
    if is_public:
        return Finding("public access", "wrong", "the bucket's policy gives everyone access", fix)
    if is_public is None or settings.grants is None:
        return Finding("public access", "note", "the bucket's policy or ACL can't be read", fix)
    return Finding("public access", "right", "neither policy nor ACL gives everyone access")


def _is_public(settings: StorageSettings) -> bool | None:
    """Whether the bucket's policy gives everyone access; None if that can't be read.

    The server knows best. Other servers than Amazon's do not say; then the policy itself is looked at.
    """
    if settings.policy_is_public is not None:
        return settings.policy_is_public
    if not settings.policy:
        return None if settings.policy is None else False
    try:
        statements = json.loads(settings.policy)["Statement"]
        listed = [statements] if isinstance(statements, dict) else statements
        return any(_lets_everyone_in(statement) for statement in listed)
    except (ValueError, TypeError, KeyError, AttributeError):  # some servers answer with something else
        return None


def _lets_everyone_in(statement: dict[str, Any]) -> bool:
    principal = statement.get("Principal")
    named = principal.values() if isinstance(principal, dict) else [principal]
    everyone = any("*" in (value if isinstance(value, list) else [value]) for value in named)
    return (
        statement.get("Effect") == "Allow"
        and (everyone or "NotPrincipal" in statement)
        and not _restricts(statement.get("Condition") or {})
    )


def _restricts(condition: dict[str, Any]) -> bool:
    """Whether a statement with this condition lets in only some, by the rules of Amazon S3."""
    for operator, keys in condition.items():
        positive = "not" not in operator.lower() and "null" not in operator.lower()
        for key, given in keys.items() if isinstance(keys, dict) else ():
            values = given if isinstance(given, list) else [given]
            open_ = any(str(value) in ("*", "") or str(value).endswith("/0") for value in values)
            if positive and key.lower() in _RESTRICTING and not open_:
                return True
    return False


def _versioning(on: bool) -> Finding:
    if on:
        return Finding("versioning", "right", "it is on: deleted objects can be restored")
    return Finding(
        "versioning",
        "note",
        "it is off: deleted objects can't be restored",
        "turn on versioning of the bucket, with a rule that expires noncurrent versions",
    )


def _checksums(checked: bool) -> Finding:
    if checked:
        return Finding("checksums", "right", "a damaged upload is refused")
    return Finding(
        "checksums",
        "note",
        "a damaged upload is stored, and only noticed when it is downloaded",
        "use https, and a store that checks x-amz-checksum headers",
    )
