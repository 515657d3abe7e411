"""Contain this process and all that it starts, as far as the host allows.

For contain.py. It calls the kernel through the C library, so it needs neither util-linux nor a process for
each mount. Numbers are those of linux/sched.h, linux/mount.h, linux/prctl.h and linux/capability.h; see
unshare(2), mount(2), pivot_root(2), namespaces(7), cgroups(7).
"""

import ctypes
import os
import stat
import sys
import time

NET, MOUNT, PID = "net", "mount", "pid"
WALLS = "network", "files", "devices", "sockets", "compilers", "processes", "privileges", "limits"
CLONE = {NET: 0x40000000, MOUNT: 0x00020000, PID: 0x20000000 | 0x08000000}  # with PID goes IPC
CLONE_NEWUSER = 0x10000000
RDONLY, REMOUNT, BIND, REC, PRIVATE = 1, 32, 4096, 16384, 1 << 18
DETACH = 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217, "armv7l": 218}
"""The number of the system call by the name of the machine: the C library has no function for it."""
KEPT = {"nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "nodiratime": 2048, "relatime": 1 << 21}
"""Flags that a mount loses when it becomes read-only, unless they are given again."""
SYSTEM = "/usr /bin /sbin /lib /lib32 /lib64 /libx32 /nix/store /gnu/store"
SYSTEM_FILES = (
    "alternatives group hosts ld.so.cache localtime mime.types nsswitch.conf os-release passwd pki/ca-trust"
    " pki/tls/certs services ssl/certs ssl/openssl.cnf"
)
"""Below /etc."""
RESOLVER = "/etc/resolv.conf", "/etc/gai.conf"
DEVICES = "null zero full random urandom"
COMPILERS = "/usr/lib/gcc", "/usr/libexec/gcc", "/usr/local/go"
MOST_PROCESSES, CPU_SECONDS = 512, 900
COUNTED_APART = 5, 14
"""From this version of Linux on, the processes in a user namespace are counted apart from all others of the
user."""
SET_PDEATHSIG, CAPBSET_READ, CAPBSET_DROP, SET_NO_NEW_PRIVS = 1, 23, 24, 38
CAPABILITY_VERSION_3 = 0x20080522
KILL, PIPE, XFSZ = 9, 13, 25
LIMIT_CPU, LIMIT_DATA, LIMIT_CORE, LIMIT_NPROC = 0, 2, 4, 6
"""Of asm-generic/resource.h; the module resource loads slowly."""

libc = ctypes.CDLL(None, use_errno=True)
libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]
libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.signal.restype = ctypes.c_void_p


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def mount(source, target, flags, kind=None, data=None):
    checked(libc.mount(os.fsencode(source), os.fsencode(target), kind, flags, data))


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
            write(f"/proc/self/{name}", text)
        try:
            write("/proc/sys/user/max_user_namespaces", 0)  # of this one: none in it
        except OSError:
            pass
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


