"""An installer that attacks the walls around it, as root and as the user of an app."""

import ast
import os
import pty
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.host_install import install, state_of
from tests.parts.long_sleep import is_running, long_sleep

USER = 4711
WALLS = "network, files, devices, sockets, compilers, processes, privileges, limits"


@pytest.fixture(params=[0, USER], ids=["as root", "as the app's user"])
def user(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that every user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="fapkit-walls-"))
    folder.chmod(0o755)
    yield folder
    subprocess.run(["chmod", "-R", "u+w", folder], check=True)
    shutil.rmtree(folder)


@pytest.fixture
def release(home: Path, user: int) -> Path:
    folder = home / "shop/releases/1"
    folder.mkdir(parents=True)
    (folder / "app.py").write_text("")
    os.chown(home, user, user)
    return folder


def attack(release: Path, user: int, code: str) -> str:
    """What Python code prints, run by install.sh of the release; all walls stand."""
    (release / "attack.py").write_text(textwrap.dedent(code))
    (release / "install.sh").write_text("exec python3 -I -S attack.py\n")
    done = install(release, None, user=user)
    assert done.stderr == ""
    assert f"contained: {WALLS}\n" in done.stdout, done.stdout
    return done.stdout.partition("contained: ")[0].strip()


OPEN = """
    for path, flags in {}:
        try:
            os.close(os.open(path, flags))
            print("opened", path)
        except OSError as error:
            print(error.strerror)
"""


def opened(release: Path, user: int, paths: list[str], flags: int) -> list[str]:
    code = textwrap.dedent(OPEN).format([(path, flags) for path in paths])
    return attack(release, user, "import os" + code).splitlines()


def test_kernel_settings_and_devices_are_out_of_reach(release: Path, user: int, home: Path) -> None:
    settings = ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches"]
    for answer in opened(release, user, settings, os.O_WRONLY):
        assert answer in ("Read-only file system", "Permission denied", "No such file or directory")
    devices = [str(path) for path in Path("/dev").iterdir() if path.is_block_device()][:5]
    devices += ["/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/net/tun", "/dev/ptmx", "/dev/tty", "/sys/power"]
    assert set(opened(release, user, devices, os.O_RDWR)) == {"No such file or directory"}
    made = attack(
        release,
        user,
        "import os\ntry: os.mknod('disk', 0o60600, 0x700)\nexcept OSError as e: print(e.strerror)",
    )
    assert made == "Operation not permitted"


def test_what_it_needs_of_devices_is_there(release: Path, user: int) -> None:
    code = """
    import os, tempfile
    assert os.read(os.open("/dev/zero", os.O_RDONLY), 1) == b"\\0"
    os.write(os.open("/dev/null", os.O_WRONLY), b"x")
    assert len(os.read(os.open("/dev/urandom", os.O_RDONLY), 8)) == 8
    open("/dev/shm/shared", "w").write("x")
    open("/dev/stdout", "w").write("printed ")
    tempfile.TemporaryFile().close()
    print(sorted(os.listdir("/")))
    """
    shown = attack(release, user, code)
    top = {".nothing", "bin", "dev", "etc", "lib", "proc", "usr", release.parts[1]}
    pythons = {Path(path).parts[1] for path in (sys.executable, sys.base_prefix)}
    assert shown.startswith("printed ")
    assert (
        top
        <= set(ast.literal_eval(shown.removeprefix("printed ")))
        <= top | {"sbin", "lib32", "lib64", "libx32"} | pythons
    )


def test_files_of_the_host_and_of_other_apps_are_not_there(release: Path, user: int, home: Path) -> None:
    secret = home / "other/.env"
    secret.parent.mkdir()
    secret.write_text("KEY=1")
    private = [
        str(secret),
        "/etc/shadow",
        "/etc/ssl/private",
        "/root/.ssh",
        "/var",
        "/run",
        "/tmp/x",
        "/home",
        "/sys",
    ]
    private += [str(state_of(release) / name) for name in ("key", "code", "ledger.jsonl", "releases")]
    (state_of(release) / "code").mkdir(parents=True, exist_ok=True)
    assert set(opened(release, user, private, os.O_RDONLY)) == {"No such file or directory"}
    targets = [str(release.parent / "new"), "/etc/passwd", "/usr/new", str(state_of(release) / "new"), "/new"]
    for answer in opened(release, user, targets, os.O_WRONLY | os.O_CREAT):
        assert answer in ("Read-only file system", "Permission denied")


def test_nothing_but_its_release_and_scratch_can_be_written(release: Path, user: int) -> None:
    """The packages of releases and the caches of the user are among what is tried."""
    code = """
    import os
    changed = set()
    for folder, folders, names in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(folder, name) != "/proc"]
        for path in [os.path.join(folder, "new"), *(os.path.join(folder, name) for name in names)]:
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW))
                changed.add(folder)
            except OSError:
                pass
    print(sorted(changed))
    """
    changed = ast.literal_eval(attack(release, user, code))
    scratch = str(state_of(release) / "install.tmp")
    assert {"/dev", "/dev/shm", str(release)} <= set(changed)
    rest = set(changed) - {"/dev", "/dev/shm", str(release)}
    assert all((path + "/").startswith(scratch + "/") for path in rest), rest


def test_an_app_behind_a_link_is_where_its_path_says(home: Path, user: int) -> None:
    (home / "disk/shop/releases/1").mkdir(parents=True)
    (home / "www").symlink_to("disk")
    release = home / "www/shop/releases/1"
    code = f"""
    import os
    open({str(release / "new")!r}, "w").close()
    print(os.readlink({str(home / "www")!r}), os.listdir({str(home / "disk/shop/releases/1")!r}).count("new"))
    """
    assert attack(release, user, code) == "disk 1"


