"""Have systemd or cron run the schedules that a release brings, and no others of the same app.

A release has the folder `.fap/schedules`: `list` (for each a line `NAME MINUTE HOUR DAY MONTH WEEKDAY ZONE
COMMAND`), `run` (runs one), and for its manager either units in `user/` or `system/`, or `crontab`: a block
of lines for this user's crontab. Units and the block begin with the line `mark`, which names the app's
folder, so what belongs to another app, role or person is left alone.

`main` gets an action and its options, each as NAME=VALUE. All have `mark`.
"""

import fcntl
import json
import os
import pwd
import re
import shutil
import subprocess
import sys

import systemd

FOLDER = ".fap/schedules"
ZONES = "/usr/share/zoneinfo"
DAEMONS = "cron", "crond", "fcron"
RefusedError = systemd.RefusedError


class NoCrontabError(RefusedError):
    """This user can have no crontab, and so has none."""


class Timers:
    """The units of schedules in one of the two managers of systemd: this user's, or the system's."""

    def __init__(self, scope, mark):
        self.manager, self.mark = systemd.Manager(scope == "user"), mark

    def installed(self):
        """The names of this app's units there."""
        try:
            names = sorted(os.listdir(self.manager.folder))
        except OSError:
            return []
        units = [name for name in names if name.endswith((".timer", ".service"))]
        return [name for name in units if first_line(self.manager.path(name)) == self.mark]

    def refuse_foreign(self, names):
        """Refuse names of units that someone else has there."""
        for name in names:
            if self.manager.has(name) and first_line(self.manager.path(name)) != self.mark:
                raise RefusedError(
                    f"{self.manager.path(name)} is not from `schedules` of this app and role;"
                    " give the schedule another name in deploy.yml"
                )

    def set(self, files):
        """Make systemd run the timers among `files` (paths by names), and no others of this app."""
        installed = self.installed()
        outdated = [name for name in installed if name not in files]
        if not files and not outdated:
            return
        self.refuse_foreign(files)
        for name, path in files.items():
            self.manager.put(name, path)
        timers = [name for name in outdated if name.endswith(".timer")]
        for name in timers:
            self.manager.change("disable", "--now", name)
        for name in outdated:
            self.manager.remove(name)
        # A timer that waits gets its new time from this, too. A run that goes on is not touched.
        self.manager.change("daemon-reload")
        for name in timers_in(files):
            self.manager.change("enable", "--now", name)

    def problems(self, files):
        """Yield how systemd differs from `files`."""
        for name in self.installed():
            if name not in files:
                yield f"{name} is still there"
        for name, path in files.items():
            if not systemd.is_same(path, self.manager.path(name)):
                yield f"{self.manager.path(name)} is not as the release has it"
        for name in timers_in(files):
            facts = self.manager.facts(name, "ActiveState", "UnitFileState", "NeedDaemonReload")
            if facts.get("ActiveState") != "active" or facts.get("UnitFileState") != "enabled":
                state = f"{facts.get('ActiveState')}, {facts.get('UnitFileState')}"
                yield f"{name} does not wait for its time ({state})"
            elif facts.get("NeedDaemonReload") == "yes":
                yield f"{name} waits for an old time"

    def commands(self, names):
        """The commands that `set` may run as root."""
        for name in sorted({*names, *self.installed()}):
            yield f"tee {self.manager.path(name)}"
            yield f"rm -f {self.manager.path(name)}"
            if name.endswith(".timer"):
                yield f"systemctl enable --now {name}"
                yield f"systemctl disable --now {name}"
        yield "systemctl daemon-reload"


class Crontab:
    """This user's crontab, as the command crontab(1) shows and replaces it."""

    def __init__(self, mark):
        self.begin, self.end = os.fsencode(mark), os.fsencode(mark.replace("# From", "# End of", 1))

    def read(self):
        """Its lines. Raise NoCrontabError if the host has no cron, or does not allow it to this user."""
        if not shutil.which("crontab"):
            raise NoCrontabError("this host has no crontab command: sudo apt-get install cron")
        done = crontab("-l")
        text = done.stderr.decode(errors="replace").strip()
        if done.returncode and not re.search("no crontab for|no such file", text, re.IGNORECASE):
            raise NoCrontabError(f"crontab -l: {text}")
        return done.stdout.splitlines() if not done.returncode else []

    def split(self, lines):
        """The lines before this app's block, in it, and after it. Raise RefusedError if it has no end."""
        if self.begin not in lines:
            return lines, [], []
        begin = lines.index(self.begin)
        if self.end not in lines[begin:]:
            raise RefusedError(
                f"the crontab has the line\n  {self.begin.decode()}\nbut not the line that ends it;"
                f" add it with crontab -e:\n  {self.end.decode()}"
            )
        end = lines.index(self.end, begin) + 1
        return lines[:begin], lines[begin:end], lines[end:]

    def set(self, block):
        """Make `block` this app's lines; the others stay as they are."""
        hold_home()  # another app of this user may do the same now
        lines = self.read()
        before, old, after = self.split(lines)
        if old == block:
            return
        lines = [*before, *block, *after]
        done = crontab("-", input=b"".join(line + b"\n" for line in lines)) if lines else crontab("-r")
        if done.returncode:
            raise RefusedError(f"crontab: {done.stderr.decode(errors='replace').strip()}")

    def problems(self, block):
        """Yield how the crontab differs from `block`."""
        if self.split(self.read())[1] != block:
            yield "the crontab does not have the lines of the release"


def hold_home():
    """Lock the home of this user, or without one `/`, until this program ends."""
    try:
        folder = os.open(pwd.getpwuid(os.geteuid()).pw_dir, os.O_RDONLY)
    except OSError:
        folder = os.open("/", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)


