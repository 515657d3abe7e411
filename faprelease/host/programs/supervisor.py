"""Check that supervisord runs the program of a release, and watch it.

`main` gets the options `release`, `program` (its name, or that of a group), `children` (yes: it is enough
that a child process runs from the release) and `seconds` (how long the processes must have run).
"""

import os
import subprocess
import sys

import processes
import watch

START_LIMIT, RELOAD_LIMIT = 60, 10
"""How long a process may be STARTING, and how long its new children may take, in seconds."""


class Program:
    """The processes of a program, as `supervisorctl status` lists them."""

    def __init__(self, program, release, children):
        self.program, self.release, self.children = program, os.path.realpath(release), children
        self._lines, self._pids = [], {}

    def look(self):
        """The services for `watch`. supervisorctl is asked again only if a process has ended."""
        if not self._pids or any(processes.start_of(pid) != start for pid, start in self._pids.items()):
            self._lines = self._status()
            pids = [pid for pid in map(pid_of, self._lines) if pid]
            is_running = len(pids) == len(self._lines)
            self._pids = {pid: processes.start_of(pid) for pid in pids} if is_running else {}
        return [self._service(line) for line in self._lines]

    def _status(self):
        said = status(self.program)
        if "no such process" in said or "no such group" in said:
            said = status(f"{self.program}:*")
        return said.splitlines() or [f"{self.program} is not known to supervisord"]

    def _service(self, line):
        name, state, *_ = [*line.split(None, 2), ""]
        pid = pid_of(line)
        if pid:
            return watch.service(name, self.release, pid, "", reload=self.children)
        verdict = watch.WAIT if state == "STARTING" else watch.FAILED
        return watch.Service(name, verdict, line)


def status(name):
    words = ["supervisorctl", "status", name]
    asked = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
    )
    return asked.stdout


def pid_of(line):
    """The process of a line `NAME RUNNING pid PID, uptime TIME`; empty in another state."""
    words = line.split()
    is_running = words[1:3] == ["RUNNING", "pid"] and len(words) > 3
    return words[3].rstrip(",") if is_running else ""


def looker(release, program, children):
    """What `watch` looks with, also for other programs."""
    return Program(program, release, children).look


def main(load, parts, *words):
    """Exit codes: 0; 1 if a process does not run, and the reason is printed."""
    options = dict(word.split("=", 1) for word in words)
    seconds = int(options.pop("seconds"))
    limit = RELOAD_LIMIT if options["children"] else START_LIMIT
    try:
        print("\n".join(watch.until_good(looker(**options), limit, seconds)))
    except watch.EndedError as error:
        print(error)
        sys.exit(1)
    sys.exit(0)
