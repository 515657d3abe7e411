"""What the processes of this host run: from which release, with which packages, and who listens on a port.

A module of other programs, and one by itself, which prints the answer:

    processes.py listeners PORT RELEASE
    processes.py reload SIGNAL ENVIRONMENT BEFORE RELEASE PID...

Formats: proc(5), /proc/net/tcp and the files of /proc/PID.
"""

import glob
import os
import sys

HERE, ELSEWHERE, UNSEEN = range(3)
"""What can be said of a process: it runs from the release; it does not; and this user can't see it."""
LISTENING = "0A"
MANAGERS = "systemd", "supervisord"
"""They may hold a socket for the service that answers on it (systemd.socket(5), fcgi-program)."""


def read(pid, name):
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return os.fsdecode(file.read())


def stat(pid):
    """The command's name, and the fields after it, from the state on; nothing if it has ended."""
    try:
        head, _, tail = read(pid, "stat").rpartition(") ")
    except OSError:
        return "", []
    fields = tail.split()
    return (head.partition(" (")[2], fields) if fields and fields[0] not in "ZX" else ("", [])


def start_of(pid):
    """When it started, in ticks since the boot; empty if it has ended."""
    return "".join(stat(pid)[1][19:20])


def age(pid):
    """For how many seconds it has run; 0 if it has ended."""
    start = start_of(pid)
    with open("/proc/uptime") as file:
        now = float(file.read().split()[0])
    return now - int(start) / os.sysconf("SC_CLK_TCK") if start else 0


def uid_of(pid):
    """The id of the user that it runs as."""
    return int(read(pid, "status").split("\nUid:", 1)[1].split(None, 2)[1])


def user_of(pid):
    """The name of its user, for people."""
    import pwd

    number = uid_of(pid)
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def is_of_other(pid):
    """Whether a process runs as another user than this one; root may run processes of any."""
    try:
        return os.geteuid() not in (0, uid_of(pid))
    except OSError:
        return False


def children_of(pid):
    """The ids of its child processes."""
    try:
        return read(pid, f"task/{pid}/children").split()
    except OSError:
        return []


def runs(pid, release):
    """(HERE, ELSEWHERE or UNSEEN, explanation) of a process and a release, a real path."""
    try:
        packages = other_packages(pid, release)
        if packages:
            return ELSEWHERE, f"runs with the packages of {packages}, not of {release}"
        cwd = os.readlink(f"/proc/{pid}/cwd")
    except PermissionError:
        return UNSEEN, f"runs as {user_of(pid)}, whose working folder can't be seen"
    except OSError:
        return ELSEWHERE, "has ended"
    if f"{cwd}/".startswith(f"{release}/"):
        return HERE, f"runs in {release}"
    return ELSEWHERE, f"runs in {cwd}, not in {release}"


def other_packages(pid, release):
    """A folder of packages that a process uses and that are not the release's; empty if none is seen.

    A process keeps the interpreter and the packages that it started with, whatever its working folder is by
    now: they show in the path of its program, in its environment, and in the libraries that it has loaded.
    """
    releases, packages = os.path.dirname(release), packages_of(release)
    for path in (*words_of(pid)[:2], environment_of(pid).get("VIRTUAL_ENV", "")):
        other = release_of(path, releases)
        if other not in ("", release) and not (packages and packages_of(other) == packages):
            return f"{other}/venv"
    for path in mapped_by(pid):
        other = release_of(path, releases)
        if other not in ("", release):
            return f"{other}/venv"
        shared = os.path.dirname(packages)
        if packages and path.startswith(f"{shared}/") and not path.startswith(f"{packages}/"):
            return f"{shared}/{path[len(shared) + 1 :].partition('/')[0]}"
    return ""


def words_of(pid):
    return read(pid, "cmdline").split("\0")[:-1]


def environment_of(pid):
    """The variables that it started with, as far as this user may see them."""
    try:
        lines = read(pid, "environ").split("\0")
    except PermissionError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)


def mapped_by(pid):
    """The files in its memory, such as shared libraries, as far as this user may see them."""
    try:
        lines = read(pid, "maps").splitlines()
    except PermissionError:
        return set()
    return {fields[5] for fields in (line.split(None, 5) for line in lines) if fields[5:]}


def release_of(path, releases):
    """The release whose venv a path leads into; empty if it leads into none."""
    name, _, rest = path[len(releases) + 1 :].partition("/")
    in_venv = path.startswith(f"{releases}/") and f"{rest}/".startswith("venv/")
    return f"{releases}/{name}" if in_venv else ""


