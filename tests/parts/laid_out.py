"""Unpacked artifacts with other wheels and another manifest than they were packed with."""

import json
import shutil
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.parts.wheelhouse import pin


def with_wheels(
    folder: Path, wheels: Sequence[Path], bytecode: Mapping[str, bytes] | None = None, **facts: Any
) -> Path:
    """Replace the wheels of the unpacked artifact in `folder`, and these facts of its manifest. `bytecode` is
    that of wheels, by their file names."""
    shutil.rmtree(folder / "wheels", ignore_errors=True)
    (folder / "wheels").mkdir()
    for wheel in wheels:
        shutil.copy(wheel, folder / "wheels")
    (folder / "requirements.lock").write_text("".join(pin(wheel) for wheel in wheels))
    listed: list[dict[str, Any]] = [
        {"file": wheel.name, "sha256": sha256(wheel.read_bytes()).hexdigest()} for wheel in wheels
    ]
    for wheel in listed:
        if data := (bytecode or {}).get(wheel["file"]):
            (folder / "wheels" / f"{wheel['file']}.bytecode").write_bytes(data)
            wheel |= {"bytecode": sha256(data).hexdigest(), "bytecode_size": len(data)}
    return with_facts(folder, wheels=listed, **facts)


def with_facts(folder: Path, **facts: Any) -> Path:
    """Replace these facts of its manifest."""
    manifest = folder / ".fap" / "manifest.json"
    changed = json.loads(manifest.read_text()) | facts
    manifest.write_text(json.dumps(changed, separators=(",", ":")))
    return folder
