"""Reads TOML (toml.io, version 1.0)."""

import tomllib
from typing import Any


def loads(text: str) -> dict[str, Any]:
    """Return the values of a TOML document. Raises tomllib.TOMLDecodeError, also for nesting that is too deep
    and numbers that are too long."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise tomllib.TOMLDecodeError("nested too deeply") from error
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:
        raise tomllib.TOMLDecodeError(str(error)) from error
