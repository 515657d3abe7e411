"""Run the artifact's own installer, contained as far as this host allows (sandbox.py).

What was contained is printed, and recorded in releases/ID.install.json.
"""

import errno
import os
import sys

MOST, SHOWN = 256 << 20, 64 << 10
"""An installer that prints more than MOST bytes is stopped. The last SHOWN bytes are printed."""
NOT_STARTED, REFUSED = 71, 78
COMPILER = """\
#!/bin/sh
echo "${0##*/}: nothing is compiled on a server (factor V); have fapbuild pack it as a wheel" >&2
exit 1
"""
COMPILERS = "c89 c99 gcc g++ c++ clang clang++ tcc gfortran ld as rustc cargo go javac"
NOWHERE = "http://127.0.0.1:9"


class Host:
    """The folders of one install: the release, what its installer may write to, and what it finds."""

    def __init__(self, release, state, cache):
        self.release, self.state = release, state
        self.temporary, self.compilers = state + "/install.tmp", state + "/compilers"
        self.nothing = state + "/nothing"
        # Our own installer also writes to the packages that releases share, and gets their folders. It makes
        # packages for `envs` in `new`, as it can't link files from one mount to another.
        own = os.path.isdir(".fap/installer")
        self.envs = state + "/envs" if own else ""
        self.cache = cache if own else ""
        self.new = self.cache and self.cache + "/new"

    def make(self):
        os.mkdir(self.temporary)
        if not os.path.isdir(self.nothing):
            os.mkdir(self.nothing, 0o555)
        if not os.path.isdir(self.compilers):
            self._make_compilers(self.temporary + "/compilers")
        if self.envs:
            os.makedirs(self.envs, exist_ok=True)
        if self.cache:
            try:
                os.makedirs(self.cache, mode=0o700, exist_ok=True)
                os.makedirs(self.new, exist_ok=True)
            except OSError:  # it is installed without a cache
                self.cache = self.new = ""
        self.settle()

    def _make_compilers(self, folder):
        """Make the stand-ins for compilers, which say that compiling belongs to the build. They never
        change, so they stay."""
        os.mkdir(folder)
        with open(os.open(folder + "/cc", os.O_WRONLY | os.O_CREAT, 0o755), "w") as file:
            file.write(COMPILER)
        for name in COMPILERS.split():
            os.symlink("cc", folder + "/" + name)
        os.rename(folder, self.compilers)

    def settle(self):
        """Move sets of packages to where the installer left links to them. The installer may be anyone's, so
        everything else is left alone."""
        for name in os.listdir(self.envs) if self.new and not os.path.islink(self.new) else ():
            link = self.envs + "/" + name
            if not os.path.islink(link):
                continue
            packages = os.readlink(link)
            os.unlink(link)
            folder, name = os.path.split(packages)
            is_folder = os.path.isdir(packages) and not os.path.islink(packages)
            if folder == self.new and name[:1] not in ("", ".") and is_folder:
                move_read_only(packages, link)

    def writable(self):
        return [folder for folder in (self.release, self.temporary, self.envs, self.cache) if folder]

    def environment(self, network):
        variables = {
            "PATH": self.compilers + ":" + os.environ.get("PATH", os.defpath),
            "HOME": os.environ.get("HOME", "/"),
            "TMPDIR": self.temporary,
            "LC_ALL": "C.UTF-8",
            "CC": "/bin/false",
            "CXX": "/bin/false",
            "FAP_ENVS": self.envs,
            "FAP_CACHE": self.cache,
            "FAP_NEW": self.new,
        }
        closed = {"http_proxy": NOWHERE, "https_proxy": NOWHERE, "ALL_PROXY": NOWHERE, "PIP_NO_INDEX": "1"}
        return variables if network else {**variables, **closed}


def exit_code_of(child):
    """Wait for it to end."""
    status = os.waitpid(child, 0)[1]
    return status >> 8 if status >> 8 else 128 + (status & 127) if status else 0


def move_read_only(folder, target):
    """Move a folder, also to another file system. It appears at `target` whole and read-only."""
    new = f"{target}.{os.urandom(4).hex()}.new"
    run_program("mv", folder, new)
    run_program("chmod", "a-w", new)
    os.rename(new, target)


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


def note_wheels(note, code, own):
    """Note where our own installer fails without wheels: they are unpacked (unpack.py) until one succeeds."""
    if code == 0 and os.path.exists(note):
        os.unlink(note)
    elif code and own and not os.path.isdir("wheels"):
        open(note, "w").close()


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
        child = in_child(self._enter)
        os.close(self.started)
        if self.output:
            os.close(self.output[1])
            pass_on(self.output[0], child)
        code = exit_code_of(child)
        with open(report) as file:
            text = file.read()
        contained, _, is_open = text.partition("|")
        return (code, contained, is_open) if text else (code, None, None)

    def _enter(self):
        self.sandbox.leave(self.spaces)
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
        contained, is_open = self.sandbox.contain(self.spaces, host.writable(), host.nothing, self.network)
        os.write(self.started, f"{', '.join(contained)}|{', '.join(is_open)}".encode())
        if self.strict and is_open:
            return REFUSED
        try:
            os.chdir(host.release)  # the working folder is hidden by what is mounted there now
            self.sandbox.become("/bin/sh", ["sh", "-c", self.install], host.environment(self.network))
        except OSError as error:
            os.write(1, f"sh: {error.strerror}\n".encode())
        return 127


def pass_on(output, child):
    """Print the end of what the installer prints, and stop one that prints too much."""
    total, tail = 0, b""
    while True:
        data = os.read(output, 1 << 16)
        if not data:
            break
        total, tail = total + len(data), (tail + data)[-SHOWN:]
        if total > MOST:
            os.kill(child, 9)
            tail += b"\nstopped: the installer printed more than 256 MB\n"
            break
    os.write(1, tail)


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


def main(load, parts, release, state, release_id, install, network, strict, cache):
    """Install; `install` is a command, empty for `./install.sh` if there is one. `network`: leave it open.
    `strict`: refuse to run where something can't be contained. `cache`: the folder of unpacked wheels, empty
    for none.

    Exit codes: the installer's own; 78 if `strict` refused; 1 if, for example, the disk is full.
    """
    os.umask(0o022)
    os.chdir(release)
    if not install:
        if not os.path.isfile("install.sh"):
            print("the artifact has no install.sh: nothing to install")
            sys.exit(0)
        install = "./install.sh" if os.access("install.sh", os.X_OK) else "sh ./install.sh"
    host = Host(release, state, cache)
    try:
        remove(host.temporary)
        host.make()
        code, line = run(host, load("sandbox"), install, network, strict)
        host.settle()
        note_wheels(state + "/wheels.needed", code, bool(host.envs))
        if line:
            with open(f"{state}/releases/{release_id}.install.json", "w") as file:
                file.write(line + "\n")
        remove(host.temporary)
    except OSError as error:  # the rest is removed with the release, or before the next install
        print(f"{error.filename or release}: {error.strerror}")
        code = 1
    sys.exit(code)
