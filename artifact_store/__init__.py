"""Immutable artifacts, and the logs of the stages that run them. The command is `fapstore`.

    >>> from pathlib import Path
    >>> from artifact_store import Actor, open_store
    >>> store, ann = open_store("./store"), Actor("ann")
    >>> record = store.artifacts.publish(Path("dist/shop-1.tgz"), by=ann)
    >>> change = store.stages.promote("shop", record.version, "production", by=ann)
    >>> store.stages.head("shop", "production").version
    '1'

These names are the public API. They are loaded when first used, so importing the package is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artifact_store.artifact.ids import ArtifactId
    from artifact_store.core.actor import Actor
    from artifact_store.core.errors import (
        ConflictError,
        FapError,
        NotFoundError,
        PolicyViolationError,
        StoreError,
        UncheckedError,
        UnreachableError,
        UsageError,
        VerificationError,
    )
    from artifact_store.stages.log_rules import StageState
    from artifact_store.store.store import Store, open_store

__all__ = [
    "Actor",
    "ArtifactId",
    "ConflictError",
    "FapError",
    "NotFoundError",
    "PolicyViolationError",
    "StageState",
    "Store",
    "StoreError",
    "UncheckedError",
    "UnreachableError",
    "UsageError",
    "VerificationError",
    "open_store",
]

_MODULES = {
    "Actor": "core.actor",
    "ArtifactId": "artifact.ids",
    "StageState": "stages.log_rules",
    "Store": "store.store",
    "open_store": "store.store",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'core.errors')}"), name)


def __dir__() -> list[str]:
    return __all__
