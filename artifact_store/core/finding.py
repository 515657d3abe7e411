"""What was found out about a store."""

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    check: str
    verdict: Literal["right", "note", "wrong"]
    """`wrong` loses, changes or shows what is stored; `note` is to be known."""
    says: str
    fix: str = ""
    """What to do about it, in one line."""

    def __post_init__(self) -> None:
        if type(self.fix) is not str:  # a Hint: msgspec encodes no subclass of str
            msgspec.structs.force_setattr(self, "fix", str(self.fix))
