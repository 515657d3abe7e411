"""Have systemd run what a release brings, and check that it does.

`main` gets an action and its options, each as NAME=VALUE. All actions have the options `unit`, `conf` (its
file in a release; empty: the unit is not ours to write) and `user` (yes: the manager of this user, else the
system's, by sudo).
"""

import os
import pwd
import re
import shutil
import subprocess
import sys
import time

import detached
import lastlines
import processes
import watch

SHOWN = (
    "ActiveState",
    "SubState",
    "Job",
    "MainPID",
    "NRestarts",
    "ControlGroup",
    "Result",
    "ExecMainStatus",
)
"""The properties of a service by which it is judged (org.freedesktop.systemd1(5))."""


class RefusedError(watch.EndedError):
    """The reason why it can't be done; empty if a command has already printed it."""


class Manager:
    """The systemd of this user, or the system's; its units are in `folder`."""

    def __init__(self, user):
        self.scope, self.folder, self.sudo = [], "/etc/systemd/system", []
        if user:
            runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
            os.environ["XDG_RUNTIME_DIR"] = runtime
            home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
            self.scope, self.folder = ["--user"], f"{home}/systemd/user"
        elif os.geteuid():
            self.sudo = ["sudo", "-n"]

    def path(self, unit):
        return f"{self.folder}/{unit}"

    def has(self, unit):
        return os.path.isfile(self.path(unit))

    def ask(self, *words, **streams):
        """Run systemctl, and capture what it prints."""
        return run(["systemctl", *self.scope, "--no-pager", *words], stdout=subprocess.PIPE, **streams)

    def facts(self, unit, *names):
        """Some of a unit's properties, by name (org.freedesktop.systemd1(5))."""
        lines = self.ask("show", "-p", ",".join(names), unit).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def change(self, *words):
        self._as_owner(["systemctl", *self.scope, *words])

    def put(self, unit, source):
        """Make the unit's file a copy of `source`."""
        if is_same(source, self.path(unit)):
            return
        if self.scope:
            os.makedirs(self.folder, exist_ok=True)
            copy(source, self.path(unit))
        else:
            with open(source, "rb") as file:
                self._as_owner(["tee", self.path(unit)], stdin=file, stdout=subprocess.DEVNULL)

    def remove(self, unit):
        self._as_owner(["rm", "-f", self.path(unit)])

    def _as_owner(self, words, **streams):
        if run([*self.sudo, *words], **streams).returncode:
            raise RefusedError


class Units:
    """What a release brings: `files` by the names of the units, `entry`, the unit that starts all, and the
    `services` that run then. A release that brings no files is another tool's, which has the unit too."""

    def __init__(self, release, unit, conf):
        self.files, self.entry, self.services = {}, "", [unit]
        folder = f"{release}/.fap/systemd"
        if not conf:
            self.entry = unit
        elif release and os.path.isdir(folder):
            # They were made of `processes`, whatever deploy.yml says by now.
            self.files = {name: f"{folder}/{name}" for name in sorted(os.listdir(folder))}
            refuse_foreign(self.files, folder)
            self.entry = next((name for name in self.files if name.endswith(".target")), "")
            self.services = wanted_by(self.files.get(self.entry, os.devnull))
        elif release and os.path.isfile(f"{release}/{conf}"):
            self.files, self.entry = {unit: f"{release}/{conf}"}, unit


def refuse_foreign(names, folder, stem=""):
    """Refuse units of anything but one app: STEM.target, and STEM-PROCESS@.service for its processes. `stem`
    is the app's own (empty: that of the target)."""
    targets = [name for name in names if name.endswith(".target")]
    stem = stem or (targets[0][: -len(".target")] if targets else "")
    for name in names:
        is_process = name.startswith(f"{stem}-") and name.endswith("@.service")
        if (name != f"{stem}.target" and not is_process) or not stem or os.path.islink(f"{folder}/{name}"):
            raise RefusedError(
                f"{folder} has the unit {name}, which does not belong to this app;"
                f" its own are {stem or 'NAME'}.target and {stem or 'NAME'}-PROCESS@.service"
            )


def own(manager, unit, conf, release):
    """Check that an artifact brought no unit but the app's own, before anything is made of `processes`."""
    folder = f"{release}/.fap/systemd"
    if os.path.islink(folder) or os.path.isdir(folder):
        refuse_foreign(os.listdir(folder), folder, unit.rpartition(".")[0])


def wanted_by(target):
    """The units that the file of a target names."""
    with open(target) as file:
        lines = [line[len("Wants=") :] for line in file if line.startswith("Wants=")]
    return " ".join(lines).split()


