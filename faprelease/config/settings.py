"""The keys of the core in deploy.yml, and the checks of their values. Plugins add their own (`hooks`)."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from faprelease.config import release_paths, schedule
from faprelease.config.environment import SOURCES, Value
from faprelease.config.keys import about
from faprelease.config.schedule import Schedule
from faprelease.request import Manager

RELEASE = "%(release_path)s/"
WEB = "web"
"""The name of the process type that answers requests (as in a Procfile)."""


class ProcessStop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the processes of one type are stopped: `signal`, and after `seconds` SIGKILL. With `handover:
    beside`, `quiet` is a signal for "take no more jobs" (empty: none), and `overlap` says that old and new
    ones may run at the same time."""

    signal: str = "TERM"
    seconds: int = 30
    quiet: str = ""
    overlap: bool = False


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The effective values of the core's keys; those of plugins are in `Target.plugin_values`."""

    app_name: Annotated[str, about("name of the app; required")] = ""
    project_name: Annotated[str, about("name of the app in the store, if that is not app_name")] = (
        "%(app_name)s"
    )
    stage: str = ""
    role: str = ""
    user: Annotated[str, about("user who logs in over ssh")] = "deploy"
    sudo_user: Annotated[
        str, about("user who owns and runs the releases; reached by sudo if it is not `user`")
    ] = "deploy"
    use_ssh_config: Annotated[bool, about("use the settings of ~/.ssh/config")] = True
    connection: Annotated[
        Literal["ssh", "openssh", "local"],
        about("openssh: with the system's ssh; local: on this machine, as the current user"),
    ] = "ssh"
    port: Annotated[int, about("port of sshd; 0: the port in ~/.ssh/config, or 22")] = 0
    manager: Annotated[
        Manager, about("who releases: a controller, or each host by itself (`faprelease converge`)")
    ] = "controller"
    hosts: Annotated[
        list[str], about("names, user@name:port, or `name: {key: value}` with values for that host")
    ] = []
    path: Annotated[str, about("folder of the app on a host")] = "/home/%(sudo_user)s/www/%(app_name)s"
    current_path: Annotated[str, about("link to the live release")] = "%(path)s/current"
    releases_path: Annotated[str, about("folder of the releases")] = "%(path)s/releases"
    shared_path: Annotated[str, about("folder of linked_files and linked_dirs")] = "%(path)s/shared"
    cache_path: Annotated[
        str, about("folder where a host caches downloads, for all apps of the user; empty: no cache")
    ] = "~/.cache/fapkit"
    shared_writable: Annotated[bool, about("let the group write in shared/")] = True
    keep_releases: Annotated[
        int, about("how many releases that were live to keep, including the current one")
    ] = 5
    batch: Annotated[
        list[int | str],
        about(
            "how many hosts of a role publish together: 1, 25%, or a list: one size after another; default: 1"
            " if a process manager restarts them, otherwise all"
        ),
    ] = []
    batch_wait: Annotated[int, about("seconds to wait between two batches")] = 0
    on_failure: Annotated[
        Literal["rollback", "keep"],
        about("after a failed batch: roll back all; keep: leave it and those before it on the new release"),
    ] = "rollback"
    protected: Annotated[
        bool, about("ask for the stage's name before hosts change; refuse an install that is not contained")
    ] = False
    preflight: Annotated[
        str, about("command to run in the new release on every host, before anything is published")
    ] = ""
    install_network: Annotated[
        Literal["deny", "allow"], about("allow: install.sh may use the network; refused if protected")
    ] = "deny"
    install_paths: Annotated[
        list[str], about("more files and folders of a host that install.sh may read, such as /opt/oracle")
    ] = []
    release_command: Annotated[
        str, about("command to run once, on one host, when all are ready and before any publishes")
    ] = ""
    release_command_seconds: Annotated[int, about("time limit of release_command, in seconds")] = 600
    processes: Annotated[
        dict[str, int],
        about("how many of each process of the Procfile to run, by supervisor or systemd"),
    ] = {}
    process_port: Annotated[
        int, about("PORT of the first process, then counted up; the ports of the next type start 100 higher")
    ] = 8000
    process_seconds: Annotated[
        int,
        about("how long processes must run before a release counts as live, if no healthcheck is in plugins"),
    ] = 5
    processes_stop: Annotated[
        dict[str, ProcessStop],
        about(
            "how to stop the processes of a type: {worker: {signal: TERM, seconds: 600}}; with `handover:"
            " beside` also `quiet`, a signal for no more jobs, and `overlap: true`"
        ),
    ] = {}
    handover: Annotated[
        Literal["restart", "beside"],
        about(
            "beside: start the new processes beside the old ones, check them, and only then move requests;"
            " needs `processes` with web"
        ),
    ] = "restart"
    handover_keep: Annotated[
        int | None,
        about(
            "seconds that the old web processes stay ready for a rollback; 0: they end at once; default: 300"
            " with systemd, 0 with supervisor"
        ),
    ] = None
    handover_listen: Annotated[
        str,
        about(
            "address and port that lead to the first web process, for a web server on another host:"
            " 0.0.0.0:8000; the next processes have the next ports; empty: only sockets in run/"
        ),
    ] = ""
    run_group: Annotated[
        str, about("group that may connect to the sockets in run/, such as www-data; empty: everyone")
    ] = ""
    schedules: Annotated[
        dict[str, Schedule],
        about(
            "commands to run in the release at given times, by name: {command: TEXT, at: TIME} with cron's"
            " five fields or @daily; by systemd if it is in plugins, otherwise by the user's crontab"
        ),
    ] = {}
    schedules_host: Annotated[
        str, about("the one host of a role that runs its schedules; empty: the first")
    ] = ""
    timezone: Annotated[str, about("time zone of schedules; cron knows only that of its host")] = "UTC"
    linked_files: Annotated[list[str], about("files in shared/ that each release links to")] = []
    linked_dirs: Annotated[list[str], about("folders in shared/ that each release links to")] = []
    environment: Annotated[
        dict[str, Value],
        about(f"variables for the .env of a release (mode 0600): a value, or {SOURCES}", shown="no"),
    ] = {}
    environment_file: Annotated[str, about("name of the .env in the release")] = ".env"
    plugins: Annotated[list[str], about("plugins, in the order in which their steps run")] = []
    release_plugins: Annotated[list[str] | None, about("replaces plugins for a release")] = None
    rollback_plugins: Annotated[list[str] | None, about("replaces plugins for a rollback")] = None
    restart_plugins: Annotated[list[str] | None, about("replaces plugins for a restart")] = None
    once_plugins: Annotated[list[str] | None, about("replaces plugins for `once`")] = None
    shell_plugins: Annotated[list[str] | None, about("replaces plugins for `shell`")] = None
    store: Annotated[
        str, about("store of artifacts and stages: s3://bucket/prefix; FAP_STORE overrides it")
    ] = ""
    store_signers: Annotated[
        str,
        about("file of OpenSSH's allowed signers, beside deploy.yml; one must have signed what is released"),
    ] = ""
    store_policy: Annotated[
        str, about("file of rules, beside deploy.yml, that the released version must satisfy: fapstore.toml")
    ] = ""
    dry_run: Annotated[bool, about("connect, inspect the hosts, and print what would run")] = False
    show_output: Annotated[bool, about("show every step and its output")] = False

    @property
    def environment_name(self) -> str:
        """The path of the environment file inside its release."""
        return self.environment_file.removeprefix(RELEASE)

    @property
    def is_web(self) -> bool:
        """Whether the role answers requests: it has a process `web`, or without `processes` that is its
        name."""
        return bool(self.processes.get(WEB)) if self.processes else self.role == WEB

    def plugins_of(self, verb: str) -> list[str]:
        """The plugins of a command: `<verb>_plugins` if that is set, otherwise `plugins`."""
        own: list[str] | None = getattr(self, f"{verb}_plugins", None)
        return self.plugins if own is None else own


