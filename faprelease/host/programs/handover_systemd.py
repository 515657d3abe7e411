"""The starts of a release as units of systemd: each process has a template, and its instance is the start."""

import os
import re

import loglines
import systemd

RUNS = "active", "activating", "deactivating", "reloading"


class Manager:
    """The systemd of this user, or the system's. `stem` begins the names of all units, and `unit` is the one
    that runs the app without a handover."""

    def __init__(self, user, stem, unit):
        self.systemd, self.stem, self.unit = systemd.Manager(user), stem, unit
        self.target = f"{stem}.target"

    needs = ()

    def ask(self, name, brings, run, quiet):
        """Check that no file of `brings` belongs to another folder than `run`, and that sudo allows all
        commands for them and for a start of this name."""
        for file in brings:
            if file.endswith("-1@.service") and self.systemd.has(file) and not self._is_for(run, file):
                raise systemd.RefusedError(
                    f"{self.systemd.path(file)} is there already, for another app or stage;"
                    " give this one another name, such as systemd_unit: shop-%(stage)s.service"
                )
        if self.systemd.sudo:
            commands = [*self._commands(name, brings), *self._own_commands()]
            for unit, _, signal in (word.partition(":") for word in quiet):
                commands.append(f"systemctl kill --kill-who=main -s {signal} {unit}@{name}.service")
            systemd.ask_sudo(self.unit, commands, name)

    def has_made(self, instance):
        """Whether a start has unit files."""
        return all(os.path.exists(instance.file(f"{each['unit']}@.service")) for each in instance.processes)

    def _is_for(self, run, file):
        """Whether a unit file leads to the folder `run`."""
        try:
            with open(self.systemd.path(file), encoding="utf-8") as text:
                return re.search(f"[= ]{re.escape(run)}/", text.read()) is not None
        except OSError:
            return False

    def _commands(self, name, brings):
        for file in brings:
            yield f"tee {self.systemd.path(file)}"
            yield f"rm -f {self.systemd.path(file)}"
            stem, at, suffix = file.rpartition("@")
            unit = f"{stem}@{name}{suffix}" if at else file
            if suffix == ".timer":
                verbs = "start", "stop"
            elif file.endswith(".socket"):
                verbs = "enable --now -q", "disable --now -q", "stop"
            else:
                verbs = (
                    "start",
                    "restart",
                    "enable -q --no-reload",
                    "disable -q --no-reload",
                    "stop",
                    "stop --no-block",
                )
            for verb in verbs:
                yield f"systemctl {verb} {unit}"
        yield "systemctl daemon-reload"

    def _own_commands(self):
        """The commands for what runs from before the first handover."""
        for unit in self._own():
            for verb in "disable --now", "enable", "start":
                yield f"systemctl {verb} {unit}"
        for unit in self._own_workers():
            for verb in "stop", "start":
                yield f"systemctl {verb} {unit}"
        for unit in self._own_files():
            yield f"rm -f {self.systemd.path(unit)}"

    def install(self, instance, processes):
        """Put the unit files of a start in their place."""
        names = [f"{each['unit']}@.service" for each in processes]
        ends = [f"{self.stem}-end@.timer", f"{self.stem}-end@.service"]
        names += [name for name in ends if os.path.exists(instance.file(name))]
        changed = [n for n in names if not systemd.is_same(instance.file(n), self.systemd.path(n))]
        for name in changed:
            self.systemd.put(name, instance.file(name))
        if changed:
            self.systemd.change("daemon-reload")

    def start(self, instance, processes):
        self._each("start", units_of(instance, processes))

    def restart(self, instance, processes):
        self._each("restart", units_of(instance, processes))

    def enable(self, instance, processes):
        self._each("enable", units_of(instance, processes), "-q", "--no-reload")

    def disable(self, instance, processes):
        self._each("disable", self._known(instance, processes), "-q", "--no-reload")

    def end(self, instance, processes, wait):
        """Disable and stop processes."""
        self.keep(instance)
        units = self._known(instance, processes)
        self._each("disable", units, "-q", "--no-reload")
        self._each("stop", units, *([] if wait else ["--no-block"]))

    def end_later(self, instance):
        """Stop them after the seconds that their timer says; whether there is a timer."""
        if not os.path.exists(instance.file(f"{self.stem}-end@.timer")):
            return False
        self.systemd.change("start", f"{self.stem}-end@{instance.name}.timer")
        return True

    def keep(self, instance):
        """Do not stop them later."""
        timer = f"{self.stem}-end@{instance.name}.timer"
        if self.systemd.facts(timer, "ActiveState").get("ActiveState") in RUNS:
            self.systemd.change("stop", timer)

    def keep_own(self):
        """Its unit files stay."""

    def listen(self, instance, run):
        """Have the TCP fronts of a start listen, and no others to the folder `run`; with None, none."""
        wanted = instance.fronts(".socket") if instance else []
        there = [
            name[: -len(".socket")]
            for name in (os.listdir(self.systemd.folder) if os.path.isdir(self.systemd.folder) else ())
            if name.startswith(f"{self.stem}-front-")
            and name.endswith(".socket")
            and self._is_for(run, f"{name[: -len('.socket')]}.service")
        ]
        for name in there:
            if name not in wanted:
                self._each("disable", [f"{name}.socket"], "--now", "-q")
                self._each("stop", [f"{name}.service"])
                for suffix in ".socket", ".service":
                    self.systemd.remove(f"{name}{suffix}")
        changed = False
        for name in wanted:
            for file in f"{name}.socket", f"{name}.service":
                if not systemd.is_same(instance.file(file), self.systemd.path(file)):
                    self.systemd.put(file, instance.file(file))
                    changed = True
        if changed:
            self.systemd.change("daemon-reload")
        for name in wanted:
            if changed or not self._is_active(f"{name}.socket"):
                self.stop_own()  # it may have the port
                self._each("stop", [f"{name}.service", f"{name}.socket"])
                self._each("enable", [f"{name}.socket"], "--now", "-q")

    def signal(self, instance, process, name):
        units = units_of(instance, [process])
        # systemctl fails for one that has ended.
        self._each("kill", [unit for unit in units if self._is_active(unit)], "--kill-who=main", "-s", name)

    def look(self, instance, processes):
        """The services for `watch`."""
        units = units_of(instance, processes)
        return [systemd.inspect(self.systemd, unit, instance.release, False) for unit in units]

    def is_running(self, instance):
        units = self._known(instance, instance.processes)
        return any(self.systemd.facts(unit, "ActiveState").get("ActiveState") in RUNS for unit in units)

    def log(self, instance, process):
        """What a process logged last."""
        return systemd.text_of_log(self.systemd, *units_of(instance, [process]))

    def logs(self, instance, wanted):
        """Print the wanted lines of the logs."""
        words = ["journalctl", *self.systemd.scope, "--no-pager", "-q"]
        for unit in units_of(instance, instance.processes):
            words += ["-u", unit]
        loglines.show_journal(words, wanted)

    def has_own(self):
        """Whether units run the app that no handover started."""
        return any(self._is_active(unit) for unit in (self.target, self.unit))

    def _is_active(self, unit):
        return self.systemd.facts(unit, "ActiveState").get("ActiveState") == "active"

    def _own_workers(self):
        if not self.systemd.has(self.target):
            return []
        units = systemd.wanted_by(self.systemd.path(self.target))
        return [unit for unit in units if not unit.startswith(f"{self.stem}-web@")]

    def end_own_workers(self):
        """Stop the workers from before the first handover; new ones run in their place."""
        self._each("stop", [unit for unit in self._own_workers() if self._is_active(unit)])

    def _own(self):
        return [unit for unit in (self.target, self.unit) if self.systemd.has(unit)]

    def _own_files(self):
        """The units from before the first handover that we made."""
        if not self.systemd.has(self.target):
            return []
        units = systemd.wanted_by(self.systemd.path(self.target))
        return [self.target, *sorted({f"{unit.partition('@')[0]}@.service" for unit in units})]

    def stop_own(self):
        """Stop all that ran before the first handover; its unit files stay."""
        for unit in self._own():
            self.systemd.change("disable", "--now", unit)

    def can_restore_own(self):
        """Whether unit files that we made are left of it."""
        return self.systemd.has(self.target)

    def restore_own(self):
        """Start it again."""
        for unit in self._own()[:1]:
            self.systemd.change("enable", unit)
            self.systemd.change("start", unit)
        self._each("start", self._own_workers())

    def end_own(self):
        """End all that ran before the first handover, and remove its unit files if they are ours."""
        self.stop_own()
        names = self._own_files()
        for name in names:
            self.systemd.remove(name)
        if names:
            self.systemd.change("daemon-reload")

    def _known(self, instance, processes):
        """The units whose template exists: systemctl fails for others."""
        known = [each for each in processes if self.systemd.has(f"{each['unit']}@.service")]
        return units_of(instance, known)

    def _each(self, verb, units, *options):
        """Run systemctl for these units. A rule of sudo names each command: there each unit has its own."""
        groups = [[unit] for unit in units] if self.systemd.sudo else [units] if units else []
        for group in groups:
            self.systemd.change(verb, *options, *group)


def units_of(instance, processes):
    return [f"{each['unit']}@{instance.name}.service" for each in processes]
