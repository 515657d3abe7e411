"""A place of a release: one role on one host."""

from typing import NamedTuple


class Place(NamedTuple):
    """A role on a host. In JSON it is the array `[host, role]`."""

    host: str
    role: str

    def __str__(self) -> str:
        """`web1 (worker)`."""
        return f"{self.host} ({self.role})"
