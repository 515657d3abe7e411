"""Run the artifact's own installer, contained as far as this host allows (sandbox.py).

For install.py. What was contained is printed, and recorded in releases/ID.install.json.
"""

import errno
import os
import select
import sys

MOST, SHOWN = 256 << 20, 64 << 10
"""An installer that prints more than MOST bytes is stopped. The last SHOWN bytes are printed."""
RESERVE_BYTES, RESERVE_SHARE = 64 << 20, 50
"""An installer is stopped before less than this is free: 64 MiB, or a fiftieth of a small file system."""
NOT_STARTED, REFUSED = 71, 78
COMPILER = """\
#!/bin/sh
echo "${0##*/}: nothing is compiled on a server (factor V); have fapbuild pack it as a wheel" >&2
exit 1
"""
COMPILERS = "c89 c99 gcc g++ c++ clang clang++ tcc gfortran ld as rustc cargo go javac"
NOWHERE = "http://127.0.0.1:9"


class Host:
    """The folders of one install: the release and a scratch folder, which its installer may write to, its
    packages (empty: it makes them), and other paths that it may read."""

    def __init__(self, release, state, packages, paths):
        self.release, self.state, self.packages, self.paths = release, state, packages, paths
        self.temporary, self.compilers = state + "/install.tmp", state + "/compilers"
        self.nothing = state + "/nothing"

    def make(self):
        os.mkdir(self.temporary)
        if not os.path.isdir(self.nothing):
            os.mkdir(self.nothing, 0o555)
        if not os.path.isdir(self.compilers):
            self._make_compilers(self.temporary + "/compilers")

    def _make_compilers(self, folder):
        """Make the stand-ins for compilers, which say that compiling belongs to the build. They never
        change, so they stay."""
        os.mkdir(folder)
        with open(os.open(folder + "/cc", os.O_WRONLY | os.O_CREAT, 0o755), "w") as file:
            file.write(COMPILER)
        for name in COMPILERS.split():
            os.symlink("cc", folder + "/" + name)
        os.rename(folder, self.compilers)

    def writable(self):
        return [self.release, self.temporary]

    def readable(self):
        return [path for path in (self.compilers, self.packages, *self.paths) if path]

    def is_nearly_full(self):
        disk = os.statvfs(self.release)
        return disk.f_bavail * disk.f_frsize < min(
            RESERVE_BYTES, disk.f_blocks * disk.f_frsize // RESERVE_SHARE
        )

    def environment(self, network):
        variables = {
            "PATH": self.compilers + ":" + os.environ.get("PATH", os.defpath),
            "HOME": self.temporary,
            "TMPDIR": self.temporary,
            "LC_ALL": "C.UTF-8",
            "CC": "/bin/false",
            "CXX": "/bin/false",
        }
        if self.packages:
            variables.update({"FAP_PACKAGES": self.packages, "FAP_PYTHON": sys.executable})
        closed = {"http_proxy": NOWHERE, "https_proxy": NOWHERE, "ALL_PROXY": NOWHERE, "PIP_NO_INDEX": "1"}
        return variables if network else {**variables, **closed}


def exit_code_of(child):
    """Wait for it to end."""
    status = os.waitpid(child, 0)[1]
    return status >> 8 if status >> 8 else 128 + (status & 127) if status else 0


def run_program(*argv):
    if os.waitpid(os.posix_spawnp(argv[0], argv, os.environ), 0)[1]:
        raise OSError(errno.EIO, " ".join(argv) + " failed")


def remove(folder):
    """Remove a folder with everything that an installer left in it, also read-only folders."""
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass
    except OSError:
        run_program("chmod", "-R", "u+w", folder)
        run_program("rm", "-rf", folder)


def in_child(work):
    """Do it in a new process, which ends with the exit code that `work` returns; the id of that process."""
    child = os.fork()
    if child:
        return child
    try:
        os._exit(work())
    finally:
        os._exit(NOT_STARTED)


