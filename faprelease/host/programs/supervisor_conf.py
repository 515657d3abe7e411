"""Check the configuration that an artifact brings for supervisord (supervisord.org/configuration.html).

`main` gets options, each as NAME=VALUE: `conf`, its file; `program`, the name of the program or group that a
release restarts; `shown`, the file's name for people. A supervisord of root starts what the file says as
root, and reads more than programs from it.
"""

import configparser
import os
import pwd
import re
import sys

import supervisor

PROGRAMS = "program", "fcgi-program"
PATH = re.compile(r"(?<![\w.)/-])/[^\s'\";|&<>()]+")


class RefusedError(Exception):
    """What is wrong with the file, and what to change."""


def read(conf):
    """The sections, by (kind, name), as supervisord reads them."""
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";", "#"))
    try:
        with open(conf, encoding="utf-8") as file:
            parser.read_file(file)
    except FileNotFoundError:
        raise RefusedError("is not in the release") from None
    except (OSError, ValueError, configparser.Error) as error:
        raise RefusedError(f"can't be read: {' '.join(str(error).split())}") from error
    if parser.defaults():
        raise RefusedError("has a section [DEFAULT], whose values all programs of supervisord would get")
    return {key_of(section): dict(parser.items(section)) for section in parser.sections()}


def key_of(section):
    kind, _, name = section.partition(":")
    return kind.strip(), name.strip()


def refuse_programs(sections, program):
    """Refuse programs that a release would not restart."""
    programs = [name for kind, name in sections if kind in PROGRAMS]
    groups = {name: listed(values) for (kind, name), values in sections.items() if kind == "group"}
    name = program.partition(":")[0]
    if name not in groups and name not in programs:
        there = ", ".join([*groups, *programs]) or "none"
        raise RefusedError(f"has no program or group {name}, only: {there}; name it: supervisor_program")
    own = groups.get(name, [name])
    foreign = [each for members in groups.values() for each in members if each not in programs]
    if foreign:
        raise RefusedError(f"has {foreign[0]} in a group, and no such program")
    others = [each for each in programs if each not in own]
    if others:
        lines = f"[group:{name}]\nprograms={','.join(dict.fromkeys([*own, *others]))}"
        raise RefusedError(
            f"has the program {others[0]}, which a release would not restart; bring it into {name}:\n{lines}"
        )


def refuse_other_releases(sections, path):
    """Refuse a command that would stay on one release of the folder `path`, or starts what another deployment
    has. Others may lie anywhere (/usr/bin/env, /opt/node/bin/node): they run as the program's own user."""
    for (kind, name), values in sections.items():
        for place in map(
            os.path.normpath, PATH.findall(values.get("command", "")) if kind in PROGRAMS else ()
        ):
            if place.startswith(f"{path}/releases/"):
                raise RefusedError(
                    f"has {name} start {place}, which stays on that release; name it through {path}/current"
                )
            other = deployment_of(place)
            if other and os.access(place, os.X_OK) and not os.path.isdir(place) and not is_same(other, path):
                raise RefusedError(
                    f"has {name} start {place}, which another deployment has, in {other};"
                    f" name one in {path}/current"
                )


def deployment_of(place):
    """The folder of the deployment that has a file; empty if none has."""
    while place not in ("/", ""):
        place = os.path.dirname(place)
        if os.path.isfile(f"{place}/.fap/owner"):
            return place
    return ""


def is_same(one, other):
    return os.path.exists(other) and os.path.samefile(one, other)


def problem_of_root(sections, user, uid, path):
    """What would make a supervisord of root do more than run programs as `user`; empty if nothing. It opens
    the log files as root: they may be in /var/log, and in the app's folder `path`."""
    for (kind, name), values in sections.items():
        if kind not in (*PROGRAMS, "group"):
            section = f"{kind}:{name}" if name else kind
            return f"has a section [{section}], which supervisord would obey as root; remove it"
        if kind in PROGRAMS and values.get("user") not in (user, str(uid)):
            runs_as = values.get("user", "root")
            return f"would run {name} as {runs_as}; in [{kind}:{name}] it must say: user={user}"
        for key in ("stdout_logfile", "stderr_logfile"):
            log = values.get(key, "AUTO")
            places = ("/var/log/", "/dev/", f"{path}/", "%(here)s")
            if log.upper() not in ("AUTO", "NONE", "SYSLOG", "") and (
                ".." in log or not log.startswith(places)
            ):
                return f"has {name} log to {log}, which root would open; leave out {key}, or use /var/log"
    return ""


def listed(values):
    return [name.strip() for name in values.get("programs", "").split(",") if name.strip()]


def is_of_root():
    """Whether supervisord runs as root."""
    try:
        return os.stat(f"/proc/{int(supervisor.ask('pid'))}").st_uid == 0
    except (OSError, ValueError):
        return True


def user_name(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def main(load, parts, *words):
    """Exit codes: 0; 1 if the file is refused, and the reason is printed."""
    options, uid = dict(word.split("=", 1) for word in words), os.geteuid()
    try:
        if os.path.lexists(options["rendered"]):
            raise RefusedError(f"is not used: the artifact brings {options['rendered']}; remove that from it")
        sections = read(options["conf"])
        refuse_programs(sections, options["program"])
        refuse_other_releases(sections, options["path"])
        problem = problem_of_root(sections, user_name(uid), uid, options["path"])
        if problem and uid and is_of_root():
            raise RefusedError(problem)
    except RefusedError as error:
        print(f"{options['shown']} {error}")
        sys.exit(1)
    sys.exit(0)
