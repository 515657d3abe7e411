"""Start a release beside the one before it, check it, and only then have it answer.

`main` gets an action and its options, each as NAME=VALUE. All actions have `run` (the folder run/), `state`,
`group` (may be empty), `release` and `manager`: the module that speaks to the process manager, which gets the
options that are left. The first start of a release is made from its files in .fap/handover, or for a release
of before, from those of the input: JSON with `files`, and `request`, the configuration of curl.
"""

import json
import os
import socket
import sys
import time

import detached
import instances
import lastlines
import loglines
import watch

FILES = ".fap/handover"
ACCEPTED = 2
"""The seconds after which nginx has handed over what it had accepted for the old processes."""
ANSWERS = 2


class Handover:
    """A release, the starts on this host, and their process manager."""

    def __init__(self, manager, run, state, group, release):
        self.manager, self.run, self.state = manager, instances.Run(run, group), state
        self.release, self.release_id = release, os.path.basename(release)
        self.log, self.changeover = f"{state}/handover.log", f"{run}/changeover"

    def ask(self, brings, listen, quiet):
        """Check that this user may do everything that a handover needs, before anything changes. `quiet` has
        a word `UNIT:SIGNAL` for each process that is told to take no more jobs."""
        self._refuse_foreign()
        folder = self.run.nearest()
        if not os.access(folder, os.W_OK):
            raise watch.EndedError(f"{folder} is not writable, so {self.run.folder} can't be made there")
        group = self.run.group
        problem = self.run.group_problem() if group else ""
        if problem:
            raise watch.EndedError(problem)
        for path in self.run.closed():
            who = f"{group or 'the web server'} can't reach the sockets in {self.run.folder}"
            print(f"warning: {who}: {path} is closed to it; on the host: chmod o+x {path}")
        for program in ("/lib/systemd/systemd-socket-proxyd", *self.manager.needs) if listen else ():
            if not os.access(program, os.X_OK):
                raise watch.EndedError(f"handover_listen needs {program}: sudo apt-get install systemd")
        self.manager.ask(f"{self.release_id}-1", brings.split(), self.run.folder, quiet.split())

    def _refuse_foreign(self):
        """Refuse to go on beside what this process manager does not run, and so can't end."""
        foreign = [each.name for each in self.run.all() if not self.manager.has_made(each)]
        if foreign:
            raise watch.EndedError(
                f"another process manager runs what is in {self.run.folder}: {' '.join(foreign)};"
                " put its plugin back into deploy.yml, and release once with handover: restart"
            )

    def start(self, fresh, undo, environment, proof):
        """Start the release, and check it at its own sockets. What still runs of it is used, unless it has to
        be `fresh`. If it does not pass, it is ended again."""
        live, ready = self.run.live(), None
        if not fresh:
            ready = self.run.newest(self.release_id)
            if ready and not (ready.is_ready and self._runs(ready)):
                ready = None
        if undo and not self._ran_beside():
            return  # it still runs as it did
        self._end_others(live, ready)
        if not live:
            self.manager.keep_own()
        if ready:
            self.manager.keep(ready)
            proof.check(self.manager, ready, ready.web, answers=1)
            return
        if os.path.exists(self.log):
            os.unlink(self.log)
        new = self.run.make(self.release, proof.files(self.release), environment)
        new.hold()
        quiet = [each for each in (live.others if live else []) if each["quiet"]]
        try:
            self.manager.install(new, new.beside)
            if quiet:
                live.silence()
            for process in quiet:
                self.manager.signal(live, process, process["quiet"])
            self.manager.start(new, new.beside)
            proof.check(self.manager, new, new.beside, answers=ANSWERS)
        except (watch.EndedError, OSError):
            self._note(new)
            self._end(new, wait=False)
            self._wake(live)
            raise
        self.run.open(new)
        new.prove()

    def _wake(self, instance):
        """Restart the workers of a start that were told to take no more jobs."""
        if instance and instance.quiet:
            self.manager.restart(instance, instance.quiet)
            instance.wake()

    def _ran_beside(self):
        return bool(self.run.newest(self.release_id)) or os.path.isdir(f"{self.release}/{FILES}")

    def _runs(self, instance):
        services = self.manager.look(instance, instance.web)
        return bool(services) and all(each.verdict == watch.GOOD for each in services)

    def _end_others(self, *wanted):
        """End what an earlier run left, or kept for a rollback."""
        names = [each.name for each in wanted if each]
        for other in self.run.all():
            if other.name not in names:
                self._end(other, wait=False)

    def _end(self, instance, wait):
        """End a start. A server needs its folder as long as it runs."""
        instance.end()
        self.manager.end(instance, instance.processes, wait=wait)
        if not self.manager.is_running(instance):
            instance.remove()

    def _note(self, instance):
        """Note for `explain` what the processes logged last: some managers forget it with the program."""
        logs = []
        for process in instance.processes[:3]:
            text = self.manager.log(instance, process)
            if not text:
                time.sleep(watch.PAUSE)  # the manager has still to read it
                text = self.manager.log(instance, process)
            if text:
                logs.append(f"{process['unit']}:\n{lastlines.shown(text)}\n")
        if logs:
            with open(self.log, "w", encoding="utf-8") as file:
                file.write("".join(logs))

    def explain(self):
        """Print what the processes of the release logged last."""
        new = self.run.newest(self.release_id)
        if new:
            self._note(new)
        try:
            with open(self.log, encoding="utf-8") as file:
                print(file.read(), end="")
        except OSError:
            pass

    def switch(self):
        """Have the release answer: move the fronts, and have its workers run in the place of the old ones."""
        new, old = self.run.newest(self.release_id), self.run.live()
        if self._ran_beside() and not (new and new.is_ready):
            raise watch.EndedError(f"{self.release_id} does not run, so what answers now goes on")
        if not new:
            # The release before did not run from run/.
            self._forget_changeover()
            self.run.front(None)
            self.manager.listen(None, self.run.folder)
            self.manager.restore_own()
            return
        self.manager.enable(new, new.web)
        self.run.front(new)
        if old and old.name != new.name:
            self.manager.disable(old, old.processes)
        self.manager.listen(new, self.run.folder)
        if not old:
            self.manager.end_own_workers()
        for other in self.run.all():
            if other.name != new.name and other.others:
                self.manager.end(other, other.others, wait=True)
                if other.quiet:
                    other.wake()
        self.manager.install(new, new.others)
        self.manager.start(new, new.others)
        self._wake(new)
        self.manager.enable(new, new.processes)

    def check(self, workers, undo, listens, proof):
        """Check that the fronts name the release, that it answers there, and that its other processes have
        run for `workers` seconds."""
        live = self.run.live()
        if undo and not self._ran_beside():
            if not self.manager.has_own():
                raise watch.EndedError("the processes from before `handover: beside` do not run")
            return
        if not live or live.release_id != self.release_id:
            front = f"{self.run.folder}/{instances.FRONT}"
            raise watch.EndedError(f"{front} names {live.name if live else 'nothing'}, not {self.release_id}")
        left = [each.name for each in self.run.all() if each.is_left]
        if left:
            raise watch.EndedError(
                f"left by an interrupted run, which a release or restart ends: {' '.join(left)}"
            )
        if live.quiet:
            units = " ".join(each["unit"] for each in live.quiet)
            raise watch.EndedError(
                f"workers take no more jobs since a run was interrupted: {units};"
                " a release or restart starts new ones"
            )
        proof.check(self.manager, live, live.web, answers=1, front=self.run.folder)
        for problem in filter(None, map(no_front, listens.split())):
            raise watch.EndedError(problem)
        rest = [each for each in live.processes if not each["socket"]]
        if rest:
            look = lambda: self.manager.look(live, rest)  # noqa: E731
            print("\n".join(watch.until_good(look, watch.START_LIMIT, int(workers))))

    def uptime(self):
        """Print how long each process of what answers has been up, and how often its manager started it
        again."""
        live = self.run.live()
        if live:
            watch.print_uptimes(self.manager.look(live, live.processes))

    def finish(self, undo, keep):
        """End what does not answer any more; with `keep`, in seconds, the start before stays for so long."""
        live = self.run.live()
        self._wake(live)  # the switch may not have happened
        others = [each for each in self.run.all() if not live or each.name != live.name]
        before = [each for each in others if each.is_ready and self._runs(each)]
        if before and not undo:
            # The manager knows only the processes of what is live, and would not end others later.
            units = [each["unit"] for each in live.processes] if live else []
            gone = [each for each in before[-1].processes if each["unit"] not in units]
            if gone:
                time.sleep(ACCEPTED)
                self.manager.end(before[-1], gone, wait=False)
            if int(keep) and self.manager.end_later(before[-1]):
                others.remove(before[-1])
            else:
                time.sleep(ACCEPTED)
        for other in others:
            self._end(other, wait=False)
        if live and (undo or not before or os.path.exists(self.changeover)):
            self._end_own(live, undo)

    def _end_own(self, live, undo):
        """End the processes from before the first handover: not at once, but with the next start after it,
        since the web server still connects to their port."""
        marker = self.changeover
        if not self.manager.has_own() and not self.manager.can_restore_own():
            self._forget_changeover()
            return
        try:
            with open(marker) as file:
                since = file.read().strip()
        except OSError:
            since = ""
        if since == live.name or (not since and not undo):
            with open(marker, "w") as file:
                file.write(live.name)
            if self.manager.has_own():
                print(
                    "warning: the processes from before `handover: beside` still run, and answer at their"
                    f" port; have the web server connect to unix:{self.run.folder}/{instances.FRONT} now:"
                    " the next release or restart ends them"
                )
        else:
            self.manager.end_own()
            self._forget_changeover()

    def _forget_changeover(self):
        if os.path.exists(self.changeover):
            os.unlink(self.changeover)

    def clear(self):
        """Undo the first release, or go back to `handover: restart`: nothing answers or runs beside."""
        self._refuse_foreign()
        self._forget_changeover()
        self.run.front(None)
        self.manager.listen(None, self.run.folder)
        for each in self.run.all():
            self.manager.end(each, each.others, wait=True)
            self._end(each, wait=False)

    def logs(self, wanted):
        """Print the `wanted` lines of the logs of what answers."""
        live = self.run.live()
        if live:
            self.manager.logs(live, loglines.Wanted(**json.loads(wanted)))


