"""Whether every checkout is trusted, so that code of any of them may run: FAP_TRUST=1, for CI."""

import os


def all_are_trusted() -> bool:
    """Whether FAP_TRUST=1 is set."""
    return os.environ.get("FAP_TRUST") == "1"
