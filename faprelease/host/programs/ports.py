"""Check that TCP ports are free: `main` gets their numbers.

The first line of what it prints says why not, the others what to do about it.
"""

import os
import sys

import processes


def main(load, parts, *ports):
    """Exit codes: 0; 1 if a port is in use."""
    for port in map(int, ports):
        if processes.sockets(port):
            print(f"port {port} is in use{holder(port)}, so the processes of this app can't listen there")
            print("use other ports in deploy.yml: process_port")
            sys.exit(1)
    sys.exit(0)


def holder(port):
    """Who listens on a port, as far as this user may see it."""
    for pid in processes.listeners(port):
        try:
            return f" by process {pid} in {os.readlink(f'/proc/{pid}/cwd')}"
        except OSError:
            continue
    return " by a process of another user"