def packages_of(release):
    """The folder of the packages that a release shares with others; empty if it has its own."""
    link = f"{release}/venv/packages"
    return os.path.realpath(link) if os.path.isdir(link) else ""


def content_of(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def reload_problem(pids, signal, environment, before, release):
    """Why a signal can't make these processes run `release`; empty if nothing is seen that prevents it.

    `before` is the release that they run now (may be empty), `environment` the name of the environment file
    in a release, and `signal` may be empty. The main process of a server stays, with its interpreter, its
    packages and its environment.
    """
    release, before = os.path.realpath(release), os.path.realpath(before) if before else ""
    if before:
        for name, what in ("requirements.lock", "the packages"), (environment, "the environment"):
            if content_of(f"{before}/{name}") != content_of(f"{release}/{name}"):
                return f"{what} changed ({name})"
        if packages_of(before) != packages_of(release):
            return "the packages changed (venv/packages)"
    for pid in pids:
        try:
            problem = _stays(pid, signal, release)
        except OSError:
            continue  # it has ended, so it starts anew
        if problem:
            return f"process {pid} {problem}"
    return ""


def _stays(pid, signal, release):
    words, variables = words_of(pid), environment_of(pid)
    own = release_of(variables.get("VIRTUAL_ENV", ""), os.path.dirname(release))
    if own not in ("", release):
        return f"was started by .fap/run in {own}, and stays in that folder"
    packages = other_packages(pid, release)
    if packages:
        return f"runs with the packages of {packages}"
    if any(os.path.basename(word) == "gunicorn" for word in words[:2]):
        if "--preload" in words + variables.get("GUNICORN_CMD_ARGS", "").split():
            return "is gunicorn with --preload, which does not load code again"
        if signal.upper() in ("USR2", "SIGUSR2"):
            return "is gunicorn, which starts a second master on USR2"
    return ""


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
    """The ids of the processes that have one of these sockets, where this user may see it. A manager that
    holds it for a service does not answer on it: the service does."""
    wanted = sockets(port)
    for process in sorted(glob.glob("/proc/[0-9]*")) if wanted else ():
        pid = int(process[6:])
        try:
            opened = {os.readlink(fd) for fd in glob.glob(process + "/fd/*")}
        except OSError:  # it has ended, or closed a file meanwhile
            continue
        if opened & wanted and pid != 1 and stat(pid)[0] not in MANAGERS:
            yield pid


def listening(port, release):
    """(HERE, ELSEWHERE or UNSEEN, explanation) of the processes that listen on a port."""
    visible = []
    for pid in listeners(port):
        verdict, text = runs(pid, release)
        if verdict == ELSEWHERE:
            return ELSEWHERE, f"port {port} is held by process {pid}, which {text}"
        if verdict == HERE:
            visible.append(str(pid))
    if not visible:
        return UNSEEN, f"port {port} is held by a process that this user can't see"
    return HERE, f"port {port} is held by {', '.join(visible)}"


IN_USE = "in use", "errno 98", "eaddrinuse"
"""What a log says of a port that something else has, in lower case."""


def holders(log, ports, release):
    """Who has the ports that a log says are in use: those that its lines name, or else `ports`; or at least
    which processes run in other releases than `release`."""
    lines = [line for line in log.splitlines() if any(word in line.lower() for word in IN_USE)]
    words = "".join(letter if letter.isdigit() else " " for line in lines for letter in f"{line} ").split()
    named = [int(word) for word in words if 2 <= len(word) <= 5]
    found = (
        [(pid, port) for port in dict.fromkeys([*named, *ports]) for pid in listeners(port)] if lines else []
    )
    for pid, port in found or (left_behind(release) if lines else ()):
        what = f"port {port} is held by process {pid}, which" if port else f"process {pid} still"
        try:
            place = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            continue
        yield f"{what} runs in {place}; if it is left over: kill {pid}"


def left_behind(release):
    """(pid, 0) of the processes that run in other releases of the app."""
    release = os.path.realpath(release)
    for process in sorted(glob.glob("/proc/[0-9]*")):
        try:
            cwd = f"{os.readlink(process + '/cwd')}/"
        except OSError:
            continue
        if cwd.startswith(f"{os.path.dirname(release)}/") and not cwd.startswith(f"{release}/"):
            yield int(process[6:]), 0


if __name__ == "__main__":
    if sys.argv[1] == "listeners":
        verdict, text = listening(int(sys.argv[2]), sys.argv[3])
        print(text)
        sys.exit(verdict)
    print(reload_problem(sys.argv[6:], *sys.argv[2:6]))
