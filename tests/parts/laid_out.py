"""Unpacked artifacts with other wheels and another manifest than they were packed with."""

import json
import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.parts.wheelhouse import pin


def with_wheels(folder: Path, wheels: Sequence[Path], **facts: Any) -> Path:
    """Replace the wheels of the unpacked artifact in `folder`, and these facts of its manifest."""
    shutil.rmtree(folder / "wheels", ignore_errors=True)
    (folder / "wheels").mkdir()
    for wheel in wheels:
        shutil.copy(wheel, folder / "wheels")
    (folder / "requirements.lock").write_text("".join(pin(wheel) for wheel in wheels))
    listed = [{"file": wheel.name, "sha256": sha256(wheel.read_bytes()).hexdigest()} for wheel in wheels]
    return with_facts(folder, wheels=listed, **facts)


def with_facts(folder: Path, **facts: Any) -> Path:
    """Replace these facts of its manifest."""
    manifest = folder / ".fap" / "manifest.json"
    changed = json.loads(manifest.read_text()) | facts
    manifest.write_text(json.dumps(changed, separators=(",", ":")))
    return folder
