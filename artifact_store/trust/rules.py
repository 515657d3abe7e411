"""Load the app's rules, from fapstore.toml or pyproject.toml and the command line."""

import codecs
import hashlib
import re
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from artifact_store.artifact.ids import check_app, check_stage
from artifact_store.core import duration, toml_text
from artifact_store.core.errors import UsageError
from artifact_store.stages.policy import Policy

_PUBLIC_KEY = re.compile(rb"\s(?:sk-)?(?:ssh|ecdsa)-[\w.@-]+\s+([A-Za-z0-9+/]+)")
OWN_FILE = "fapstore.toml"
SHARED_FILE = "pyproject.toml"


@dataclass(frozen=True, kw_only=True)
class Trust:
    """The rules for stages, the allowed signers, and the key to sign with."""

    policy: Policy
    policy_digest: str = ""
    """The sha256 of the rules and the allowed signers, in hexadecimal; empty if there are no rules."""
    signers: Path | None = None
    """An OpenSSH allowed-signers file."""
    key: Path | None = None
    """A private key, or the public key of one in ssh-agent."""


NO_RULES = Trust(policy=Policy())


def signed_by(signers: Path) -> Trust:
    """A Trust whose only rule is that everything must be signed by one of these allowed signers.

    Raises UsageError as `check_signers`.
    """
    check_signers(signers)
    return Trust(policy=Policy(require_signatures=True), signers=signers)


def load(
    folder: Path, config: Path | None = None, signers: Path | None = None, key: Path | None = None
) -> Trust:
    """Load the rules from `config`, or from fapstore.toml or pyproject.toml ([tool.fapstore]) in `folder`.

    `signers` replaces the signers of the file, and requires signatures. Raises UsageError for a file that
    can't be read, an unknown key, a wrong value, and rules that can't be fulfilled.
    """
    path, values = (config, _values(config)) if config else _file_of(folder)
    if config and values is None:
        raise UsageError(
            f"{config} has no [tool.fapstore]", hint="add this table to the file, with the rules"
        )
    policy = _policy(values, path.name) if path and values is not None else Policy()
    if policy.signers and path and not signers:
        signers = path.parent / policy.signers
    elif signers:
        policy = msgspec.structs.replace(policy, require_signatures=True)
    if signers:
        check_signers(signers)
    digest = _digest(policy, signers) if values is not None else ""
    return Trust(policy=policy, policy_digest=digest, signers=signers, key=key)


def check_signers(signers: Path) -> None:
    """Raise UsageError for a file of allowed signers that is missing, or that ssh-keygen would misread.

    OpenSSH takes a byte order mark for a part of the first name. Of a key that is listed for two people, it
    reports those of the first line alone. The format: ALLOWED SIGNERS in ssh-keygen(1).
    """
    if not signers.is_file():
        raise UsageError(f"{signers} does not exist", hint="it lists the allowed signers: see ssh-keygen(1)")
    content = signers.read_bytes()
    if content.startswith(codecs.BOM_UTF8):
        raise UsageError(
            f"{signers} begins with a byte order mark, which would be a part of the first name",
            hint=f"remove it: sed -i '1s/^\\xEF\\xBB\\xBF//' {signers}",
        )
    people: dict[bytes, tuple[int, bytes]] = {}
    for number, line in enumerate(content.splitlines(), 1):
        key = _PUBLIC_KEY.search(line)
        if line.lstrip().startswith(b"#") or not key:
            continue
        before, names = people.setdefault(key[1], (number, line.split()[0]))
        if line.split()[0] != names:
            raise UsageError(
                f"{signers}: lines {before} and {number} list one key for different people, and only the "
                f"first would count",
                hint="give each person a key of their own, or list their names in one line: ann@x,bob@x",
            )


