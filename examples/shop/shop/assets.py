"""The compiled front end: from `shop.css` to the hashed name that esbuild gave it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

STATIC = Path(__file__).resolve().parent / "static"

_HASHED = re.compile(r"-[0-9A-Z]{8}\.\w+$")


def load(folder: Path = STATIC / "dist") -> Mapping[str, str]:
    """Map each asset's plain name to its path below /static/."""
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
    except FileNotFoundError:
        message = f"{folder} is not built; run: cd frontend && npm ci --ignore-scripts && node build.mjs"
        raise FileNotFoundError(message) from None
    return {name: f"dist/{hashed}" for name, hashed in manifest.items()}


def is_immutable(_path: str, url: str) -> bool:
    """Tell whitenoise that a file with a hash in its name may be cached forever."""
    return bool(_HASHED.search(url))
