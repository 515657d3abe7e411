"""Run a program that sees no process but its own, no hidden file and, if asked, no network.

    python -I -S contain.py [--hide PATH]... [--read-only FOLDER]... [--no-network] -- PROGRAM ARGUMENT...
    python -I -S contain.py --check

Each wall is built as far as the machine allows; `--check` prints those that it does not allow, and why. The
program runs in any case. The exit code is the program's, or 128 and the number of the signal that ended it.

The numbers are those of linux/sched.h, linux/mount.h, linux/prctl.h, linux/capability.h and linux/sockios.h;
see namespaces(7). Without root, the namespaces belong to a user namespace.
"""

import ctypes
import os
import sys

NEW_USER, NEW_MOUNTS, NEW_PROCESSES, NEW_NETWORK = 0x10000000, 0x00020000, 0x20000000 | 0x08000000, 0x40000000
READ_ONLY, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 32, 4096, 16384, 1 << 18
NO_SUID, NO_DEVICES, NO_EXEC = 2, 4, 8
ACCESS_TIMES = {1024: 1024, 2048: 2048, 4096: 1 << 21}
"""From the flags of statvfs(2) to those of mount(2), which a remount must repeat."""
SET_DEATH_SIGNAL, DROP_CAPABILITY, SET_NO_NEW_PRIVILEGES = 1, 24, 38
KILL, BROKEN_PIPE, FILE_TOO_LARGE = 9, 13, 25
CAPABILITY_VERSION_3 = 0x20080522
KEPT_CAPABILITIES = 0b11111011
"""Root keeps those about files and users (numbers 0 to 7), but not DAC_READ_SEARCH."""
SET_INTERFACE_FLAGS, UP = 0x8914, 1

libc = ctypes.CDLL(None, use_errno=True)
libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def unshare(flags):
    checked(libc.unshare(flags))


def mount(source, target, flags, kind=None):
    checked(libc.mount(os.fsencode(source), os.fsencode(target), kind, ctypes.c_ulong(flags), None))


def leave():
    """Leave the namespaces of processes and mounts. Raises OSError."""
    try:
        unshare(NEW_MOUNTS | NEW_PROCESSES)
    except OSError:
        user, group = os.geteuid(), os.getegid()
        unshare(NEW_USER | NEW_MOUNTS | NEW_PROCESSES)
        maps = {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}
        for name, text in maps.items():
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def own_processes():
    """Have /proc show this namespace alone. Raises OSError."""
    mount("none", "/", RECURSIVE | PRIVATE)
    mount("proc", "/proc", NO_SUID | NO_DEVICES | NO_EXEC, b"proc")
    mount("/proc/sys", "/proc/sys", BIND)
    mount("none", "/proc/sys", REMOUNT | BIND | READ_ONLY | NO_SUID | NO_DEVICES | NO_EXEC)


def hide(paths):
    """Put an empty file or folder in the place of each. Raises OSError for the last that it can't hide."""
    failure = None
    for path in filter(os.path.exists, paths):
        try:
            if os.path.isdir(path):
                mount("none", path, READ_ONLY | NO_SUID | NO_DEVICES | NO_EXEC, b"tmpfs")
            else:
                mount("/dev/null", path, BIND)
        except OSError as error:
            failure = error
    if failure:
        raise failure


def protect(folders):
    """Make each folder read-only. Raises OSError."""
    for folder in filter(os.path.isdir, folders):
        mount(folder, folder, BIND | RECURSIVE)
        had = os.statvfs(folder).f_flag
        kept = had & (NO_SUID | NO_DEVICES | NO_EXEC)
        kept |= sum(flag for bit, flag in ACCESS_TIMES.items() if had & bit)
        mount("none", folder, REMOUNT | BIND | READ_ONLY | kept)


def only_loopback():
    """Leave the network for one that has nothing but this process. Raises OSError."""
    import fcntl
    import socket
    import struct

    unshare(NEW_NETWORK)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SET_INTERFACE_FLAGS, struct.pack("16sh22x", b"lo", UP))


def drop_privileges():
    """Give up all capabilities but those about files and users, and every way to get one. Raises OSError."""
    checked(libc.prctl(SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    for capability in range(64):
        if not KEPT_CAPABILITIES >> capability & 1:
            libc.prctl(DROP_CAPABILITY, capability, 0, 0, 0)  # fails for those that the kernel does not have
    header, sets = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    checked(libc.capget(header, sets))
    for number in range(6):
        sets[number] &= KEPT_CAPABILITIES if number < 3 else 0
    checked(libc.capset(header, sets))


def build(walls):
    """Build these walls, in the first process of its namespace; why some can't be built, by name."""
    missing = {}
    for name, wall in walls.items():
        try:
            wall()
        except OSError as error:
            missing[name] = error.strerror
    return missing


def in_child(work):
    """Do it in a new process; its id."""
    child = os.fork()
    if child:
        return child
    try:
        libc.prctl(SET_DEATH_SIGNAL, KILL, 0, 0, 0)
        os._exit(work())
    finally:
        os._exit(1)


def exit_code(status):
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def wait_for(child):
    """Wait until it ends, and reap everything that it leaves behind; its exit code."""
    while True:
        ended, status = os.wait()
        if ended == child:
            return exit_code(status)


def start(argv):
    for number in (BROKEN_PIPE, FILE_TOO_LARGE):  # Python ignores them
        libc.signal(number, None)
    try:
        os.execvp(argv[0], argv)  # noqa: S606
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    return 127


def main(argv):
    paths, flags = {"--hide": [], "--read-only": []}, set()
    while argv and argv[0] != "--":
        if argv[0] in paths:
            paths[argv.pop(0)].append(argv[0])
        else:
            flags.add(argv[0])
        argv = argv[1:]
    check = "--check" in flags
    walls = {
        "processes": own_processes,
        "files": lambda: (hide(paths["--hide"]), protect(paths["--read-only"])),
        "folder": lambda: os.chdir(os.getcwd()),  # through what is mounted now
        "network": lambda: flags and only_loopback(),
        "privileges": drop_privileges,
    }

    def first():
        """The first process of its namespace: when it ends, every process in there ends."""
        missing = "; ".join(f"{name}: {reason}" for name, reason in build(walls).items())
        if check:
            print(missing, flush=True)
            return 0
        if missing:
            os.write(2, f"not contained: {missing}\n".encode())
        return wait_for(in_child(lambda: start(argv[1:])))

    try:
        leave()
    except (OSError, AttributeError) as error:  # a system without unshare(2) has no such function
        if check:
            print(getattr(error, "strerror", None) or "this system has no namespaces")
            return 0
        return start(argv[1:])
    return wait_for(in_child(first))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