def _file_of(folder: Path) -> tuple[Path | None, dict[str, Any] | None]:
    """The file with the rules in a folder, and its values."""
    own, shared = (
        (path, _values(path)) if path.is_file() else (None, None)
        for path in (folder / OWN_FILE, folder / SHARED_FILE)
    )
    if own[0] and shared[1] is not None:
        raise UsageError(
            f"both {OWN_FILE} and [tool.fapstore] in {SHARED_FILE} exist", hint="remove one of them"
        )
    return own if own[0] else shared


def _values(path: Path) -> dict[str, Any] | None:
    """The table with the rules in a file; None if a pyproject.toml has no such table."""
    try:
        values = toml_text.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"{path} can't be read: {error.strerror}", hint="name the rules with --config"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name}: {error}", hint="fix the file") from error
    if path.name != SHARED_FILE:
        return values
    tool = values.get("tool", {})
    table = tool.get("fapstore") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise UsageError(f"{path.name}: tool.fapstore is not a table", hint="write [tool.fapstore]")
    return table


def _policy(values: dict[str, Any], name: str) -> Policy:
    for key in values:
        if key not in Policy.__struct_fields__:
            near = get_close_matches(key, Policy.__struct_fields__, n=1)
            known = f"known keys: {', '.join(Policy.__struct_fields__)}"
            raise UsageError(
                f"{name}: unknown key {key!r}", hint=f"did you mean {near[0]}?" if near else known
            )
    try:
        policy = msgspec.convert(values, Policy)
    except msgspec.ValidationError as error:
        text, _, key = str(error).partition(" - at `$")
        raise UsageError(
            f"{name}{key.rstrip('`').replace('.', ' ', 1)}: {text}", hint="see docs/fapstore.toml"
        ) from error
    _check(policy, name)
    return policy


def _check(policy: Policy, name: str) -> None:
    for stage in (*policy.stages, *policy.protected):
        check_stage(stage)
    if policy.app:
        check_app(policy.app)
    if len(set(policy.stages)) < len(policy.stages):
        raise UsageError(f"{name} stages: a stage is listed twice", hint="list each stage once, in order")
    for stage in policy.protected:
        if policy.stages and stage not in policy.stages:
            raise UsageError(
                f"{name} protected: {stage} is not in stages", hint="list it in both, or in neither"
            )
    if policy.require_released and not set(policy.protected) & set(policy.stages[1:]):
        raise UsageError(
            f"{name} require_released: no protected stage has a previous stage",
            hint='for example: stages = ["staging", "production"] and protected = ["production"]',
        )
    _check_max_age(policy, name)
    if policy.approvals < 0 or (policy.approvals and not policy.protected):
        raise UsageError(
            f"{name} approvals: {policy.approvals}, but no stage is protected",
            hint="list stages in `protected`",
        )
    if policy.approvers and len(set(policy.approvers)) < policy.approvals:
        raise UsageError(
            f"{name} approvals: {policy.approvals} required, but approvers: {len(set(policy.approvers))}",
            hint="add approvers, or require fewer approvals",
        )
    if (policy.approvals or policy.require_signatures) and not policy.signers:
        raise UsageError(
            f"{name}: signatures are required, but there are no allowed signers",
            hint='set signers = "allowed_signers", a file with lines like: ann@example.com ssh-ed25519 AAAA…',
        )


def _check_max_age(policy: Policy, name: str) -> None:
    if not policy.max_age:
        return
    try:
        if not duration.parse(policy.max_age):
            raise ValueError("0 is too short")
    except ValueError as error:
        raise UsageError(f"{name} max_age: {error}", hint='for example: max_age = "14d"') from error
    if not policy.protected:
        raise UsageError(
            f"{name} max_age: {policy.max_age}, but no stage is protected", hint="list stages in `protected`"
        )


def _digest(policy: Policy, signers: Path | None) -> str:
    hashed = hashlib.sha256(msgspec.json.encode(policy))
    if signers:
        hashed.update(signers.read_bytes())
    return hashed.hexdigest()
