"""Print which processes listen on a TCP port of this host: `listeners.py PORT FOLDER`.

Exit code 0: every visible listener runs in FOLDER; 1: one of them does not; 2: none is visible, since a
process of another user is not. Formats: proc(5), /proc/net/tcp and /proc/PID/fd.
"""

import glob
import os
import sys

LISTENING = "0A"


def sockets(port):
    """The sockets that listen on a port, as links in /proc/PID/fd name them."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as lines:
                fields = [line.split() for line in lines][1:]
        except OSError:
            continue
        inodes |= {f[9] for f in fields if f[3] == LISTENING and int(f[1].rpartition(":")[2], 16) == port}
    return {f"socket:[{inode}]" for inode in inodes}


def listeners(port):
    """(process id, working folder) of the processes that have one of these sockets, where this user may see
    it."""
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
    visible = list(listeners(port))
    for pid, cwd in visible:
        if cwd != folder and not cwd.startswith(folder + "/"):
            print(f"port {port} is held by process {pid}, which runs in {cwd}")
            return 1
    if not visible:
        print(f"port {port} is held by a process that this user can't see")
        return 2
    print(f"port {port} is held by {', '.join(str(pid) for pid, _ in visible)}")
    return 0


sys.exit(main())
