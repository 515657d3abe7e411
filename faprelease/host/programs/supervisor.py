"""Check that supervisord runs the program of a release, watch it, and show what it logged last.

`main` gets an action, `check`, `uptime` or `log`, and its options, each as NAME=VALUE. All have `program`:
its name, or that of a group.
"""

import os
import subprocess
import sys

import lastlines
import processes
import watch

CTL = "supervisorctl"
START_LIMIT, RELOAD_LIMIT = 60, 10
"""How long a process may be STARTING, and how long its new children may take, in seconds."""
LOG_SIZE = 16000
"""How much of each log is read, in bytes from its end."""
SHOWN = 3
"""The number of processes whose logs are shown."""


class Program:
    """The processes of a program, as `supervisorctl status` lists them."""

    def __init__(self, program, release, children, of_user=""):
        self.program, self.release = program, os.path.realpath(release)
        self.children, self.of_user = children, bool(of_user)
        self._lines, self._pids = [], {}

    def look(self):
        """The services for `watch`. supervisorctl is asked again only if a process has ended."""
        if not self._pids or any(processes.start_of(pid) != start for pid, start in self._pids.items()):
            self._lines = status(self.program)
            pids = [pid for pid in map(pid_of, self._lines) if pid]
            is_running = len(pids) == len(self._lines)
            self._pids = {pid: processes.start_of(pid) for pid in pids} if is_running else {}
        return [self._service(line) for line in self._lines]

    def _service(self, line):
        name, state, *_ = [*line.split(None, 2), ""]
        pid = pid_of(line)
        if pid:
            return watch.service(name, self.release, pid, "", reload=self.children, of_user=self.of_user)
        verdict = watch.WAIT if state == "STARTING" else watch.FAILED
        return watch.Service(name, verdict, " ".join(line.split()))


def status(program):
    """The lines of `supervisorctl status` for a program or a group, or for several programs."""
    said = ask("status", *program.split())
    if "no such process" in said or "no such group" in said:
        said = ask("status", f"{program}:*")
    return said.splitlines() or [f"{program} is not known to supervisord"]


def ask(*words):
    command = [CTL, *words]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(command, **streams, encoding="utf-8", errors="replace").stdout


def ask_all(commands):
    """Run supervisorctl for several commands at once, and wait for all."""
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = [subprocess.Popen([CTL, *words], **silent) for words in commands]
    for each in running:
        each.wait()


def ask_alone(commands):
    """Begin to run supervisorctl for several commands; they go on when this program has ended."""
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    for words in commands:
        subprocess.Popen([CTL, *words], **silent, start_new_session=True)


def pid_of(line):
    """The process of a line `NAME RUNNING pid PID, uptime TIME`; empty in another state."""
    words = line.split()
    is_running = words[1:3] == ["RUNNING", "pid"] and len(words) > 3
    return words[3].rstrip(",") if is_running else ""


def looker(release, program, children, of_user=""):
    """What `watch` looks with, also for other programs. `children`: it is enough that a child process runs
    from the release. `of_user`: they must run as this user."""
    return Program(program, release, children, of_user).look


def check(seconds, children, **options):
    """Check that all processes run from the release, and have run for `seconds`."""
    limit = RELOAD_LIMIT if children else START_LIMIT
    print("\n".join(watch.until_good(looker(children=children, **options), limit, int(seconds))))


def uptime(release, program):
    """Print how long each process has been up; supervisor does not count how often it started it."""
    watch.print_uptimes(looker(release, program, "")())


def end_of_log(name, stream):
    """The end of a log that supervisord keeps; empty if it keeps none, or not yet."""
    import loglines

    data = loglines.SupervisorLog(name, stream).read(LOG_SIZE)
    text = (data or b"").decode("utf-8", "replace")
    return "" if text.startswith(f"{name}: ERROR (no") else text


def log(program, ports, release):
    """Print what the processes logged last, and who has `ports` if they are in use."""
    said = []
    for line in status(program)[:SHOWN]:
        name = line.split(None, 1)[0]
        for stream in ("stdout", "stderr"):
            text = lastlines.shown(end_of_log(name, stream))
            if text:
                print(f"{name}, {stream}:\n{text}")
            said.append(text)
    for holder in processes.holders("\n".join(said), map(int, ports.split()), release):
        print(holder)


def main(load, parts, action, *words):
    """Exit codes: 0; 1 if a process does not run, and the reason is printed."""
    options = dict(word.split("=", 1) for word in words)
    try:
        {"check": check, "uptime": uptime, "log": log}[action](**options)
    except watch.EndedError as error:
        print(error)
        sys.exit(1)
    sys.exit(0)
