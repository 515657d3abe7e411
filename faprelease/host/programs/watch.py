"""Watch the services of a process manager: all of them must run, and none may end meanwhile."""

import math
import os
import time

import processes

GOOD, WAIT, FAILED = range(3)
"""The verdict on a service: it runs as it should; not yet; and it won't."""
PAUSE = 0.25
"""Seconds between two looks."""
START_LIMIT = 60
"""The seconds that a service may take to start."""
SHELLS = "sh", "dash", "bash", "busybox"
SETTLES = 2
"""The age in seconds until which a process is new: by then it has changed to its folder."""
LONG = 60
"""The age in seconds from which on an end has nothing to do with the start."""
LOOP = 2
"""The number of ended worker processes of one service that is taken for a crash loop."""


class EndedError(Exception):
    """What ended, or will not start."""


class Service:
    """One look at a service: its verdict and the reason, its main process, how often its manager started it
    again, and which of its processes run from the release."""

    def __init__(self, name, verdict, text, main="", restarts="", pids=()):
        self.name, self.verdict, self.text = name, verdict, text
        self.main, self.restarts, self.pids = main, restarts, pids
        self.identity = (main, processes.start_of(main) if main else "", restarts)


def service(name, release, main, restarts, *, reload, more=(), of_user=False):
    """The look at a service that is active: `main` is its main process. With `reload`, it is enough that one
    of `more` or of its children runs from the release. With `of_user`, it must run as this user, unless this
    is root."""
    text, there = "has no child processes", []
    if of_user and processes.is_of_other(main):
        # Its manager starts it as root, and then changes its user.
        verdict = WAIT if processes.age(main) < SETTLES else FAILED
        try:
            text = (
                f"runs as {processes.user_of(main)}, and the release belongs to {processes.user_of('self')}"
            )
        except OSError:
            text = "has ended"
        return Service(name, verdict, f"{name} (process {main}) {text}", main, restarts)
    others = dict.fromkeys([*processes.children_of(main), *(pid for pid in more if pid != main)])
    for pid in others or more if reload else [main]:
        verdict, says = processes.runs(pid, release)
        if verdict == processes.HERE:
            there.append(pid)
        elif verdict == processes.UNSEEN:
            return Service(name, GOOD, f"warning: {name} (process {pid}) {says}", main, restarts, [main])
        else:
            text = says
    if there:
        return Service(name, GOOD, f"{name} (process {main}) runs in {release}", main, restarts, there)
    # A manager starts a process before it changes its folder.
    verdict = WAIT if reload or processes.age(main) < SETTLES else FAILED
    return Service(name, verdict, f"{name} (process {main}) {text}", main, restarts)


def print_uptimes(services):
    """Print a line of JSON for each service: for how many seconds its main process has run (null: it does not
    run), and how often its manager started it again (null: nobody counts)."""
    import json

    for each in services:
        up = int(processes.age(each.main)) if each.main else None
        restarts = int(each.restarts) if each.restarts else None
        print(json.dumps({"name": each.name, "up": up, "restarts": restarts}))


class Watch:
    """Looks again and again at what `look` returns, and remembers what it saw."""

    def __init__(self, look):
        self._look, self._known, self._first, self._ages, self._workers = look, {}, {}, {}, {}
        self.texts = []

    def again(self):
        """Why not all services run yet; empty if they do. Raises EndedError if one has failed, or has ended
        since an earlier look."""
        services, waiting = self._look(), ""
        self.texts = [each.text for each in services]
        for each in services:
            known = self._known.get(each.name)
            if known and (each.verdict != GOOD or each.identity != known.identity):
                raise EndedError(self._ended(known, each))
            if each.verdict == FAILED:
                raise EndedError(each.text)
            if each.verdict == WAIT:
                waiting = waiting or each.text
                continue
            self._known[each.name] = each
            self._ages[each.name] = processes.age(each.main)
            self._first.setdefault(each.name, time.monotonic() - max(map(processes.age, each.pids)))
            self._see_workers(each)
        return waiting

    def pause(self):
        """Wait until the next look; not any longer when a main process has ended."""
        end = time.monotonic() + PAUSE
        while time.monotonic() < end:
            time.sleep(PAUSE / 10)
            mains = (each.identity[:2] for each in self._known.values())
            if any(processes.start_of(main) != start for main, start in mains):
                time.sleep(PAUSE / 5)  # its manager sees it too
                return

    def age(self):
        """For how many seconds all services run from the release: since the start of their oldest process
        there, or since that was seen first."""
        return time.monotonic() - max(self._first.values(), default=-math.inf)

    def _ended(self, known, now):
        if now.identity == known.identity:
            return now.text
        seconds = math.ceil(self._ages[known.name] + PAUSE)
        when = f" within {seconds} s of its start" if seconds < LONG else ""
        return f"{known.name} (process {known.main}) ended{when}; now: {now.text}"

    def _see_workers(self, each):
        """Raise EndedError if new worker processes of one kind end: children that run the program of their
        main process. Old ones may end, after a reload."""
        known = self._workers.setdefault(each.name, {})
        for pid in workers_of(each.main, each.pids):
            worker = pid, processes.start_of(pid)
            if worker in known or processes.age(pid) < SETTLES:
                known[worker] = kind_of(pid)
        ended = {}
        for (pid, start), kind in known.items():
            if processes.start_of(pid) != start:
                ended.setdefault(kind, []).append(pid)
        for pids in ended.values():
            if len(pids) >= LOOP:
                raise EndedError(f"{each.name} (process {each.main}): its workers {', '.join(pids)} ended")


def kind_of(pid):
    """The command line of a process without its numbers, which tell workers of one kind apart."""
    try:
        return "".join(each for each in processes.read(pid, "cmdline") if not each.isdigit())
    except OSError:
        return ""


def workers_of(main, there):
    """The children of a main process with the same program, unless that is a shell; of a service that was
    reloaded, only those that are `there`."""
    try:
        program = os.readlink(f"/proc/{main}/exe")
    except OSError:
        return
    for pid in processes.children_of(main) if os.path.basename(program) not in SHELLS else ():
        try:
            if os.readlink(f"/proc/{pid}/exe") == program and (main in there or pid in there):
                yield pid
        except OSError:
            continue


def until_good(look, limit, seconds):
    """Watch until all services run, the youngest for `seconds`; return what was seen last. Raises EndedError,
    also if they don't all run after `limit` seconds."""
    watch, began = Watch(look), time.monotonic()
    while True:
        waiting = watch.again()
        if not waiting and watch.age() >= seconds:
            return watch.texts
        if waiting and time.monotonic() - began > limit:
            raise EndedError(waiting)
        watch.pause()