class Proof:
    """The checks of a start: its processes run for `seconds`, and answer the request, if there is one."""

    def __init__(self, text, release, seconds, within, artifact="", status="", shows=""):
        self.given = json.loads(text or "{}")
        self.release, self.seconds, self.within = release, int(seconds), int(within)
        self.expected = {"artifact": artifact, "status": status, "shows": shows}

    def files(self, release):
        """The texts of a release's files by their names, or those of the input for a release without."""
        folder = f"{release}/{FILES}"
        if not os.path.isdir(folder):
            return self.given["files"]
        texts = {}
        for name in os.listdir(folder):
            with open(f"{folder}/{name}", encoding="utf-8") as file:
                texts[name] = file.read()
        return texts

    def check(self, manager, instance, parts, answers, front=""):
        """Raise watch.EndedError unless the processes pass, at their own sockets or at the fronts."""
        watched = watch.Watch(lambda: manager.look(instance, parts))
        sockets = [f"{front or instance.folder}/{each['socket']}" for each in parts if each["socket"]]
        end = time.monotonic() + self.within
        if self.given.get("request"):
            import healthcheck

            given = self.given["request"]
            checks = [
                healthcheck.Check(
                    f'{given}\nunix-socket = "{path}"', self.release, socket=path, **self.expected
                )
                for path in sockets
            ]
            print(healthcheck.until_good(checks, watched, answers, self.within))
            return
        while True:
            waiting = watched.again() or next(filter(None, map(refuses, sockets)), "")
            if not waiting and watched.age() >= self.seconds:
                print("\n".join(watched.texts))
                return
            if waiting and time.monotonic() > end:
                raise watch.EndedError(f"{waiting}; waited {self.within} s")
            watched.pause()