def run(words, **streams):
    sys.stdout.flush()
    return subprocess.run(words, encoding="utf-8", errors="replace", **streams)


def is_same(one, other):
    try:
        with open(one, "rb") as a, open(other, "rb") as b:
            return a.read() == b.read()
    except OSError:
        return False


def copy(source, target):
    """Copy a file; `target` is always complete."""
    remove(f"{target}.new")
    shutil.copyfile(source, f"{target}.new")
    os.replace(f"{target}.new", target)


def remove(path):
    if os.path.lexists(path):
        os.unlink(path)


def ask(manager, unit, conf, verb, release, before, brings, owner, path):
    """Check that this user may do everything that the release needs, before anything changes, and that no
    unit belongs to another deployment than that of the folder `path`.

    `before` is the release that runs (may be empty). `release` may have nothing in it yet: it will bring the
    units `brings`, and their processes run as `owner` (empty: not known). An empty `verb` means that another
    program changes the units.
    """
    me = pwd.getpwuid(os.geteuid()).pw_name
    if not shutil.which("systemctl"):
        raise RefusedError("this host has no systemctl")
    for name in brings.split() if conf else ():
        refuse_neighbour(manager.path(name), path)
    if manager.scope:
        answer = manager.ask("show-environment", stderr=subprocess.STDOUT)
        if answer.returncode:
            raise RefusedError(
                f"{me} has no systemd user manager: {answer.stdout.strip()}\n"
                f"run this once on the host: sudo loginctl enable-linger {me}"
            )
    elif owner not in ("", me):
        raise RefusedError(
            f"the units would run as {owner}, but the release belongs to {me}; in deploy.yml: sudo_user: {me}"
        )
    elif manager.sudo and verb:
        commands = [f"systemctl {each} {unit}" for each in verbs_of(verb)]
        if conf:
            brought = list(Units(release, unit, conf).files) or brings.split()
            commands = list(commands_of(manager, unit, verb, Units(before, unit, conf), brought))
        ask_sudo(unit, commands)


def refuse_neighbour(file, path):
    """Refuse a unit's file that runs the release of another deployment: one whose folder has our records."""
    text = os.fsdecode(processes.content_of(file))
    found = re.findall(r"(?<![^\s=\"':-])(/[^\s\"';:]*?)/(?:current|releases|run)(?=[/\s\"';:]|$)", text)
    others = [folder for folder in dict.fromkeys(found) if os.path.exists(f"{folder}/.fap")]
    if others and not any(os.path.samefile(folder, path) for folder in others if os.path.exists(path)):
        raise RefusedError(
            f"{file} belongs to another deployment: it runs what is in {others[0]}\n"
            "give this stage and role names of their own in deploy.yml:"
            ' systemd_unit: "%(app_name)s_%(stage)s_%(role)s.service"\n'
            f"if this deployment takes the place of that one: rm {file}"
        )


ADMINISTRATOR = 'set systemd_conf: "" in deploy.yml, and write the unit as an administrator'


def ask_sudo(unit, commands, start="", otherwise=ADMINISTRATOR):
    """Raise RefusedError unless sudo allows these commands. In the rule, other releases take the place of
    `start`, the name of one. `otherwise` says how to do without the rule."""
    me = pwd.getpwuid(os.geteuid()).pw_name
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if any(run(["sudo", "-n", "-l", *command.split()], **quiet).returncode for command in commands):
        paths = [f"{shutil.which(command.split()[0])} {command.split(' ', 1)[1]}" for command in commands]
        if start:
            paths = [rule for path in paths for rule in rules_of(path, start)]
        warning = ""
        if any(command.startswith("tee ") for command in commands):
            warning = (
                f"\nwith this, {me} is as powerful as root, and so are the people who decide what an artifact"
                f" contains: a unit can run anything; otherwise {otherwise}"
            )
        raise RefusedError(
            f"{me} may not run all of these commands by sudo; allow them once on the host,"
            f" with visudo -f /etc/sudoers.d/fapkit-{unit}:\n  {me} ALL=(root) NOPASSWD: {', '.join(paths)}"
            + warning
        )


def rules_of(path, start):
    """A command for every release, whose starts are counted with one or two digits."""
    pattern = re.sub(r"\d", "[0-9]", start)
    yield path.replace(start, pattern)
    if start in path:
        yield path.replace(start, f"{pattern}[0-9]")


def verbs_of(verb):
    """The words of systemctl that may take the place of `verb`: not every reload is possible."""
    return (verb,) if verb == "restart" else (verb, "restart")


