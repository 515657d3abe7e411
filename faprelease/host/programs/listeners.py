"""Who listens on a TCP port of this host? `listeners.py PORT FOLDER`, Python 3.8 and its standard library.

Exit 0: all processes that can be seen listening run in FOLDER; 1: one does not; 2: none can be seen, as a
process of another user can't. It says what it found. Formats: proc(5), /proc/net/tcp and /proc/PID/fd.
"""

import glob
import os
import sys

LISTENING = "0A"


def sockets(port):
    """The inodes of the sockets that listen on a port."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as lines:
                fields = [line.split() for line in lines][1:]
        except OSError:
            continue
        found |= {f[9] for f in fields if f[3] == LISTENING and int(f[1].rpartition(":")[2], 16) == port}
    return {f"socket:[{inode}]" for inode in found}


def listeners(port):
    """Process id and working folder of those that hold one of them, as far as this user may see."""
    wanted = sockets(port)
    for process in sorted(glob.glob("/proc/[0-9]*")) if wanted else ():
        try:
            opened = {os.readlink(fd) for fd in glob.glob(process + "/fd/*")}
            if opened & wanted:
                yield int(process[6:]), os.readlink(process + "/cwd")
        except OSError:  # it has ended, or closed a file meanwhile
            continue


def main():
    port, folder = int(sys.argv[1]), sys.argv[2]
    found = list(listeners(port))
    for pid, cwd in found:
        if cwd != folder and not cwd.startswith(folder + "/"):
            print(f"port {port} is held by process {pid}, which runs in {cwd}")
            return 1
    print(f"port {port} is held by {', '.join(str(pid) for pid, _ in found) or 'nobody that can be seen'}")
    return 0 if found else 2


sys.exit(main())
