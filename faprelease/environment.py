"""The `.env` of a release: what deploy.yml's `environment` says, as a file that a shell can read."""

import re
import shlex
from collections.abc import Mapping

from faprelease.errors import ConfigError
from faprelease.steps import Secret

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def render(values: Mapping[str, str | int | float | bool]) -> Secret:
    """One `NAME='value'` line each, quoted so that `set -a; . ./.env` gives every byte back.

    Raises ConfigError for a name a shell can't have, or a value with a NUL.
    """
    lines = []
    for name, value in values.items():
        content = text(value)
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"environment: {name!r} can't be a variable's name", hint="use letters, digits and _"
            )
        if "\0" in content:
            raise ConfigError(
                f"environment: {name} holds a NUL character", hint="no environment can carry one"
            )
        lines.append(f"{name}={shlex.quote(content)}")
    shown = "\n".join(f"{name}=***" for name in values)
    # A very short value would blot out half of every output; nobody's secret has less than six characters.
    hidden = [text(value) for value in values.values() if len(text(value)) >= 6]
    masked = (*hidden, *map(shlex.quote, hidden))  # a `cat .env` shows them quoted
    return Secret("\n".join(lines), shown, masked)


def text(value: str | int | float | bool) -> str:
    """A value as the process will read it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