def commands_of(manager, unit, verb, old, brought):
    """The commands that `restart` may run as root, in this release and in its rollback."""
    units, entries = list(old.files), [old.entry] if old.files else []
    if not units and manager.has(unit):
        # The first release replaces the unit that is there.
        units, entries = [unit], [unit]
    units += [name for name in brought if name not in units]
    entries += [name for name in brought if name not in entries and not name.endswith("@.service")]
    for name in units:
        yield f"tee {manager.path(name)}"
        yield f"rm -f {manager.path(name)}"
    yield "systemctl daemon-reload"
    for name in entries:
        yield f"systemctl enable {name}"
        for each in ("stop", "start") if name.endswith(".target") else verbs_of(verb):
            yield f"systemctl {each} {name}"
        yield f"systemctl disable --now {name}"


def restart_by_itself(manager, state, **options):
    """Restart, also if this program is stopped meanwhile."""
    return detached.by_itself(state, lambda: attempt(restart, manager, state=state, **options))


def restart(manager, unit, conf, verb, release, before, state, environment):
    """Make systemd run what `release` brings (empty: nothing) in place of what `before` brought (may
    be empty). It can be repeated, wherever it was interrupted.

    Units that were there before the first release are kept in `state`, and restored when that is undone.
    `environment` is the name of the environment file in a release.
    """
    if not conf:
        restart_one(manager, unit, possible(manager, unit, verb, environment, before, release), state)
        return
    new, old = Units(release, unit, conf), Units(before, unit, conf)
    files, entry = new.files, new.entry
    old_names, old_entry = list(old.files), old.entry
    if not files:
        files = kept_in(state, [*old_names, unit])
        entry = ([""] + [name for name in files if name in (unit, old_entry)])[-1]
        if not files:
            print(f"there was no {old_entry or unit} before the release: stopping and removing it")
    elif not old_names:
        keep(manager, files, unit, state)
        if manager.has(unit):
            old_names, old_entry = [unit], unit
    for name, file in files.items():
        manager.put(name, file)
    manager.change("daemon-reload")
    if entry:
        manager.change("enable", entry)
    # The units stop while their files are there, which say what belongs together.
    if old_entry not in ("", entry) and manager.has(old_entry):
        manager.change("disable", "--now", old_entry)
    if entry and not entry.endswith(".target"):
        verb = possible(manager, entry, verb, environment, before, release)
    start(manager, entry, verb, state, [name for name in old_names if name not in files])


def kept_in(state, names):
    files = {name: f"{state}/{name}" for name in names}
    return {name: file for name, file in files.items() if os.path.isfile(file)}


def keep(manager, files, unit, state):
    """Keep in `state` the units that the first release replaces: its `files`, and the `unit`."""
    for name in {**files, unit: ""}:
        if not manager.has(name):
            remove(f"{state}/{name}")
        elif not is_same(files.get(name, ""), manager.path(name)):
            copy(manager.path(name), f"{state}/{name}")


def start(manager, entry, verb, state, outdated):
    """Restart `entry` (empty: nothing), and remove the files of the `outdated` units."""
    began = time.monotonic()
    if entry.endswith(".target"):
        manager.change("stop", entry)
    stopped = time.monotonic()
    outdated = [name for name in outdated if manager.has(name)]
    for name in outdated:
        manager.remove(name)
    if entry.endswith(".target"):
        manager.change("start", entry)
        note_times(state, stopped - began, time.monotonic() - stopped)
    elif entry:
        restart_one(manager, entry, verb, state)
    if outdated:
        manager.change("daemon-reload")


def possible(manager, unit, verb, environment, before, release):
    """The `verb`, or `restart` where a reload would leave the unit as it was; then the reason is printed."""
    facts = manager.facts(unit, "MainPID", "FragmentPath", "ExecMainStartTimestampMonotonic")
    main = facts.get("MainPID") or "0"
    if verb == "restart" or main == "0" or not release:
        return "restart"
    # The file may have been copied by a run that did not come to the restart.
    started = time.time() - time.monotonic() + int(facts["ExecMainStartTimestampMonotonic"]) / 1e6
    if os.stat(facts["FragmentPath"]).st_mtime > started:
        problem = "its unit file changed"
    else:
        problem = processes.reload_problem([main], "", environment, before, release)
    if not problem:
        return verb
    print(f"warning: {unit} is restarted, not reloaded: {problem}")
    return "restart"


