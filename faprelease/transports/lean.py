"""paramiko, without a dependency that is not needed here.

paramiko imports invoke, and with it asyncio and unittest, only for `Match exec` in ssh_config. That takes a
third of its start time. Here `ssh -G` reads such files (`ssh_config`).
"""

import sys

_missing = "invoke" not in sys.modules
if _missing:
    # This makes `import invoke` fail, which paramiko handles.
    sys.modules["invoke"] = None  # type: ignore[assignment]
try:
    import paramiko
finally:
    if _missing:
        del sys.modules["invoke"]

__all__ = ["paramiko"]
