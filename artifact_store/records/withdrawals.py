"""The withdrawal of a version: no stage takes it any more. Its bytes stay, and so do stages that have it.

    <app>/artifacts/<version>/withdrawn/<operation>.json

It is an envelope, which is signed as an entry of a stage's log is.
"""

from datetime import datetime
from typing import Literal

import msgspec


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True):
    """A statement: no stage shall take the version with this sha256."""

    app: str
    version: str
    digest: str
    withdrawn: Literal[True] = True
    """No other statement has this field, so none counts as a withdrawal."""
    who: str
    why: str
    at: datetime
    """In UTC, by the writer's clock."""
    ci: str
    """The URL of the CI run that wrote it, or empty."""
    operation: str
    """The writer's random id."""