def restart_one(manager, unit, verb, state):
    began = time.monotonic()
    manager.change(verb, unit)
    if verb == "restart":
        took = time.monotonic() - began
        names = ("ActiveExitTimestampMonotonic", "InactiveEnterTimestampMonotonic")  # in microseconds
        facts = manager.facts(unit, *names)
        left, stopped = (int(facts.get(name) or 0) / 1e6 for name in names)
        # A unit that did not run was not stopped.
        if 0 <= stopped - left <= took:
            note_times(state, stopped - left, took - (stopped - left))


def note_times(state, stop, start):
    """Record for `faprelease doctor` how long a stop and a start took, in hundredths of a second."""
    with open(f"{state}/restarted", "w") as file:
        file.write(f"{int(stop * 100)} {int(start * 100)}\n")


def check(manager, unit, conf, release, seconds, reload, of_user, watched):
    """Check that all services are active and run from the release, for `watched` seconds. They may take
    `seconds` to start. `reload`: the main process may be the old one, if another one is new. `of_user`: they
    must run as this user, which an administrator's unit need not."""
    look = look_at(manager, unit, conf, release, reload, of_user)
    try:
        print("\n".join(watch.until_good(look, int(seconds), int(watched))))
    except watch.EndedError as error:
        raise RefusedError(error) from None


def uptime(manager, unit, conf, release):
    """Print how long each service has been up, and how often systemd started it again."""
    watch.print_uptimes(look_at(manager, unit, conf, release, "")())


def looker(user, **options):
    """What `watch` looks with, for other programs."""
    try:
        return look_at(Manager(user), **options)
    except RefusedError as error:
        raise watch.EndedError(error) from None


def look_at(manager, unit, conf, release, reload, of_user=""):
    """What `watch` looks with, again and again."""
    folder = os.path.realpath(release)
    services = Units(release, unit, conf).services
    return lambda: [inspect(manager, service, folder, reload, of_user=bool(of_user)) for service in services]


def inspect(manager, unit, folder, reload, of_user=False):
    """The look of `watch` at a service."""
    facts = manager.facts(unit, *SHOWN)
    state, sub, main = facts.get("ActiveState", ""), facts.get("SubState", ""), facts.get("MainPID") or "0"
    if state != "active":
        waits = state in ("activating", "reloading") or facts.get("Job", "").strip("0")
        text = f"{unit} is {state} ({sub})"
        if sub == "auto-restart" or state == "failed":
            text += f", since it ended ({facts.get('Result', '')}, status={facts.get('ExecMainStatus', '')})"
        verdict = watch.WAIT if waits and sub != "auto-restart" else watch.FAILED
        return watch.Service(unit, verdict, text)
    if main == "0":
        return watch.Service(unit, watch.FAILED, f"{unit} has no main process")
    more = processes_of(facts.get("ControlGroup", "")) if reload else ()
    return watch.service(
        unit, folder, main, facts.get("NRestarts", ""), reload=reload, more=more, of_user=of_user
    )


def processes_of(group):
    """The ids of all processes in a control group, in either hierarchy (cgroups(7))."""
    for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd"):
        try:
            with open(f"{root}{group}/cgroup.procs") as file:
                yield from file.read().split()
        except OSError:
            pass


def log(manager, unit, conf, release, ports):
    """Print what a release's services logged last, or at least how they ended; and who has `ports` if they
    are in use."""
    said = []
    for service in Units(release, unit, conf).services[:3]:
        said.append(lastlines.shown(text_of_log(manager, service)))
        print(f"{service}:\n{said[-1]}")
    for holder in processes.holders("\n".join(said), map(int, ports.split()), release):
        print(holder)


def text_of_log(manager, service):
    """What a service logged last, or at least how it ended."""
    text = ""
    if shutil.which("journalctl"):
        words = ["journalctl", *manager.scope, "--no-pager", "-q", "-n", "200", "-o", "cat"]
        text = run([*words, "-u", service], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return text or manager.ask("status", "-n", "20", service, stderr=subprocess.STDOUT).stdout


def attempt(action, manager, **options):
    """Do it; the exit code is 1 if it can't be done, and the reason is printed."""
    try:
        return action(manager, **options) or 0
    except RefusedError as error:
        print(error, end="\n" if str(error) else "")
    except OSError as error:
        print(f"{error.filename}: {error.strerror}")
    return 1


def main(load, parts, action, *words):
    """Exit codes: 0; 1 if it can't be done, and the reason is printed."""
    options = dict(word.split("=", 1) for word in words)
    manager = Manager(options.pop("user"))
    actions = {
        "ask": ask,
        "own": own,
        "restart": restart_by_itself,
        "check": check,
        "uptime": uptime,
        "log": log,
    }
    sys.exit(attempt(actions[action], manager, **options))
