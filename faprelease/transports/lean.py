"""paramiko, without what it loads for our sake in vain.

It imports invoke, and with it asyncio and unittest, for `Match exec` in ssh_config alone: a third of its
time to start. That is read by `ssh -G` here (`ssh_config`).
"""

import sys

_not_there = "invoke" not in sys.modules
if _not_there:
    # This makes `import invoke` fail, for which paramiko is prepared.
    sys.modules["invoke"] = None  # type: ignore[assignment]
try:
    import paramiko
finally:
    if _not_there:
        del sys.modules["invoke"]

__all__ = ["paramiko"]
