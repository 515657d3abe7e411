"""Contain this process and all that it starts, as far as the host allows.

For contain.py. It calls the kernel through the C library, so it needs neither util-linux nor a process for
each mount. Numbers are those of linux/sched.h, linux/mount.h, linux/prctl.h and linux/capability.h; see
unshare(2), mount(2), namespaces(7).
"""

import ctypes
import os

NET, MOUNT, PID = "net", "mount", "pid"
CLONE = {NET: 0x40000000, MOUNT: 0x00020000, PID: 0x20000000 | 0x08000000}  # with PID goes IPC
CLONE_NEWUSER = 0x10000000
RDONLY, REMOUNT, BIND, REC, PRIVATE = 1, 32, 4096, 16384, 1 << 18
KEPT = {"nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "nodiratime": 2048, "relatime": 1 << 21}
"""Flags that a mount loses when it becomes read-only, unless they are given again."""
VIRTUAL = (
    "sysfs devtmpfs cgroup cgroup2 devpts mqueue debugfs tracefs securityfs bpf pstore configfs"
    " fusectl autofs binfmt_misc"
)
"""File systems without a device; only root can write there."""
COMPILERS = "/usr/lib/gcc", "/usr/libexec/gcc", "/usr/local/go", "~/.cargo", "~/.rustup"
SET_PDEATHSIG, CAPBSET_READ, CAPBSET_DROP, SET_NO_NEW_PRIVS = 1, 23, 24, 38
CAPABILITY_VERSION_3 = 0x20080522
KILL, PIPE, XFSZ = 9, 13, 25

libc = ctypes.CDLL(None, use_errno=True)
libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_void_p]
libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.signal.restype = ctypes.c_void_p


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def mount(source, target, flags, kind=None):
    checked(libc.mount(os.fsencode(source), os.fsencode(target), kind, flags, None))


def prctl(option, value=0):
    return checked(libc.prctl(option, value, 0, 0, 0))


def die_with_parent():
    prctl(SET_PDEATHSIG, KILL)


def leave(spaces):
    """Leave the host's namespaces of these kinds; without root by a user namespace. Raises OSError."""
    flags = sum(CLONE[space] for space in spaces)
    if flags and os.geteuid():
        user, group = os.geteuid(), os.getegid()
        checked(libc.unshare(flags | CLONE_NEWUSER))
        maps = {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}
        for name, text in maps.items():
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    elif flags:
        checked(libc.unshare(flags))
    if MOUNT in spaces:
        mount("none", "/", REC | PRIVATE)


def own_proc():
    """Have /proc show the processes of this pid namespace. Raises OSError where it can't be mounted."""
    mount("proc", "/proc", KEPT["nosuid"] | KEPT["nodev"] | KEPT["noexec"], b"proc")


def only_loopback():
    with open("/proc/self/net/dev") as file:
        return all(line.split(":")[0].strip() == "lo" for line in list(file)[2:])


def only_these(folders):
    """Make every file system read-only, except for these folders. Raises OSError."""
    with open("/proc/self/mounts", "rb") as file:
        mounts = [line.split(b" ") for line in file]
    for folder in folders:
        mount(folder, folder, BIND)
    for _, place, kind, options, *_ in mounts:
        options = options.decode("latin-1").split(",")  # some options name folders, in any encoding
        kind = kind.decode("latin-1")
        if kind == "proc" or (kind in VIRTUAL.split() and os.geteuid()) or "ro" in options:
            continue
        # A space in the name is written as \040 (proc(5)).
        place = place.decode("unicode_escape").encode("latin-1")
        if os.path.exists(place):
            kept = sum(KEPT.get(option, 0) for option in options)
            mount("none", place, REMOUNT | BIND | RDONLY | kept)


def no_compilers(nothing):
    """Hide compilers behind the folder `nothing`. Raises OSError."""
    folders = [os.path.expanduser(folder) for folder in COMPILERS]
    for name in os.listdir("/usr/lib"):
        if name.startswith(("llvm-", "go-")):
            folders.append("/usr/lib/" + name)
    for folder in folders:
        if os.path.isdir(folder):
            mount(nothing, folder, BIND)


def nobody_else(alone):
    """Give up every capability, and every way to get one; True on success. A process without a namespace and
    root (`alone`) has none to give up. Raises OSError."""
    prctl(SET_NO_NEW_PRIVS, 1)
    try:
        for capability in range(64):
            try:
                prctl(CAPBSET_READ, capability)
            except OSError:  # that was the last one
                break
            prctl(CAPBSET_DROP, capability)
    except OSError:
        return alone
    header, none = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    checked(libc.capset(header, none))
    return True


def contain(spaces, writable, nothing, network):
    """Contain this process by the namespaces it is in; (what is contained, what is open)."""
    root = os.geteuid() == 0
    parts = [
        ("network", lambda: NET in spaces and only_loopback()),
        ("files", lambda: MOUNT in spaces and only_these(writable) is None),
        ("compilers", lambda: MOUNT in spaces and no_compilers(nothing) is None),
        ("processes", lambda: PID in spaces),
        ("privileges", lambda: nobody_else(not spaces and not root)),
    ]
    contained = []
    for name, succeeds in parts[1:] if network else parts:
        try:
            contained += [name] if succeeds() else []
        except OSError:
            pass
    return contained, [
        name for name, _ in parts if name not in contained and not (network and name == "network")
    ]


def become(program, argv, environment):
    """Become this program, with the default signal handlers and no open files. Raises OSError."""
    for number in (PIPE, XFSZ):  # Python ignores them
        libc.signal(number, None)
    os.dup2(1, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.closerange(3, 256)
    os.execve(program, argv, environment)  # noqa: S606
