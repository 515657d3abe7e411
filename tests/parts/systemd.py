"""A real `systemd --user` on a host of a `fleet`, as it would run there for a user with lingering enabled.

systemd wants a booted machine and a cgroup2 of its own: the host gets a fresh /run, a cgroup2 on
/sys/fs/cgroup, and a child group that belongs to the user. There is no journald: what services print is lost.
"""

import os
import pwd
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.parts.fleet import FleetError, Host, wait_until

SYSTEMD = Path("/lib/systemd/systemd")
START_SECONDS = 60.0


@dataclass(frozen=True)
class Systemd:
    """The user's manager on a host, as long as its `systemd_on` is open."""

    host: Host
    runtime: str

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `systemctl --user ARGUMENTS` as its user, and return how it ended."""
        return self.host.run(
            ["env", f"XDG_RUNTIME_DIR={self.runtime}", "systemctl", "--user", "--no-pager", *arguments]
        )

    def main_cwd(self, unit: str) -> str:
        """The working folder of a unit's main process, empty if it has none."""
        pid = self.ctl("show", "--value", "-p", "MainPID", unit).stdout.strip()
        return self.host.run(["readlink", f"/proc/{pid}/cwd"]).stdout.strip() if pid != "0" else ""


@contextmanager
def systemd_on(host: Host) -> Iterator[Systemd]:
    """Start it; stop it and all that it runs at the end. Raise FleetError if this machine can't do it."""
    if not SYSTEMD.exists():
        raise FleetError(f"there is no {SYSTEMD}; install it: apt-get install systemd")
    uid = pwd.getpwnam(host.user).pw_uid
    runtime = f"/run/user/{uid}"
    group = f"/sys/fs/cgroup/fapkit-{os.getpid()}-{host.pid}"
    owner = shlex.quote(host.user)
    script = f"""set -e
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd /run/systemd/system {runtime} /sys/fs/cgroup
chown {owner}: {runtime} && chmod 700 {runtime}
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir {group}
chown {owner}: {group} {group}/cgroup.procs {group}/cgroup.threads {group}/cgroup.subtree_control
echo $$ >{group}/cgroup.procs
exec setpriv --reuid {owner} --regid {owner} --init-groups -- env -i HOME={host.home} USER={owner} \\
  PATH=/usr/bin:/bin XDG_RUNTIME_DIR={runtime} {SYSTEMD} --user --log-target=console
"""
    enter = ("nsenter", "--target", str(host.pid), "--mount", "--pid", "--")
    log = host.log.with_name("systemd.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *enter, "sh", "-c", script],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    manager = Systemd(host, runtime)

    def answers() -> bool:
        if process.poll() is not None:
            raise FleetError(f"systemd on {host.name} didn't start: {log.read_text().strip()}")
        return manager.ctl("is-system-running").stdout.strip() in ("running", "degraded")

    try:
        wait_until(answers, f"systemd on {host.name} runs", START_SECONDS)
        yield manager
    finally:
        # Killed processes stay in their groups until they are gone.
        gone = f"find {group} -depth -type d -exec rmdir {{}} + 2>/dev/null"
        until_gone = f"for _ in $(seq 50); do {gone}; [ -d {group} ] || exit; sleep 0.1; done"
        tidy = f"echo 1 >{group}/cgroup.kill; {until_gone}"
        subprocess.run([*enter, "sh", "-c", tidy], capture_output=True, check=False)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
