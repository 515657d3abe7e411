"""The one artifact of a run."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ArtifactSource:
    """Where the artifact of a run comes from, and which bytes it must have."""

    url: str
    digest: str = ""
    """The sha256 that its bytes must have, in lower-case hexadecimal; empty if none was given."""
    name: str
    """What people are shown: `shop 7`, or the URL without secrets."""
    app: str = ""
    version: str = ""
    """Its version, where a store names it."""
    entry: int = 0
    """The number of the stage's log entry that names it; 0 for a URL, and for a version found otherwise."""
    origin: str = ""
    """The origin of that log; empty for a log of statements 1."""
