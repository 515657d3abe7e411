"""The hash by which a Pipfile.lock names its Pipfile, as older versions of Pipenv wrote it.

Newer ones hash the canonical names of packages, so for them an older lock of a Pipfile with `Flask-Login`
is stale. Format: `get_hash` of plette, the library of Pipenv for these files.
"""

import hashlib
import json
import tomllib

from artifact_store.core import toml_text

_NO_PACKAGES = {"source", "packages", "dev-packages", "requires", "scripts", "pipfile", "pipenv"}


def digest(text: str) -> str:
    """The sha256 of a Pipfile; empty if it can't be read."""
    try:
        tables = toml_text.loads(text)
    except tomllib.TOMLDecodeError:
        return ""
    facts = {
        "_meta": {"sources": tables.get("source", []), "requires": tables.get("requires", {})},
        "default": tables.get("packages", {}),
        "develop": tables.get("dev-packages", {}),
        **{name: table for name, table in tables.items() if name not in _NO_PACKAGES},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
