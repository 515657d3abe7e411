"""The starts of a release as programs of supervisor: each process of a start has a program and a file of its
own, so that the others are not touched."""

import os
import re

import loglines
import supervisor
import watch

PLACE = "@INSTANCE@"
COPIED = "; Copied by fapkit: it runs until the web server uses the sockets of handover: beside.\n"


class Manager:
    """supervisord, which includes the files in `folder` that end in `suffix`. `program` is the program or
    group that runs the app without a handover, and `link` its file."""

    def __init__(self, folder, suffix, program, link):
        self.folder, self.suffix, self.program, self.link = folder, suffix, program, link
        self.before = f"{link}.before"
        self._programs = {}

    needs = ("/usr/bin/systemd-socket-activate",)

    def ask(self, name, brings, run, quiet):
        """supervisord is asked by its plugin."""

    def has_made(self, instance):
        """Whether a start has files of programs."""
        return all(os.path.exists(instance.file(f"{each['unit']}.conf")) for each in instance.processes)

    def install(self, instance, processes):
        """Put the files of a start in their place."""
        for process in processes:
            text = content(instance.file(f"{process['unit']}.conf")).replace(PLACE, instance.name)
            path = self._path(instance, process)
            if not os.path.exists(path):
                self._write(path, text)
            elif content(path) != text:
                raise watch.EndedError(
                    f"{path} is there already, for another app or stage;"
                    " give this one another name, such as supervisor_program: shop-%(stage)s"
                )

    def start(self, instance, processes):
        for process in processes:
            self._update(name_of(instance, process))

    def restart(self, instance, processes):
        for process in processes:
            supervisor.ask("restart", name_of(instance, process))

    def enable(self, instance, processes):
        """A program starts with supervisord as long as its file is there."""

    disable = enable

    def end(self, instance, processes, wait):
        """Stop processes, and remove their programs."""
        for process in processes:
            if os.path.exists(self._path(instance, process)):
                os.unlink(self._path(instance, process))
        names = known(name_of(instance, each) for each in processes)
        if wait:
            supervisor.ask_all([["update", name] for name in names])
        elif names:
            # It may take long: it goes on in a session of its own.
            supervisor.ask_alone([["update", name] for name in names])

    def end_later(self, instance):
        """supervisord has no timers."""
        return False

    def keep(self, instance):
        pass

    def listen(self, instance, run):
        """Have the TCP fronts of a start listen, and no others to the folder `run`; with None, none."""
        wanted = instance.fronts(".conf") if instance else []
        names = re.findall(
            rf"^({re.escape(self.program)}-front-\d+){re.escape(self.suffix)}$",
            "\n".join(os.listdir(self.folder)),
            re.MULTILINE,
        )
        there = [each for each in names if f" {run}/" in content(f"{self.folder}/{each}{self.suffix}")]
        for name in there:
            if name not in wanted:
                os.unlink(f"{self.folder}/{name}{self.suffix}")
                self._update(name)
        for name in wanted:
            path = f"{self.folder}/{name}{self.suffix}"
            text = content(instance.file(f"{name}.conf"))
            if name in there and content(path) == text:
                continue
            if self.has_own():
                self.stop_own()  # it may have the port
            self._write(path, text)
            self._update(name)

    def _write(self, path, text):
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(f"{path}.new", path)

    def signal(self, instance, process, name):
        supervisor.ask("signal", name, name_of(instance, process))

    def look(self, instance, processes):
        """The services for `watch`."""
        names = " ".join(name_of(instance, each) for each in processes)
        if names not in self._programs:
            self._programs[names] = supervisor.Program(names, instance.release, "")
        return self._programs[names].look()

    def is_running(self, instance):
        return bool(known(name_of(instance, each) for each in instance.processes))

    def log(self, instance, process):
        """What a process logged last."""
        return supervisor.end_of_log(name_of(instance, process), "stdout")

    def logs(self, instance, wanted):
        """Print the wanted lines of the logs."""
        names = [name_of(instance, each) for each in instance.processes]
        loglines.show_all(loglines.of_supervisor(names), wanted)

    def has_own(self):
        """Whether a program runs the app that no handover started."""
        return bool(self._own())

    def _own(self):
        """The names of its processes."""
        names = everything()
        return [name for name in names if name == self.program or name.startswith(f"{self.program}:")]

    def _own_workers(self):
        return [each for each in self._own() if ":" in each and f":{self.program}-web-" not in each]

    def end_own_workers(self):
        """Stop the workers from before the first handover; new ones run in their place."""
        supervisor.ask_all([["stop", name] for name in self._own_workers()])

    def stop_own(self):
        """Stop all that ran before the first handover; its file stays, where supervisord does not read it."""
        supervisor.ask("stop", f"{self.program}:*")
        if self._is_copied():
            os.replace(self.link, self.before)
        self._update(self.program)

    def can_restore_own(self):
        """Whether its file is left."""
        return os.path.exists(self.before)

    def restore_own(self):
        """Start it again."""
        if self.can_restore_own():
            os.replace(self.before, self.link)
            self._update(self.program)
        supervisor.ask_all([["start", name] for name in self._own_workers()])

    def keep_own(self):
        """Have its file stay when `current` moves: a link through `current` would lead nowhere then."""
        if self.can_restore_own() and os.path.lexists(self.link):
            os.unlink(self.before)  # an earlier handover left it
        if os.path.islink(self.link) and os.path.isfile(self.link):
            self._write(self.link, COPIED + content(self.link))

    def end_own(self):
        """End all that ran before the first handover."""
        if os.path.islink(self.link) or self._is_copied():
            os.unlink(self.link)
        if self.can_restore_own():
            os.unlink(self.before)
        supervisor.ask("stop", f"{self.program}:*")
        self._update(self.program)

    def _is_copied(self):
        return os.path.isfile(self.link) and content(self.link).startswith(COPIED)

    def _path(self, instance, process):
        return f"{self.folder}/{name_of(instance, process)}{self.suffix}"

    def _update(self, name):
        said = supervisor.ask("update", name)
        if re.search(r"\berror\b", said.replace(name, ""), re.IGNORECASE):
            raise watch.EndedError(said)


def content(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def name_of(instance, process):
    return f"{process['unit']}-{instance.name}"


def everything():
    """The names of all processes that supervisord knows."""
    return [line.split()[0] for line in supervisor.ask("status").splitlines() if line.strip()]


def known(names):
    """Those of the names that supervisord knows."""
    there = set(everything())
    return [name for name in names if name in there]
