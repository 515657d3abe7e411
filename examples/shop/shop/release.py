"""Which release this process runs: what the artifact's manifest beside the code says."""

import json
from dataclasses import dataclass
from pathlib import Path

from shop.settings import ROOT


@dataclass(frozen=True)
class Release:
    """The version and the git commit of the running code."""

    version: str
    commit: str


def running(root: Path = ROOT) -> Release:
    """Read `.fap/manifest.json`; code that didn't come from an artifact is "development"."""
    try:
        manifest = json.loads((root / ".fap" / "manifest.json").read_bytes())
    except FileNotFoundError:
        return Release(version="development", commit="")
    return Release(version=manifest["version"], commit=manifest["commit"])
