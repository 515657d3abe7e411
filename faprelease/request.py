"""What the command line asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Manager = Literal["controller", "converge"]
"""Who brings the hosts of a role to what its stage should run."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asked for; `flags` are keys of deploy.yml that it overrides."""

    file: Path
    stage: str
    role: str | None
    flags: Mapping[str, Any]
    dry_run: bool = False
    rerun: bool = False
    """Run release_command again though nobody knows how it ended last."""
    lock_wait: float = 0
    """For how many seconds to wait where another run holds a lock."""
    scripts: bool = False
    """A dry run shows the very scripts."""
    output: Path | None = None
    """A dry run keeps the plan in this file."""
    confirmed: bool = False
    """A protected stage asks nothing."""
    manager: Manager = "controller"
    """Who asks."""
    allow_older: bool = False
    """Release an older entry of the stage's log than a host has seen, or the entry of another log."""
    take_over: bool = False
    """Change hosts though the other manager did so last."""
