"""The default version of an artifact."""

from datetime import UTC, datetime


def default_version(commit: str, committed: int, dirty: str = "") -> str:
    """`<commit time, UTC, YYYYMMDDHHMMSS>-<12 hex of the commit>`, with `+dirty.<8 hex>` if `dirty` is given.

    `committed` is in seconds since 1970; `dirty` is the id of the git tree with uncommitted changes.
    """
    when = datetime.fromtimestamp(committed, UTC).strftime("%Y%m%d%H%M%S")
    return f"{when}-{commit[:12]}" + (f"+dirty.{dirty[:8]}" if dirty else "")
