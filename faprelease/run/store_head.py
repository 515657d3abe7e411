"""What was promoted to a stage, read from the store."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from artifact_store.records.releases import ReleaseRecord
from faprelease.config.artifact_source import ArtifactSource
from faprelease.config.settings import Settings
from faprelease.config.target import Target
from faprelease.errors import ConfigError, VerificationError

if TYPE_CHECKING:
    from artifact_store.store.store import Store
    from artifact_store.trust.rules import Trust


def store_of(target: Target) -> str:
    """Return the URL of the store that FAP_STORE or deploy.yml names, empty if neither does."""
    return os.environ.get("FAP_STORE") or target.settings.store


def find(target: Target, folder: Path) -> ArtifactSource:
    """Return what was promoted to the target's stage; `folder` is that of deploy.yml.

    Raises ConfigError if no store is named or nothing was promoted; StoreError if it can't be read;
    VerificationError if `store_signers` or `store_policy` demand signatures, approvals or earlier stages
    that are missing, or the log's entry has expired.
    """
    settings = target.settings
    where = store_of(target)
    if not where:
        raise ConfigError(
            "no artifact named",
            hint="give --curl-url URL, or name the store: `store: s3://bucket/prefix` in deploy.yml",
        )
    app, stage = settings.project_name, settings.stage
    store = _open(target, folder)
    try:
        found = store.stages.head_with_link(app, stage)
    except VerificationError as error:
        hint = error.hint.filled(fapstore=f"fapstore --store {where}")
        raise VerificationError(f"not released: {error.message}", hint=hint) from error
    if found is None:
        raise ConfigError(
            f"nothing was promoted to {stage} of {app} in {where} yet",
            hint=f"fapstore --store {where} promote {app} VERSION {stage}",
        )
    state, link = found
    return ArtifactSource(
        url=link.url,
        digest=state.digest,
        root=state.root,
        name=f"{app} {state.version}",
        app=app,
        version=state.version,
        entry=state.number,
        origin=state.origin,
    )


def current(target: Target, folder: Path) -> str:
    """Return the version on the target's stage, empty if it has none. Raises the errors of the store."""
    state = _open(target, folder).stages.head(target.settings.project_name, target.settings.stage)
    return state.version if state else ""


def version(target: Target, folder: Path, name: str) -> ArtifactSource:
    """Return a version of the same store, whatever was promoted last.

    Raises NotFoundError, and VerificationError if `store_signers` or `store_policy` refuse it.
    """
    app, store = target.settings.project_name, _open(target, folder)
    record = store.artifacts.get(app, name)
    store.stages.check_rules(record, target.settings.stage)
    return ArtifactSource(
        url=store.artifacts.link(app, name).url,
        digest=record.digest,
        root=store.artifacts.root(record),
        name=f"{app} {name}",
        app=app,
        version=name,
    )


def open_to_write(target: Target, folder: Path, key: Path | None) -> "Store":
    """Open the store to change a stage, with `key` to sign. The rules are those that deploy.yml names, or
    else those beside it, as `fapstore` reads them."""
    from artifact_store.store.store import open_store
    from artifact_store.trust import rules

    settings = target.settings
    policy = folder / settings.store_policy if settings.store_policy else None
    signers = folder / settings.store_signers if settings.store_signers else None
    return open_store(store_of(target), rules.load(folder, policy, signers, key), existing=True)


def _open(target: Target, folder: Path) -> "Store":
    from artifact_store.store.store import open_store

    return open_store(store_of(target), _trust(target.settings, folder), existing=True)


def _trust(settings: Settings, folder: Path) -> "Trust":
    """The rules and signers that deploy.yml names; `folder` is its own."""
    from artifact_store.trust import rules

    signers = folder / settings.store_signers if settings.store_signers else None
    policy = folder / settings.store_policy if settings.store_policy else None
    for path, what in (
        (signers, "store_signers names OpenSSH's allowed-signers file"),
        (policy, "store_policy names the app's rules, as fapstore.toml"),
    ):
        if path and not path.is_file():
            raise ConfigError(f"there is no {path}", hint=what)
    if policy:
        return rules.load(folder, policy, signers)
    return rules.signed_by(signers) if signers else rules.NO_RULES


def releases(target: Target, role: str | None) -> tuple[ReleaseRecord, ...]:
    """Return the release records of a stage or role; none without a store that can list them."""
    where = store_of(target)
    if not where:
        return ()
    from artifact_store.store.store import open_store

    store = open_store(where, existing=True)
    if not store.can_list:
        return ()
    return store.records.releases(target.settings.project_name, target.settings.stage, role)


def since(target: Target, source: ArtifactSource) -> int:
    """Return the number of the log entry that promoted the version; later ones may only have frozen it."""
    from artifact_store.stages.log_rules import KEEPING
    from artifact_store.store.store import open_store

    settings, store = target.settings, open_store(store_of(target), existing=True)
    for entry in store.stages.log(settings.project_name, settings.stage).readable():
        if entry.state.number <= source.entry and entry.state.action not in KEEPING:
            return entry.state.number
    return source.entry
