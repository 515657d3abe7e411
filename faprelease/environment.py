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
        text = _text(value)
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"environment: {name!r} can't be a variable's name", hint="use letters, digits and _"
            )
        if "\0" in text:
            raise ConfigError(
                f"environment: {name} holds a NUL character", hint="no environment can carry one"
            )
        lines.append(f"{name}={shlex.quote(text)}")
    shown = "\n".join(f"{name}=***" for name in values)
    # A very short value would blot out half of every output; nobody's secret has less than six characters.
    hidden = [_text(value) for value in values.values() if len(_text(value)) >= 6]
    masked = (*hidden, *map(shlex.quote, hidden))  # a `cat .env` shows them quoted
    return Secret("\n".join(lines), shown, masked)


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