class Tree:
    """A new root folder, on a file system in memory: nothing is in it but what is bound there."""

    def __init__(self, folder):
        self.root = folder
        mount("tmpfs", folder, KEPT["nosuid"] | KEPT["nodev"], b"tmpfs", b"size=1m,mode=755")
        self.real, self.made = {"/": ""}, {""}
        """The real paths of the host's folders, without the last slash, by name; and folders made here."""

    def bind(self, path):
        """Show a file or a folder of the host at its path, with the links that lead there, if it exists."""
        target = self._real_path(path)
        try:
            is_folder = stat.S_ISDIR(os.stat(target).st_mode)
        except OSError:
            return
        if target != path:
            self._make_links(path)
        place = self.root + target
        self._make_folder(os.path.dirname(target))
        try:
            if is_folder:
                os.mkdir(place)
            else:
                os.close(os.open(place, os.O_CREAT | os.O_EXCL))
        except FileExistsError:  # something above it is bound
            pass
        mount(target, place, BIND | REC)

    def _real_path(self, path):
        folder, name = os.path.split(path)
        if folder not in self.real:
            self.real[folder] = os.path.realpath(folder)
        target = f"{self.real[folder]}/{name}"
        return os.path.realpath(target) if os.path.islink(target) else target

    def _make_folder(self, folder):
        if folder.rstrip("/") not in self.made:
            os.makedirs(self.root + folder, exist_ok=True)
            self.made.add(folder)

    def _make_links(self, path):
        at = ""
        for part in path.split("/")[1:]:
            at = f"{at}/{part}"
            if os.path.islink(at):
                if not os.path.lexists(self.root + at):
                    self._make_folder(os.path.dirname(at))
                    os.symlink(os.readlink(at), self.root + at)
                self._make_links(os.path.join(os.path.dirname(at), os.readlink(at)))
                at = os.path.realpath(at)

    def make_devices(self):
        for name in DEVICES.split():
            self.bind("/dev/" + name)
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            os.symlink(f"/proc/self/fd/{number}", f"{self.root}/dev/{name}")
        os.symlink("/proc/self/fd", self.root + "/dev/fd")
        os.mkdir(self.root + "/dev/shm")  # noqa: S108 (of the new root)
        mount("tmpfs", self.root + "/dev/shm", KEPT["nosuid"] | KEPT["nodev"], b"tmpfs", b"size=64m")  # noqa: S108

    def make_read_only(self, writable):
        """Make every file system in it read-only, except for these folders."""
        kept_writable = {self.root + os.path.realpath(folder) for folder in writable}
        with open("/proc/self/mounts", "rb") as file:
            mounts = [line.split(b" ") for line in file]
        for _, place, _, options, *_ in mounts:
            # A space in the name is written as \040 (proc(5)).
            place = os.fsdecode(place.decode("unicode_escape").encode("latin-1"))
            is_device = place.startswith(self.root + "/dev/")
            if not (place + "/").startswith(self.root + "/") or place in kept_writable or is_device:
                continue
            options = options.decode("latin-1").split(",")  # some options name folders, in any encoding
            kept = sum(KEPT.get(option, 0) for option in options)
            mount("none", place, REMOUNT | BIND | RDONLY | kept)

    def enter(self):
        """Make it the root folder of this process, and unmount the host's."""
        os.chdir(self.root)
        here = ctypes.c_char_p(b".")
        checked(libc.syscall(ctypes.c_long(PIVOT_ROOT.get(os.uname().machine, -1)), here, here))
        checked(libc.umount2(here, DETACH))
        os.chdir("/")


def python_paths():
    """The paths of the running Python that are outside of /usr. Its prefix may be a home folder, so of that
    only what belongs to Python."""
    executables = {sys.executable, os.path.realpath(sys.executable), getattr(sys, "_base_executable", "")}
    prefixes = {os.path.dirname(os.path.dirname(path)) for path in executables}
    prefixes |= {sys.base_prefix, sys.base_exec_prefix}
    parts = ("bin", "lib", "lib64", "pyvenv.cfg", "ssl")
    return sorted(f"{prefix}/{part}" for prefix in prefixes - {"", "/", "/usr"} for part in parts)


def only_what_it_needs(host, network):
    """Leave the host's files for a root folder that shows the release, Python and the system's libraries.
    Raises OSError."""
    tree = Tree(host.nothing)
    for path in (
        *SYSTEM.split(),
        *("/etc/" + name for name in SYSTEM_FILES.split()),
        "/proc",
        *python_paths(),
    ):
        tree.bind(path)
    for path in RESOLVER if network else ():
        tree.bind(path)
    tree.make_devices()
    for path in (*host.readable(), *host.writable()):
        tree.bind(path)
    hide_compilers(tree.root)
    tree.make_read_only(host.writable())
    tree.enter()
    return True


def hide_compilers(root):
    """Hide the compilers in a root folder behind an empty one."""
    empty = root + "/.nothing"
    os.mkdir(empty, 0o555)
    folders = [root + folder for folder in COMPILERS]
    library = root + "/usr/lib"
    for name in os.listdir(library) if os.path.isdir(library) else ():
        if name.startswith(("llvm-", "go-")):
            folders.append(f"{library}/{name}")
    for folder in folders:
        if os.path.isdir(folder):
            mount(empty, folder, BIND)


