"""Real hosts on one machine: an sshd each, with its own address, host key, processes and home folders.

Every sshd runs in mount and pid namespaces of its own (`unshare`), where a folder of its own is mounted over
the home of each user. So `/home/deploy/www` is the same path on every host and another folder on each, and
killing a host's first process ends whatever was started on it. This needs root, and /usr/sbin/sshd.

The unix users are the only thing that stays on the machine: one that is missing is made (with an empty home,
/bin/sh and no password), because sshd only lets in users that the machine knows.
"""

import fcntl
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

SSHD = Path("/usr/sbin/sshd")
PORT = 2222
START_SECONDS = 20.0

_numbers = itertools.count(1)


class FleetError(Exception):
    """This machine can't run hosts, or one didn't start; the message says why."""


@dataclass(frozen=True)
class Host:
    """One host, as long as its `fleet` is open."""

    name: str
    """What ssh_config calls it: web1, web2, …"""
    address: str
    port: int
    user: str
    home: Path
    """The home of `user`, as the host sees it."""
    root: Path
    """Where that home lies for those outside the host."""
    homes: Mapping[str, Path]
    """The same for all its users: name → folder outside."""
    log: Path
    """What its sshd logs, at level VERBOSE."""
    ssh_config: Path
    """The client's configuration for the whole fleet: key, known hosts, strict checking."""
    key: Path
    known_hosts: Path
    machine: "Machine"
    """What it runs on."""

    @property
    def pid(self) -> int:
        """Its sshd, as those outside count processes."""
        return self.machine.pid

    def connections(self) -> int:
        """How many TCP connections its sshd took since it started."""
        return self._lines("Connection from ")

    def exec_sessions(self) -> int:
        """How many sessions (commands, shells, subsystems) were started over those connections."""
        return self._lines("Starting session: ")

    def path(self, path: str | Path) -> Path:
        """Where `path`, in the home of one of the host's users, lies for those outside the host."""
        for user, folder in self.homes.items():
            home = home_of(user)
            if Path(path).is_relative_to(home):
                return folder / Path(path).relative_to(home)
        raise ValueError(f"{path} isn't in the home of a user of {self.name}, so all hosts share it")

    def command(self, argv: Sequence[str | Path], user: str | None = None) -> list[str]:
        """The argv that runs `argv` on this host without ssh, in a user's home with a login's environment."""
        user = user or self.user
        home = "/root" if user == "root" else str(home_of(user))
        return [
            *("nsenter", "--target", str(self.pid), "--mount", "--pid", "--"),
            *("setpriv", "--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--init-groups", "--"),
            *("env", "-i", f"HOME={home}", f"USER={user}", f"LOGNAME={user}", f"PATH={_search_path(home)}"),
            *("sh", "-c", 'cd "$HOME" && exec "$@"', "sh", *map(str, argv)),
        ]

    def run(
        self, argv: Sequence[str | Path], user: str | None = None, *, stdin: str = "", check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` on this host without ssh and return how it ended, with its output as text."""
        return subprocess.run(
            self.command(argv, user), input=stdin, capture_output=True, text=True, check=check
        )

    def _lines(self, text: str) -> int:
        return self.log.read_text(errors="replace").count(text)


@contextmanager
def fleet(
    directory: Path,
    count: int,
    users: Sequence[str] = ("deploy",),
    address: str = "",
    port: int = PORT,
    root: Path | None = None,
) -> Iterator[list[Host]]:
    """Start `count` hosts that keep their files in `directory`; stop them, and all they run, at the end.
    Each has an address of its own, unless one is given (`0.0.0.0` is all of this machine).

    Every user may log in to every host with the same key. With `root`, the folder of another system, they run
    that. Raise FleetError if this machine can't do it.
    """
    _check_machine()
    for user in users:
        ensure_user(user)
        if root:
            _add_to(root, user)
    directory.mkdir(parents=True, exist_ok=True)
    key = make_key(directory / "client_key", "client")
    public = key.with_suffix(".pub").read_text()
    client = _Client(key, directory / "known_hosts", directory / "ssh_config")
    with ExitStack() as stack:
        machines = []
        for number in range(1, count + 1):
            prepared = _prepare(directory / f"web{number}", users, public, address or _next_address(), port)
            machine = Machine(prepared, users, root)
            stack.callback(machine.cut_power)
            machine.start()
            machines.append(machine)
        hosts = [_ready(machine, client) for machine in machines]
        client.write(hosts)
        yield hosts


def home_of(user: str) -> Path:
    """The home of a user of this machine."""
    return Path(pwd.getpwnam(user).pw_dir)


def ensure_user(user: str) -> None:
    """Make the unix user if there is none: /bin/sh, an empty home, no password but not locked for sshd."""
    with (Path(tempfile.gettempdir()) / "fapkit-fleet.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            pwd.getpwnam(user)
        except KeyError:
            options = ("--no-create-home", "--shell", "/bin/sh", "--password", "*")
            _output("useradd", *options, "--home-dir", f"/home/{user}", user)
        home = home_of(user)
        if not home.exists():
            home.mkdir(mode=0o755)
            shutil.chown(home, user, pwd.getpwnam(user).pw_gid)


def make_key(path: Path, comment: str) -> Path:
    """Make an ed25519 key pair at `path` and `path`.pub unless it is there; return `path`."""
    if not path.exists():
        _output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))
    return path


@dataclass(frozen=True)
class _Client:
    key: Path
    known_hosts: Path
    ssh_config: Path

    def write(self, hosts: Sequence[Host]) -> None:
        known = [f"[{host.address}]:{host.port} {_host_key(host.log.parent)}" for host in hosts]
        self.known_hosts.write_text("".join(f"{line}\n" for line in known))
        self.ssh_config.write_text("\n".join(_client_config(host) for host in hosts))


@dataclass(frozen=True)
class _Prepared:
    """What a host's sshd needs, on disk."""

    folder: Path
    address: str
    port: int

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def log(self) -> Path:
        return self.folder / "sshd.log"

    @property
    def config(self) -> Path:
        return self.folder / "sshd_config"

    def home(self, user: str) -> Path:
        return self.folder / "homes" / user


def _prepare(folder: Path, users: Sequence[str], client_key: str, address: str, port: int) -> _Prepared:
    prepared = _Prepared(folder, address, port)
    folder.mkdir(parents=True, exist_ok=True)
    make_key(folder / "host_key", prepared.name)
    for user in users:
        ssh = prepared.home(user) / ".ssh"
        ssh.mkdir(mode=0o700, parents=True, exist_ok=True)
        prepared.home(user).chmod(0o755)
        (ssh / "authorized_keys").write_text(client_key)
        for path in (prepared.home(user), ssh, ssh / "authorized_keys"):
            shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
    prepared.log.write_text("")
    prepared.config.write_text(_server_config(prepared, users))
    return prepared


def _next_address() -> str:
    # The process id keeps the fleets of parallel test processes apart, the number those of this one.
    pid, number = os.getpid(), next(_numbers)
    return f"127.{1 + pid // 250 % 250}.{1 + pid % 250}.{1 + number % 250}"


def _search_path(home: str | Path) -> str:
    return f"{home}/bin:/usr/local/bin:/usr/bin:/bin"


def _server_config(prepared: _Prepared, users: Sequence[str]) -> str:
    return f"""\
ListenAddress {prepared.address}
Port {prepared.port}
HostKey {prepared.folder / "host_key"}
PidFile none
AllowUsers {" ".join(users)}
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
MaxStartups 200
LogLevel VERBOSE
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
""" + "".join(f"Match User {user}\n    SetEnv PATH={_search_path(home_of(user))}\n" for user in users)


def _client_config(host: Host) -> str:
    return f"""\
Host {host.name}
    HostName {host.address}
    Port {host.port}
    User {host.user}
    IdentityFile {host.key}
    IdentitiesOnly yes
    UserKnownHostsFile {host.known_hosts}
    StrictHostKeyChecking yes
"""


def _host_key(folder: Path) -> str:
    kind, key, _comment = (folder / "host_key.pub").read_text().split(maxsplit=2)
    return f"{kind} {key}"


class Machine:
    """What a host runs on. Its power can be cut, which kills all its processes at once, and come back; its
    disks stay."""

    def __init__(self, prepared: _Prepared, users: Sequence[str], root: Path | None = None) -> None:
        self.prepared, self.users, self.root = prepared, users, root
        self.pid = 0
        """The first process of its pid namespace, its sshd; 0 until that is ready."""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start its sshd; `wait_until_ready` waits for it. It ends with the thread that called this."""
        self.prepared.log.write_text("")
        self._process = _start(self.prepared, self.users, self.root)

    def wait_until_ready(self) -> None:
        """Raise FleetError if its sshd ends, or does not listen in time."""
        wait_until(self._listens, f"sshd of {self.prepared.name} listens", START_SECONDS)
        assert self._process
        self.pid = child_of(self._process.pid)

    def cut_power(self) -> None:
        """End it, and all that runs there. Does nothing where it has ended."""
        process, pid = self._process, self.pid
        self._process, self.pid = None, 0
        if process is None:
            return
        if pid and process.poll() is None:
            # The first of its pid namespace takes all others along, and is gone when they are; so is unshare.
            os.kill(pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()

    def _listens(self) -> bool:
        if self._process and self._process.poll() is not None:
            said = (self.prepared.folder / "start.log").read_text() + self.prepared.log.read_text()
            raise FleetError(f"{self.prepared.name} didn't start: {said.strip()}")
        return "Server listening on" in self.prepared.log.read_text()


def _add_to(root: Path, user: str) -> None:
    """Make the user in another system, with the id that it has here."""
    known = (root / "etc/passwd").read_text()
    if f"\n{user}:" not in known:
        number = str(pwd.getpwnam(user).pw_uid)
        words = (
            "--no-create-home",
            "--shell",
            "/bin/sh",
            "--password",
            "*",
            "--home-dir",
            str(home_of(user)),
        )
        _output("chroot", str(root), "/usr/sbin/useradd", *words, "--uid", number, user)


_OTHER_ROOT = """\
root=$1 folder=$2
shift 2
if [ -n "$root" ]; then
  mount --bind "$root" "$root" && mount --rbind /dev "$root/dev" && mount -t proc proc "$root/proc" || exit
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp" && mount -t tmpfs tmpfs "$root/run" || exit
  mkdir -p "$root/run/sshd" "$root/run/old" "$root$folder" && mount --bind "$folder" "$root$folder" || exit
fi
while [ "$1" != -- ]; do
  mkdir -p "$root$2" && mount --bind "$1" "$root$2" || exit
  shift 2
done
shift
if [ -n "$root" ]; then
  # No user namespace can be made in a chroot, so the root of this mount namespace changes.
  cd "$root" && pivot_root . run/old && umount -l /run/old || exit
fi
exec "$@"
"""


def _start(prepared: _Prepared, users: Sequence[str], root: Path | None) -> subprocess.Popen[bytes]:
    mounts = [part for user in users for part in (str(prepared.home(user)), str(home_of(user)))]
    # A host ends with the thread that started it, also when that was killed (pdeathsig).
    with (prepared.folder / "start.log").open("wb") as output:
        return subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL"),
                *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *("sh", "-c", _OTHER_ROOT, "sh", str(root or ""), str(prepared.folder), *mounts, "--"),
                *(str(SSHD), "-D", "-f", str(prepared.config), "-E", str(prepared.log)),
            ],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            umask=0o022,
            start_new_session=True,
        )


def _ready(machine: Machine, client: _Client) -> Host:
    machine.wait_until_ready()
    prepared, users = machine.prepared, machine.users
    return Host(
        name=prepared.name,
        address=prepared.address,
        port=prepared.port,
        user=users[0],
        home=home_of(users[0]),
        root=prepared.home(users[0]),
        homes={user: prepared.home(user) for user in users},
        log=prepared.log,
        ssh_config=client.ssh_config,
        key=client.key,
        known_hosts=client.known_hosts,
        machine=machine,
    )


def child_of(pid: int) -> int:
    """The only child of a process."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def wait_until(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """Wait until `condition()` holds; raise FleetError with `what` after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise FleetError(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(0.01)


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise FleetError("hosts of one's own need root: run this as root, or in a container")
    if not SSHD.exists():
        raise FleetError(f"there is no {SSHD}; install it: apt-get install openssh-server")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd's unprivileged half is confined


def _output(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode != 0:
        raise FleetError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout
