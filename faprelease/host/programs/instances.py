"""The starts of releases on this host. Each has a folder in run/, named `<release>-<number>`:

    release          a link to the release's folder
    start            what the process manager starts: a process of the release, at its socket
    processes.json   its processes, and beside that the files of the process manager
    web.sock         where its first web process listens; web-2.sock, ...
    proven           it passed its checks
    ended            its processes were told to stop
    quiet            its workers were told to take no more jobs

Links beside these folders, `run/web.sock`, ..., are the sockets that the web server connects to.
"""

import fcntl
import grp
import json
import os
import pwd
import re
import shlex
import shutil

FRONT = "web.sock"
NAME = re.compile(r"(\d{6,8}-?\d{6})-(\d{1,4})")
SOCKET_MODES = 0o660, 0o666
FOLDER_MODES = 0o2750, 0o755
"""With a group, and without one."""
START = """\
# Started by the process manager: start NAME SOCKET|PORT runs a process of the release.
folder={run}/{name}
cd "$folder/release" || exit 1
case $2 in
  *.sock)
    export FAP_BIND="unix:$folder/$2" PORT="$folder/$2"
    rm -f "$PORT"
    # Servers make their sockets with different modes; gunicorn changes the group once the socket is there.
    ( (for _ in $(seq 1200); do
      sleep 0.1
      [ ! -S "$PORT" ] || {{ sleep 0.1; {own}chmod {mode} "$PORT"; exit; }}
    done) & )
    ;;
  *) export PORT="$2" ;;
esac
{environment}exec /bin/sh .fap/run "$1"
"""
ENVIRONMENT = "[ ! -f {0} ] || {{ set -a; . {0}; set +a; }}\n"