def crontab(*words, **streams):
    environment = dict(os.environ, LC_ALL="C")
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    words = [shutil.which("crontab"), *words]
    return subprocess.run(words, env=environment, **streams)


def timers_in(names):
    return [name for name in names if name.endswith(".timer")]


def first_line(path):
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.readline().rstrip(b"\n"))
    except OSError:
        return ""


def brought(release, scope):
    """The paths of a release's units for one manager, by their names."""
    folder = f"{release}/{FOLDER}/{scope}"
    names = sorted(os.listdir(folder)) if release and os.path.isdir(folder) else []
    return {name: f"{folder}/{name}" for name in names}


def block_of(release):
    """The lines that a release brings for the crontab."""
    try:
        with open(f"{release}/{FOLDER}/crontab", "rb") as file:
            return file.read().splitlines() if release else []
    except OSError:
        return []


def ask(mark, scope, units, events, zone, owner):
    """Check that cron (`crontab`), or systemd (`user` or `system`), can run the schedules.

    `units` are their names, `events` their times for systemd, one a line; they run as `owner` (empty: not
    known).
    """
    if scope == "crontab":
        refuse_zone(zone)
        cron = Crontab(mark)
        cron.split(cron.read())
        if not any(name_of(pid) in DAEMONS for pid in os.listdir("/proc") if pid.isdigit()):
            print("warning: no cron daemon is seen on this host, so nothing may run the schedules")
        return
    if not shutil.which("systemctl"):
        raise RefusedError("this host has no systemctl")
    timers, me = Timers(scope, mark), pwd.getpwuid(os.geteuid()).pw_name
    names = units.split()
    timers.refuse_foreign(names)
    for event in events.splitlines():
        done = systemd.run(
            ["systemd-analyze", "calendar", event], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode:
            raise RefusedError(f"this host's systemd does not know the time {event!r}: {done.stdout.strip()}")
    if scope == "system" and owner not in ("", me):
        raise RefusedError(
            f"the schedules would run as {owner}, but the release belongs to {me};"
            f" in deploy.yml: sudo_user: {me}"
        )
    if scope == "user" and not os.path.exists(f"/var/lib/systemd/linger/{me}"):
        print(
            f"warning: timers of {me} run only while {me} is logged in;"
            f" run this once on the host: sudo loginctl enable-linger {me}"
        )
    if timers.manager.sudo:
        commands, otherwise = list(timers.commands(names)), "set systemd_user: true in deploy.yml"
        systemd.ask_sudo(names[0].rpartition(".")[0], commands, otherwise=otherwise)


def name_of(pid):
    return first_line(f"/proc/{pid}/comm")


def refuse_zone(zone):
    """Refuse another time zone than the host's: cron knows no other."""
    local = content("/etc/localtime")
    if zone_of(zone) == local or (not local and zone in ("UTC", "Etc/UTC")):
        return
    names = os.path.realpath("/etc/localtime").partition("/zoneinfo/")[2], first_line("/etc/timezone"), "UTC"
    own = next((name for name in names if name and (zone_of(name) == local or not local)), "")
    raise RefusedError(
        f"cron knows only the time zone of its host, which is {own or 'another one'}, not {zone};"
        f" in deploy.yml: timezone: {own or 'ZONE'}"
    )


def zone_of(name):
    return content(f"{ZONES}/{name}")


def content(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def apply(mark, release, state):
    """Make the managers run what `release` brings (empty: nothing). It can be repeated, wherever it was
    interrupted."""
    os.makedirs(f"{state}/schedules", exist_ok=True)
    for scope in ("user", "system"):
        Timers(scope, mark).set(brought(release, scope))
    block = block_of(release)
    try:
        Crontab(mark).set(block)
    except NoCrontabError:
        if block:
            raise


def check(mark, release):
    """Check that the managers run what `release` brings, and nothing else of the app."""
    problems = []
    for scope in ("user", "system"):
        problems += Timers(scope, mark).problems(brought(release, scope))
    block = block_of(release)
    try:
        problems += Crontab(mark).problems(block)
    except NoCrontabError:
        if block:
            raise
    if problems:
        raise RefusedError("\n".join(problems))


def runs(mark, release, state):
    """Print a line of JSON for each schedule of a release: its time, and how its last run went."""
    try:
        with open(f"{release}/{FOLDER}/list") as file:
            lines = [line.split(None, 7) for line in file]
    except OSError:
        return
    for name, *fields, zone, _ in lines:
        print(json.dumps({"name": name, "at": " ".join(fields), "timezone": zone, **last_run(state, name)}))


def last_run(state, name):
    """How the last run of a schedule went, from its record `STARTED ENDED CODE RELEASE`; while it runs,
    ENDED and CODE are `-`, and PID START BOOT follow, which identify its process."""
    words = first_line(f"{state}/schedules/{name}.run").split()
    if len(words) < 4:
        return {}
    started, ended, code, release, *holder = words
    run = {"started": started, "release": release}
    if ended != "-":
        return {**run, "ended": ended, "code": int(code) if code.isdigit() else None}
    return {**run, "running": len(holder) == 3 and is_running(*holder)}


def is_running(pid, start, boot):
    import processes

    return processes.start_of(pid) == start and first_line("/proc/sys/kernel/random/boot_id") == boot


def main(load, parts, action, *words):
    """Exit codes: 0; 1 if it can't be done, and the reason is printed."""
    options = dict(word.split("=", 1) for word in words)
    actions = {"ask": ask, "apply": apply, "check": check, "runs": runs}
    sys.exit(systemd.attempt(actions[action], options.pop("mark"), **options))