class Cgroup:
    """A group of processes with limits of its own, below the root of each hierarchy where this user may make
    one: of cgroup v2, or of the controllers `pids` and `memory` of v1."""

    def __init__(self):
        self.folders, self.is_whole = [], False
        if os.geteuid():
            return
        limits = {"pids.max": MOST_PROCESSES, "memory.max": half_of_memory(), "cpu.weight": 20}
        limits["memory.limit_in_bytes"] = limits["memory.max"]
        found = set()
        for place in cgroup_mounts():
            remove_old_cgroups(place)
            folder = f"{place}/fapkit-install-{os.getpid()}"
            try:
                os.mkdir(folder)
                self.folders.append(folder)
                for name in limits:
                    if os.path.exists(f"{folder}/{name}"):
                        write(f"{folder}/{name}", limits[name])
                        found.add(name.partition(".")[0])
            except OSError:
                pass
        self.is_whole = found >= {"pids", "memory"}

    def enter(self):
        """Move this process in. Raises OSError."""
        for folder in self.folders:
            write(folder + "/cgroup.procs", "0")

    def remove(self):
        for folder in self.folders:
            try:
                os.rmdir(folder)
            except OSError:  # a process that is about to end
                pass


def remove_old_cgroups(place):
    """Remove those of installs that were killed an hour ago or more; only empty ones can be removed."""
    for name in os.listdir(place):
        folder = f"{place}/{name}"
        try:
            if name.startswith("fapkit-install-") and os.stat(folder).st_mtime < time.time() - 3600:
                os.rmdir(folder)
        except OSError:
            pass


def cgroup_mounts():
    with open("/proc/self/mounts") as file:
        mounts = [line.split(" ") for line in file]
    for _, place, kind, options, *_ in mounts:
        if kind == "cgroup2" or (kind == "cgroup" and {"pids", "memory"} & set(options.split(","))):
            yield place


def write(path, value):
    with open(path, "w") as file:
        file.write(str(value))


def half_of_memory():
    """In bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def limit_process():
    """Limit this process and all that it starts, each for itself.

    If memory runs out all the same, the kernel ends these processes before any other (proc(5),
    oom_score_adj).
    """
    try:
        write("/proc/self/oom_score_adj", 1000)
    except OSError:  # a host without it has no such order
        pass
    os.nice(max(10 - os.nice(0), 0))
    set_limit(LIMIT_CORE, 0)
    set_limit(LIMIT_CPU, CPU_SECONDS)
    set_limit(LIMIT_DATA, half_of_memory())


def limit_number(spaces, cgroup):
    """Limit how many processes this one may start; True if that, and their memory, can't exhaust the host."""
    if os.geteuid() == 0:  # the kernel does not count the processes of root
        try:
            cgroup.enter()
        except OSError:
            return False
        return cgroup.is_whole
    version = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    is_apart = bool(spaces) and version >= COUNTED_APART
    set_limit(LIMIT_NPROC, MOST_PROCESSES + (0 if is_apart else count_threads()))
    return True


def set_limit(what, most):
    limits = (ctypes.c_ulong * 2)()
    checked(libc.getrlimit(what, limits))
    limits[0] = limits[1] = min(most, limits[1])  # no limit is the largest number
    checked(libc.setrlimit(what, limits))


def count_threads():
    """How many threads this user has."""
    total, user = 0, os.geteuid()
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.stat("/proc/" + name).st_uid == user:
                total += len(os.listdir(f"/proc/{name}/task"))
        except OSError:  # it has ended
            pass
    return total


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


def contain(spaces, host, network, is_limited):
    """Contain this process by the namespaces it is in; (what is contained, what is open)."""
    root = os.geteuid() == 0
    # What is tried, and the walls that stand if it succeeds.
    parts = [
        (["network"], lambda: NET in spaces and only_loopback()),
        (["files", "devices", "compilers"], lambda: MOUNT in spaces and only_what_it_needs(host, network)),
        (["processes"], lambda: PID in spaces),
        (["privileges"], lambda: nobody_else(not spaces and not root)),
        (["limits"], lambda: is_limited),
    ]
    stand = set()
    for walls, succeeds in parts:
        try:
            stand.update(walls if succeeds() else [])
        except OSError:
            pass
    if {"network", "files"} <= stand:  # a socket is a file, or a name in the network
        stand.add("sockets")
    wanted = [wall for wall in WALLS if not network or wall not in ("network", "sockets")]
    return [wall for wall in wanted if wall in stand], [wall for wall in wanted if wall not in stand]


def become(program, argv, environment):
    """Become this program, with the default signal handlers and no open files. Raises OSError."""
    for number in (PIPE, XFSZ):  # Python ignores them
        libc.signal(number, None)
    os.dup2(1, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.closerange(3, 256)
    os.execve(program, argv, environment)  # noqa: S606
