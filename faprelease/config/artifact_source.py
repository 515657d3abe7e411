"""The one artifact of a run."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ArtifactSource:
    """Where the artifact of a run comes from, and which bytes it must have."""

    url: str
    digest: str = ""
    """The sha256 that its bytes must have, in lower-case hexadecimal; empty if none was given."""
    root: str = ""
    """The root of the same artifact (docs/design.md, `fap/2`), by which a host checks only what it uses;
    empty if it is not known."""
    name: str
    """Its name for people: `shop 7`, or the URL without secrets."""
    app: str = ""
    version: str = ""
    """Its version in the store; empty for a URL."""
    entry: int = 0
    """The number of its entry in the stage's log; 0 if it does not come from a stage."""
    origin: str = ""
    """The origin of that log; empty for a log of statements 1."""
