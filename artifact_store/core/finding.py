"""The result of one check of a store, a project or a host."""

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """One check and its result."""

    check: str
    verdict: Literal["right", "note", "wrong"]
    """`wrong` is a problem to fix; `note` is merely worth knowing."""
    says: str
    """The result in words."""
    fix: str = ""
    """What to do about it, in one line; empty if nothing."""

    def __post_init__(self) -> None:
        if type(self.fix) is not str:  # a Hint: msgspec encodes no subclass of str
            msgspec.structs.force_setattr(self, "fix", str(self.fix))