def refuses(path):
    """Why nothing can connect to a socket; empty if it can."""
    error = no_connection(socket.AF_UNIX, path)
    return error and f"nothing listens at {path}: {error}; does the Procfile use $FAP_BIND?"


def no_front(address):
    """Why nothing can connect to an address and port of this host; empty if it can. What has just begun to
    listen gets a moment."""
    host, _, port = address.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104
    for _ in range(20):
        error = no_connection(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, int(port)))
        if not error:
            return ""
        time.sleep(0.1)
    return f"nothing listens at {address}: {error}"


def no_connection(family, place):
    with socket.socket(family) as connection:
        try:
            connection.settimeout(5)
            connection.connect(place)
        except OSError as error:
            return error.strerror or str(error)
    return ""


def attempt(work):
    """Do it; the exit code is 1 if it can't be done, and the reason is printed."""
    try:
        work()
        return 0
    except watch.EndedError as error:
        print(error)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}" if error.filename else error)
    return 1


def main(load, parts, action, *words):
    """Exit codes: 0; 1 if it can't be done, and the reason is printed."""
    options = dict(word.split("=", 1) for word in words)
    places = {name: options.pop(name) for name in ("run", "state", "group", "release")}
    own = {name: options.pop(name) for name in PARTS[action] if name in options}
    proof = {name: options.pop(name) for name in PROOF if name in options}
    if proof:
        own["proof"] = Proof(parts["input"], places["release"], **proof)
    handover = Handover(load(options.pop("manager")).Manager(**options), **places)
    work = getattr(handover, action)
    if action in ("switch", "clear"):
        sys.exit(detached.by_itself(places["state"], lambda: attempt(lambda: work(**own))))
    sys.exit(attempt(lambda: work(**own)))


PROOF = "seconds", "within", "artifact", "status", "shows"
"""The options of `Proof`."""
PARTS = {
    "ask": ("brings", "listen", "quiet"),
    "start": ("fresh", "undo", "environment"),
    "switch": (),
    "check": ("workers", "undo", "listens"),
    "finish": ("undo", "keep"),
    "clear": (),
    "uptime": (),
    "explain": (),
    "logs": ("wanted",),
}
"""The own options of each action."""
