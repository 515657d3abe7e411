"""The request of a command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Manager = Literal["controller", "converge"]
"""Who releases to the hosts of a role: a controller, or each host by itself."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The request of a command line. `flags` are keys of deploy.yml that it overrides."""

    file: Path
    stage: str
    role: str | None
    flags: Mapping[str, Any]
    dry_run: bool = False
    rerun: bool = False
    """Run release_command again, although its last outcome is unknown."""
    again: bool = False
    """Release an artifact again that someone rolled back from."""
    reinstall: bool = False
    """Release again to hosts that run the artifact already."""
    lock_wait: float = 0
    """How many seconds to wait for a lock that another run holds."""
    scripts: bool = False
    """Make a dry run show the exact scripts."""
    output: Path | None = None
    """The file to which a dry run saves the plan."""
    confirmed: bool = False
    """Don't ask for confirmation on a protected stage."""
    manager: Manager = "controller"
    """Who makes the request."""
    allow_older: bool = False
    """Release an older entry of the stage's log than a host has seen, or the entry of another log."""
    take_over: bool = False
    """Release even if another deployment, or the other manager, released there last."""