ONE_FOR_A_ROLE = frozenset(
    [
        "app_name",
        "project_name",
        "hosts",
        "manager",
        "batch",
        "batch_wait",
        "on_failure",
        "release_command",
        "release_command_seconds",
        "schedules",
        "schedules_host",
        "plugins",
        "release_plugins",
        "rollback_plugins",
        "restart_plugins",
        "once_plugins",
        "shell_plugins",
        "store",
        "store_signers",
        "store_policy",
        "dry_run",
        "curl_url",
        "curl_sha256",
        "curl_root",
    ]
)
"""Keys that must have the same value on all hosts of a role."""
FROM_COMMAND_LINE = frozenset(["stage", "role"])
"""Fields of Settings that are not keys of the file."""

NAME = re.compile(r"\w[\w.+@-]{0,99}")
"""The name of a stage or a role, which can be part of a path."""
_APP = re.compile(r"\w(?:[\w.+@ -]{0,98}[\w.+@-])?")
NAME_HINT = "use letters, digits and ._+@-; start with a letter or digit"
_PLAIN = re.compile(r"[\w./+@-]*", re.ASCII)
SOCKET_PATH = 107
"""The most bytes in the path of a unix socket (unix(7), sun_path)."""
_LONGEST = "261122-185409-9999/web-99.sock"
_LISTEN = re.compile(r"(?:[\d.]{7,15}|\[[0-9a-fA-F:.]{2,45}\]):([1-9]\d{0,4})")
_REFERENCE = re.compile(r"%\(\w+\)s")
_USER = re.compile(r"[\w#][\w.@+$\\-]{0,99}")
_SIGNAL = re.compile(r"(?!SIG)[A-Z][A-Z0-9]{1,9}")
_PROCESS = re.compile(r"[A-Za-z0-9_-]+")
_SIZE = re.compile(r"[1-9]\d*|[1-9]\d?%|100%")