class Instance:
    """One start of a release."""

    def __init__(self, run, name):
        self.name, self.folder = name, f"{run}/{name}"
        self.release_id, self.number = NAME.fullmatch(name).groups()

    @property
    def release(self):
        """The folder of its release, a real path."""
        return os.path.realpath(f"{self.folder}/release")

    @property
    def processes(self):
        """Its processes, as they were when it started; none if it was not made whole."""
        try:
            with open(f"{self.folder}/processes.json", encoding="utf-8") as file:
                return json.load(file)
        except (OSError, ValueError):  # it may have been cut off
            return []

    @property
    def web(self):
        return [each for each in self.processes if each["socket"]]

    @property
    def others(self):
        """The processes that must not run at the same time as those of another release."""
        return [each for each in self.processes if not each["overlap"]]

    @property
    def beside(self):
        """The processes that may."""
        return [each for each in self.processes if each["overlap"]]

    def fronts(self, suffix):
        """The names of the files of TCP fronts, without their suffix."""
        found = [each for each in os.listdir(self.folder) if re.search(r"-front-\d+\.", each)]
        return sorted(each[: -len(suffix)] for each in found if each.endswith(suffix))

    @property
    def is_proven(self):
        return os.path.exists(f"{self.folder}/proven")

    @property
    def is_left(self):
        """Whether a run was interrupted before it had checked it; not while one is at it."""
        if self.is_proven or self.is_ended:
            return False
        try:
            os.close(self.hold())
        except OSError:
            return False
        return True

    def hold(self):
        """Take its lock, until this program ends or closes the returned file; raises OSError if another
        program has it."""
        file = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise
        return file

    @property
    def is_ended(self):
        return os.path.exists(f"{self.folder}/ended")

    @property
    def is_ready(self):
        """Whether it passed its checks, and was not told to stop."""
        return self.is_proven and not self.is_ended

    @property
    def quiet(self):
        """Its workers that were told to take no more jobs."""
        is_quiet = os.path.exists(f"{self.folder}/quiet")
        return [each for each in self.others if each["quiet"]] if is_quiet else []

    def prove(self):
        self._mark("proven")

    def silence(self):
        self._mark("quiet")

    def wake(self):
        os.unlink(f"{self.folder}/quiet")

    def end(self):
        try:
            self._mark("ended")
        except OSError:
            pass  # the disk may be full, which must not keep it alive

    def _mark(self, word):
        with open(f"{self.folder}/{word}", "w"):
            pass

    def file(self, name):
        return f"{self.folder}/{name}"

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Run:
    """The folder run/. `group` may connect to the sockets; if that is empty, everyone may."""

    def __init__(self, folder, group=""):
        self.folder, self.group = folder, group

    def all(self):
        """Every start, the newest last."""
        try:
            names = filter(NAME.fullmatch, os.listdir(self.folder))
        except OSError:
            names = []
        starts = [Instance(self.folder, name) for name in names]
        return sorted(starts, key=lambda each: (each.release_id, int(each.number)))

    def live(self):
        """The start that the first front names; None without one."""
        try:
            name = os.path.dirname(os.readlink(f"{self.folder}/{FRONT}"))
        except OSError:
            return None
        return next((each for each in self.all() if each.name == name), None)

    def newest(self, release_id):
        """The last start of a release; None if it has none here."""
        return next((each for each in reversed(self.all()) if each.release_id == release_id), None)

    def make(self, release, files, environment):
        """Make a new start of a release, from the texts of its files by their names. `environment` is the
        name of the environment file in a release."""
        os.makedirs(self.folder, exist_ok=True)
        self._share(self.folder, *FOLDER_MODES)
        release_id = os.path.basename(release)
        newest = self.newest(release_id)
        name = f"{release_id}-{int(newest.number) + 1 if newest else 1}"
        instance = Instance(self.folder, name)
        os.mkdir(instance.folder)
        try:
            self._fill(instance, release, files, environment)
        except OSError:
            instance.remove()
            raise
        return instance

    def _fill(self, instance, release, files, environment):
        self._share(instance.folder, *FOLDER_MODES)
        os.symlink(os.path.realpath(release), instance.file("release"))
        text = START.format(
            run=self.folder,
            name=instance.name,
            own=f"chgrp '{self.group}' \"$PORT\" && " if self.group else "",
            mode=f"{SOCKET_MODES[not self.group]:o}",
            environment="" if environment == ".env" else ENVIRONMENT.format(shlex.quote(f"./{environment}")),
        )
        for name, content in {**files, "start": text}.items():
            with open(instance.file(os.path.basename(name)), "w", encoding="utf-8") as file:
                file.write(content)

    def nearest(self):
        """The folder, or the nearest one above it that exists."""
        folder = self.folder
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        return folder

    def group_problem(self):
        """Why the sockets can't be given to the group; empty if they can."""
        try:
            number = grp.getgrnam(self.group).gr_gid
        except KeyError:
            return f"this host has no group {self.group}, which run_group names"
        if os.geteuid() == 0 or number in (os.getegid(), *os.getgroups()):
            return ""
        me = pwd.getpwuid(os.geteuid()).pw_name
        return (
            f"{me} is not in the group {self.group}, which run_group names; on the host, once:"
            f" sudo usermod -aG {self.group} {me}"
        )

    def closed(self):
        """The folders above run/ that a web server of another user can't pass."""
        number = grp.getgrnam(self.group).gr_gid if self.group else -1
        path = self.nearest() if os.path.isdir(self.folder) else f"{self.nearest()}/x"
        while path != "/":
            path = os.path.dirname(path)
            status = os.stat(path)
            opens = status.st_mode & 0o001 or (status.st_gid == number and status.st_mode & 0o010)
            if not opens and not has_acl(path):
                yield path

    def _share(self, path, mode, mode_of_all):
        if self.group:
            os.chown(path, -1, grp.getgrnam(self.group).gr_gid)
        os.chmod(path, mode if self.group else mode_of_all)

    def open(self, instance):
        """Let the web server connect to the sockets of a start."""
        for each in instance.web:
            self._share(instance.file(each["socket"]), *SOCKET_MODES)

    def front(self, instance):
        """Have the fronts name the sockets of a start, each by one rename, and remove the others; with None,
        all of them."""
        sockets = [each["socket"] for each in instance.web] if instance else []
        for socket in sockets:
            link = f"{self.folder}/{socket}"
            if os.path.lexists(f"{link}.new"):
                os.unlink(f"{link}.new")
            os.symlink(f"{instance.name}/{socket}", f"{link}.new")
            os.replace(f"{link}.new", link)
        for name in os.listdir(self.folder) if os.path.isdir(self.folder) else ():
            path = f"{self.folder}/{name}"
            if os.path.islink(path) and name.endswith(".sock") and name not in sockets:
                os.unlink(path)


def has_acl(path):
    """Whether a folder has an access control list (acl(5)); not every file system can have one."""
    try:
        return "system.posix_acl_access" in os.listxattr(path)
    except OSError:
        return False
