"""What the store has of hosts that converge: where each stands, written by itself; and since when their stage
names what it names."""

from artifact_store.hosts import HostRecord
from faprelease.config import Target
from faprelease.promoted import Promoted, store_of


def of(target: Target, host: str) -> HostRecord | None:
    """The last record of a host; None if it has none, or the store can't list. Raises StoreError, its kin."""
    from artifact_store.store import open_store

    store, settings = open_store(store_of(target)), target.settings
    if not store.can_list:
        return None
    return store.host(settings.project_name, settings.stage, settings.role, host)


def write(target: Target, record: HostRecord) -> None:
    """Keep a record, where the store can be written; raises StoreError and its kin."""
    from artifact_store.store import open_store

    store = open_store(store_of(target))
    if store.can_write:
        store.record_host(record)


def since(target: Target, found: Promoted) -> int:
    """The number of the log entry that brought what the stage names: a freeze after it brings nothing new."""
    from artifact_store.store import open_store

    settings = target.settings
    for entry in open_store(store_of(target)).newest_first(settings.project_name, settings.stage):
        if entry.state.number <= found.entry and entry.state.action not in ("freeze", "unfreeze"):
            return entry.state.number
    return found.entry