def problems(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the problems of a value of the right kind, each as message and hint."""
    if key in ("app_name", "project_name"):
        # From a flag, %(name)s is not replaced.
        if value and not _APP.fullmatch(_REFERENCE.sub("x", value)):
            yield f"{value!r} is not a valid name", NAME_HINT
    elif key in ("user", "sudo_user"):
        if not _USER.fullmatch(_REFERENCE.sub("x", value)):
            yield f"{value!r} is not a valid user name", "give the name of a user on the hosts"
    elif key in ("path", "current_path", "releases_path", "shared_path"):
        if not value.startswith("/") or not value.isprintable():
            yield f"{value!r} is not an absolute path", "start it with /"
    elif key == "environment_file":
        name = value.removeprefix(RELEASE)
        if not _is_inside(name) or "%(" in name:
            yield (
                f"{value!r} is not a file in the release, so a rollback could not restore the old one",
                "set environment_file: .env; the app can read it as <current_path>/.env",
            )
    elif key == "cache_path":
        if not value.isprintable() or not (value + "/").startswith(("/", "~/")):
            yield f"{value!r} is not an absolute path", 'start it with / or ~/, or set it to ""'
    elif key in ("linked_files", "linked_dirs"):
        for name in value:
            if not _is_inside(name):
                yield f"{name!r} can't be linked", "give a path inside shared/, without .."
    elif key == "install_paths":
        for path in value:
            if not path.startswith("/") or "\n" in path or not path.strip("/."):
                yield f"{path!r} is not an absolute path of a file or folder", "start it with /"
    elif key == "batch":
        for size in value:
            if not _SIZE.fullmatch(str(size)):
                hint = "batch: 1, batch: 25%, or one size after another: batch: [1, 25%, 100%]"
                yield f"{size!r} is not a valid batch size", hint
    elif key == "batch_wait" and value < 0:
        yield f"{value} seconds is not a valid time", "set it to 0 or more"
    elif key == "release_command_seconds" and value < 1:
        yield f"{value} seconds is not a valid time", "set it to 1 or more"
    elif key == "keep_releases" and value < 1:
        yield f"{value} is too few", "keep at least 1"
    elif key == "processes":
        for name, count in value.items():
            if not _PROCESS.fullmatch(name) or count < 0:
                yield (
                    f"{name!r}: {count} is not valid",
                    "give the processes of the Procfile and their number: {web: 2}",
                )
    elif key == "processes_stop":
        for name, stop in value.items():
            for signal in (stop.signal, stop.quiet):
                if signal and not _SIGNAL.fullmatch(signal):
                    yield f"{name}: {signal!r} is not a valid signal", "give its name, such as TERM"
            if not stop.signal or not 1 <= stop.seconds <= 86400:
                yield f"{name} needs a signal, and 1 to 86400 seconds", "{signal: TERM, seconds: 30}"
    elif key == "handover_keep" and value is not None and not 0 <= value <= 86400:
        yield f"{value} seconds is not a valid time", "set it to 0 or more, up to 86400"
    elif key == "handover_listen" and value and not _is_listen(value):
        yield f"{value!r} is not an address and a port", "for example 127.0.0.1:8000, or [::]:8000"
    elif key == "run_group" and value and not _USER.fullmatch(value):
        yield f"{value!r} is not a valid group name", "give the group of the web server, such as www-data"
    elif key == "schedules":
        for name, planned in value.items():
            yield from schedule.problems(name, planned)
    elif key == "timezone":
        yield from schedule.zone_problems(value)
    elif key == "process_seconds" and not 0 <= value <= 3600:
        yield f"{value} seconds is not a valid time", "set it to 0 or more, up to 3600"
    elif key == "process_port" and not 1 <= value <= 65000:
        yield f"{value} is not a valid port", "use a number from 1 to 65000"
    elif key == "port" and not 0 <= value <= 65535:
        yield f"{value} is not a valid port", "use a number up to 65535"


def _is_inside(path: str) -> bool:
    """Whether it is a path inside a folder."""
    parts = path.split("/")
    return not path.startswith("/") and ".." not in parts and path.isprintable() and bool(path.strip("./ "))


def _is_listen(value: str) -> bool:
    found = _LISTEN.fullmatch(value)
    return found is not None and int(found[1]) <= 65000


def conflicts(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the conflicts between valid values, each as the key of one of them, message and hint."""
    yield from release_paths.conflicts(values, values.get("environment_file", "").removeprefix(RELEASE))
    if values.get("protected") and values.get("install_network") == "allow":
        message = "an installer can't use the network on a protected stage"
        yield (
            "install_network",
            message,
            "pack what it downloads: wheels with `lock`, compiled files with [[assets]]",
        )
    if values.get("manager") == "converge" and values.get("release_command"):
        message = "each host converges by itself, so no single host can run it for all"
        yield "release_command", message, 'set `release_command: ""` for this role; see examples/engines'
    if values.get("manager") == "converge" and values.get("schedules"):
        message = "each host converges by itself, so no single host can be chosen that runs them"
        yield (
            "schedules",
            message,
            "set `schedules: {}` for this role; a role that a controller manages can have them",
        )
    yield from _beside_conflicts(values)


def _beside_conflicts(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if values.get("handover") != "beside":
        for name, stop in (values.get("processes_stop") or {}).items():
            if stop.quiet or stop.overlap:
                message = f"{name}: quiet and overlap have a meaning only with handover: beside"
                yield "processes_stop", message, "remove them, or set handover: beside"
        return
    if not (values.get("processes") or {}).get(WEB):
        yield (
            "handover",
            "beside needs to know the web processes, and how many there are",
            "set processes: {web: 1}; for a role without them: handover: restart",
        )
    plugins = {str(name).rpartition(".")[2] for name in values.get("plugins") or ()}
    if not plugins & {"systemd", "supervisorctl"}:
        message = "beside needs a process manager that starts the processes"
        yield "handover", message, "add systemd or supervisorctl to plugins"
    for name in {"PORT", "FAP_BIND"} & set(values.get("environment") or ()):
        message = f"{name} tells a process its own socket with handover: beside"
        yield "environment", message, f"remove {name} there"
    path = values.get("path", "")
    if not _PLAIN.fullmatch(path):
        message = f"{path!r} can't be in units and programs as it is, which handover: beside needs"
        yield "path", message, "use letters, digits and ._+@/-"
    size = len(f"{path}/run/{_LONGEST}".encode())
    if size > SOCKET_PATH:
        message = f"sockets in {path}/run have paths of up to {size} bytes; Linux allows {SOCKET_PATH}"
        yield "path", message, "use a shorter path, or handover: restart"
