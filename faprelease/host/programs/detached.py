"""Work that goes on by itself when the program that began it is stopped, because its controller was killed.

Between a stop and a start, nobody else would start the app again.
"""

import fcntl
import os
import sys


def by_itself(state, work):
    """Do the work in a session of its own, and wait for it; returns 0, or 1 if `work` returned another exit
    code. What it prints is kept in `state` meanwhile. The next one waits until it has ended."""
    with open(f"{state}/detached.said", "a+") as said:
        fcntl.flock(said, fcntl.LOCK_EX)
        said.truncate(0)
        sys.stdout.flush()
        child = os.fork()
        if child == 0:  # it has the lock, too
            os.setsid()
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            code = work()
            sys.stdout.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        print(said.read(), end="")
        said.truncate(0)
    return 1 if status else 0