def test_linked_files_are_read_only(release: Path, user: int) -> None:
    shared = release.parents[1] / "shared"
    shared.mkdir()
    (shared / "settings.py").write_text("SHARED = 1")
    (release / "settings.py").symlink_to(shared / "settings.py")
    assert attack(release, user, "print(open('settings.py').read())") == "SHARED = 1"
    assert (
        opened(release, user, ["settings.py", str(shared / "new")], os.O_WRONLY | os.O_CREAT)
        == ["Read-only file system"] * 2
    )


def test_sockets_fifos_and_terminals_are_out_of_reach(release: Path, user: int, home: Path) -> None:
    with socket.socket(socket.AF_UNIX) as named, socket.socket(socket.AF_UNIX) as abstract:
        named.bind(str(home / "supervisor.sock"))
        abstract.bind("\0fapkit-test-agent")
        for one in (named, abstract):
            one.listen()
        os.chown(home / "supervisor.sock", user, user)
        os.mkfifo(home / "fifo")
        master, terminal = pty.openpty()
        code = f"""
        import socket
        for name in ({str(home / "supervisor.sock")!r}, "\\0fapkit-test-agent"):
            try:
                socket.socket(socket.AF_UNIX).connect(name)
                print("connected", name)
            except OSError as error:
                print(error.strerror)
        """
        assert attack(release, user, code).splitlines() == ["No such file or directory", "Connection refused"]
        found = opened(release, user, [str(home / "fifo"), os.ttyname(terminal)], os.O_RDWR | os.O_NONBLOCK)
        assert found == ["No such file or directory"] * 2
        os.close(master)
        os.close(terminal)


def test_a_fork_bomb_ends_at_its_limit(release: Path, user: int) -> None:
    code = """
    import os, time
    count = 0
    try:
        while count < 2000:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
            count += 1
        print("no limit")
    except OSError as error:
        print(count, error.strerror, flush=True)
    """
    count, _, why = attack(release, user, code).partition(" ")
    assert why == "Resource temporarily unavailable"
    assert 100 < int(count) < 600


def test_a_process_that_takes_all_memory_fails(release: Path, user: int) -> None:
    code = """
    import mmap, os
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    try:
        mmap.mmap(-1, half + (1 << 20), mmap.MAP_PRIVATE)
        print("no limit")
    except (OSError, MemoryError) as error:
        print("limited")
    print(open("/proc/self/oom_score_adj").read(), os.nice(0))
    """
    assert attack(release, user, code).split() == ["limited", "1000", "10"]


def test_an_installer_that_fills_the_disk_is_stopped(home: Path, user: int) -> None:
    small = home / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", small], check=True)
    try:
        release = small / "shop/releases/1"
        release.mkdir(parents=True)
        (release / "install.sh").write_text(
            "i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero >f$i || sleep 1; done"
        )
        began = time.monotonic()
        done = install(release, None, user=user)
        assert done.returncode == 137
        assert "the installer was stopped: it has nearly filled the disk" in done.stdout
        assert time.monotonic() - began < 30
    finally:
        subprocess.run(["umount", small], check=True)


def test_it_can_not_get_its_walls_down(release: Path, user: int) -> None:
    """By a user namespace of its own, which would give it every capability in there, or by mounting."""
    code = """
    import ctypes, os
    libc = ctypes.CDLL(None, use_errno=True)
    def attempt(result):
        print("ok" if result == 0 else os.strerror(ctypes.get_errno()))
    attempt(libc.mount(b"none", b"/", None, 32, None))
    attempt(libc.chroot(b"."))
    if libc.unshare(0x10000000 | 0x20000) == 0:
        uid = os.getuid()
        attempt(libc.mount(b"none", b"/", None, 32 | 4096, None))
        attempt(libc.umount2(b"/proc", 2))
        print(sorted(os.listdir("/proc/1/root")) == sorted(os.listdir("/")))
    """
    assert "ok" not in attack(release, user, code).splitlines()


def test_it_inherits_no_file_and_sees_no_process_of_the_host(release: Path, user: int) -> None:
    code = f"""
    import os
    print(sorted(os.listdir("/proc/self/fd")), sorted(name for name in os.listdir("/proc") if name.isdigit()))
    for pid in (-1, {os.getpid()}, {os.getppid()}):
        try:
            os.kill(pid, 15)
            print("signalled", pid)
        except OSError as error:
            print(error.strerror)
    """
    descriptors, *answers = attack(release, user, code).splitlines()
    # 3 is the folder that is being listed; the installer is a shell, and Python its child or itself.
    assert descriptors in (f"['0', '1', '2', '3'] {pids}" for pids in (["1"], ["1", "2"], ["1", "2", "3"]))
    assert answers == ["No such process"] * 3


def test_what_it_leaves_behind_ends_with_it(release: Path, user: int) -> None:
    sleep = long_sleep()
    code = f"""
    import os, signal, time
    words = {sleep.split()!r}
    ways = [
        lambda: None,
        os.setsid,
        lambda: os.fork() and os._exit(0),
        lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    ]
    for way in ways:
        if os.fork() == 0:
            way()
            os.execvp(words[0], words)
    def command(pid):
        return open(f"/proc/{{pid}}/cmdline").read().split("\\0")[:-1]
    while sum(command(pid) == words for pid in os.listdir("/proc") if pid.isdigit()) < len(ways):
        time.sleep(0.01)
    print("all sleep")
    """
    assert attack(release, user, code) == "all sleep"
    assert not is_running(sleep)