class Attempt:
    """One try to run the installer in namespaces of these kinds.

    The child reports through a pipe that it has started: so a host that refuses the namespaces is
    distinguished from an installer that fails.
    """

    def __init__(self, sandbox, host, spaces, install, network, strict):
        self.sandbox, self.host, self.spaces, self.install = sandbox, host, spaces, install
        self.network, self.strict = network, strict

    def run(self):
        """(exit code, what is contained, what is open); both None if it did not start."""
        report, self.started = os.pipe()
        # A pipe ends when its last writer does, and only a pid namespace is sure to end them all.
        piped = self.sandbox.PID in self.spaces
        self.output = os.pipe() if piped else None
        cgroup = self.sandbox.Cgroup()
        child = in_child(lambda: self._enter(cgroup))
        os.close(self.started)
        if self.output:
            os.close(self.output[1])
            pass_on(self.output[0], child, self.host.is_nearly_full)
        code = exit_code_of(child)
        cgroup.remove()
        with open(report) as file:
            text = file.read()
        contained, _, is_open = text.partition("|")
        return (code, contained, is_open) if text else (code, None, None)

    def _enter(self, cgroup):
        self.sandbox.leave(self.spaces)
        self.is_limited = self.sandbox.limit_number(self.spaces, cgroup)
        self.sandbox.die_with_parent()
        if self.output:
            os.dup2(self.output[1], 1)
        if self.sandbox.PID not in self.spaces:
            return self._start()
        return exit_code_of(in_child(self._first))

    def _first(self):
        """The first process of a pid namespace: when it ends, every process in there ends."""
        self.sandbox.die_with_parent()
        self.sandbox.own_proc()
        return self._start()

    def _start(self):
        host = self.host
        contained, is_open = self.sandbox.contain(self.spaces, host, self.network, self.is_limited)
        os.write(self.started, f"{', '.join(contained)}|{', '.join(is_open)}".encode())
        if self.strict and is_open:
            return REFUSED
        try:
            os.chdir(host.release)  # the working folder is hidden by what is mounted there now
            self.sandbox.become("/bin/sh", ["sh", "-c", self.install], host.environment(self.network))
        except OSError as error:
            os.write(1, f"sh: {error.strerror}\n".encode())
        return 127


def pass_on(output, child, is_nearly_full):
    """Print the end of what the installer prints, and stop one that prints too much or fills the disk."""
    total, tail = 0, b""
    why = ""
    while not why:
        if is_nearly_full():
            why = "it has nearly filled the disk"
        elif select.select([output], [], [], 0.05)[0]:
            data = os.read(output, 1 << 16)
            if not data:
                break
            total, tail = total + len(data), (tail + data)[-SHOWN:]
            if total > MOST:
                why = "it printed more than 256 MB"
    if why:
        os.kill(child, 9)
    os.write(1, tail + (f"\nthe installer was stopped: {why}\n".encode() if why else b""))


def run(host, sandbox, install, network, strict):
    """Try all namespaces first, then fewer, then none; (the exit code, a line for the record or nothing)."""
    net = [] if network else [sandbox.NET]
    tries = [[*net, sandbox.MOUNT, sandbox.PID], [*net, sandbox.MOUNT], net, []]
    for number, spaces in enumerate(tries):
        if spaces in tries[:number]:
            continue
        code, contained, is_open = Attempt(sandbox, host, spaces, install, network, strict).run()
        if contained is None:
            continue
        if strict and is_open:
            print(
                "the installer was not run: the stage is protected, and this host can't contain: " + is_open
            )
            if is_open == "limits":
                print("root's processes are counted by a cgroup, which it can't make here: release as a user")
            else:
                print("allow user namespaces on the host: sysctl user.max_user_namespaces, and on Ubuntu")
                print("kernel.apparmor_restrict_unprivileged_userns=0")
            return code, ""
        print("contained: " + (contained or "nothing"))
        if network:
            print("warning: the installer may use the network, as install_network allows it")
        if is_open:
            print("warning: this host can't contain everything that the installer may do: " + is_open)
        return code, f'{{"contained":"{contained}","open":"{is_open}"}}'
    print("the installer could not start")
    return code, ""
