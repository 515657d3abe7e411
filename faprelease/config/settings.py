"""The core's keys of deploy.yml, and what their values must be. Plugins add keys of their own (`hooks`)."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from faprelease.config.environment import SOURCES, Value
from faprelease.config.keys import about
from faprelease.request import Manager

RELEASE = "%(release_path)s/"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every key of the core, after all layers; the plugins' keys are in `Target.plugin_values`."""

    app_name: Annotated[str, about("the app; needed")] = ""
    project_name: Annotated[
        str, about("its name in the store, where several deploys have app_names of their own")
    ] = "%(app_name)s"
    stage: str = ""
    role: str = ""
    user: Annotated[str, about("who logs in by ssh")] = "deploy"
    sudo_user: Annotated[
        str, about("who owns and runs the releases; another than `user` is reached by sudo")
    ] = "deploy"
    use_ssh_config: Annotated[bool, about("go by ~/.ssh/config")] = True
    connection: Annotated[
        Literal["ssh", "openssh", "local"],
        about("openssh: by the system's ssh; local: on this machine, as the user who runs it"),
    ] = "ssh"
    port: Annotated[int, about("the port of sshd; 0: what ~/.ssh/config says, or 22")] = 0
    manager: Annotated[
        Manager, about("who releases: a controller, or each host by itself (`faprelease converge`)")
    ] = "controller"
    hosts: Annotated[
        list[str], about("names, user@name:port, or `name: {key: value}`, with its own values")
    ] = []
    path: Annotated[str, about("the app's folder on a host")] = "/home/%(sudo_user)s/www/%(app_name)s"
    current_path: Annotated[str, about("the link to the release that runs")] = "%(path)s/current"
    releases_path: Annotated[str, about("the folder of the releases")] = "%(path)s/releases"
    shared_path: Annotated[str, about("the folder of linked_files and linked_dirs")] = "%(path)s/shared"
    cache_path: Annotated[
        str, about("a host's cache of what it downloaded, for all apps of the user; empty for none")
    ] = "~/.cache/fapkit"
    shared_writable: Annotated[bool, about("the group may write in shared/")] = True
    keep_releases: Annotated[
        int, about("how many releases that were live are kept, the current one included")
    ] = 5
    batch: Annotated[
        list[int | str], about("hosts of a role that publish together: 1, 25%, or one size after another")
    ] = []
    batch_wait: Annotated[int, about("seconds between two batches")] = 0
    on_failure: Annotated[
        Literal["rollback", "keep"], about("keep: good batches and the failed one stay new, the rest old")
    ] = "rollback"
    protected: Annotated[
        bool, about("its name is asked for before hosts change, and an install must be contained whole")
    ] = False
    preflight: Annotated[str, about("run in the new release on every host, before anything is published")] = (
        ""
    )
    install_network: Annotated[
        Literal["deny", "allow"], about("allow: install.sh may use the network; never where protected")
    ] = "deny"
    release_command: Annotated[
        str, about("run once a rollout, when all hosts are ready and before any swaps")
    ] = ""
    release_command_seconds: Annotated[int, about("how long release_command may take")] = 600
    processes: Annotated[
        dict[str, int],
        about("how many of each process of the Procfile; made into supervisor's programs or systemd's units"),
    ] = {}
    process_port: Annotated[
        int, about("PORT of the first process, counted up; each type's ports begin 100 further")
    ] = 8000
    linked_files: Annotated[list[str], about("files of shared/ that each release links to")] = []
    linked_dirs: Annotated[list[str], about("folders of shared/ that each release links to")] = []
    environment: Annotated[
        dict[str, Value],
        about(f"the variables in the .env of a release, 0600: a value, or {SOURCES}", shown="no"),
    ] = {}
    environment_file: Annotated[str, about("its name in the release")] = ".env"
    plugins: Annotated[list[str], about("in the order in which their steps run")] = []
    release_plugins: Annotated[list[str] | None, about("instead of plugins, for a release")] = None
    rollback_plugins: Annotated[list[str] | None, about("instead of plugins, for a rollback")] = None
    restart_plugins: Annotated[list[str] | None, about("instead of plugins, for a restart")] = None
    once_plugins: Annotated[list[str] | None, about("instead of plugins, for `once`")] = None
    shell_plugins: Annotated[list[str] | None, about("instead of plugins, for `shell`")] = None
    store: Annotated[str, about("where artifacts and stages are: s3://bucket/prefix; FAP_STORE wins")] = ""
    store_signers: Annotated[
        str, about("OpenSSH's allowed signers, beside this file: one must have signed what is released")
    ] = ""
    store_policy: Annotated[
        str, about("the rules that what is released must keep: fapstore.toml, beside this file")
    ] = ""
    dry_run: Annotated[bool, about("connect, look, and print what would run")] = False
    show_output: Annotated[bool, about("show every step and what it printed")] = False

    @property
    def environment_name(self) -> str:
        """The environment's file, as seen from its release."""
        return self.environment_file.removeprefix(RELEASE)

    def plugins_of(self, verb: str) -> list[str]:
        """The plugins of a command: `<verb>_plugins` where that is set, `plugins` otherwise."""
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
    ]
)
"""Keys that can't have another value on one host of a role."""
FROM_COMMAND_LINE = frozenset(["stage", "role"])
"""Fields of Settings that are no keys of the file."""

_PROCESS = re.compile(r"[A-Za-z0-9_-]+")
_SIZE = re.compile(r"[1-9]\d*|[1-9]\d?%|100%")


def problems(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with a value that has the right kind, and the hint that mends it."""
    if key in ("path", "current_path", "releases_path", "shared_path"):
        if not value.startswith("/") or "\n" in value:
            yield f"{value!r} is not an absolute path", "start it with /"
    elif key == "environment_file":
        name = value.removeprefix(RELEASE)
        if name.startswith("/") or ".." in name.split("/") or "%(" in name or not name.strip("./ "):
            yield (
                f"{value!r} is no file in the release, so no rollback could bring the old one back",
                "say environment_file: .env; what starts the app reads it as <current_path>/.env",
            )
    elif key == "cache_path":
        if "\n" in value or not (value + "/").startswith(("/", "~/")):
            yield f"{value!r} is not an absolute path", 'start it with / or ~/, or say ""'
    elif key in ("linked_files", "linked_dirs"):
        for name in value:
            if name.startswith("/") or ".." in name.split("/") or "\n" in name or not name.strip("./ "):
                yield f"{name!r} can't be linked", "name a path inside shared/ and the release"
    elif key == "batch":
        for size in value:
            if not _SIZE.fullmatch(str(size)):
                hint = "batch: 1, batch: 25%, or one size after another: batch: [1, 25%, 100%]"
                yield f"{size!r} is no size of a batch", hint
    elif key == "batch_wait" and value < 0:
        yield f"{value} seconds", "wait 0 or more"
    elif key == "release_command_seconds" and value < 1:
        yield f"{value} seconds", "give it 1 or more"
    elif key == "keep_releases" and value < 1:
        yield f"{value} is too few", "keep at least 1"
    elif key == "processes":
        for name, count in value.items():
            if not _PROCESS.fullmatch(name) or count < 0:
                yield f"{name!r}: {count} can't be", "name processes of the Procfile, and how many: {web: 2}"
    elif key == "process_port" and not 1 <= value <= 65000:
        yield f"{value} is no port", "a port is a number up to 65000 here"
    elif key == "port" and not 0 <= value <= 65535:
        yield f"{value} is no port", "a port is a number up to 65535"


def conflicts(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Values that are each right and can't be together: the key that one of them stands under, what is said
    of it, and a hint."""
    file = values.get("environment_file", "").removeprefix(RELEASE)
    if values.get("environment") and file in values.get("linked_files", ()):
        said = f"{file} is a linked file, and environment would replace it"
        yield "environment", said, f"put all of them into shared/{file}, or all into deploy.yml"
    if values.get("protected") and values.get("install_network") == "allow":
        said = "no installer uses the network on a protected stage"
        yield "install_network", said, "pack what it fetches: wheels by `lock`, compiled files by [[assets]]"
    if values.get("manager") == "converge" and values.get("release_command"):
        said = "hosts that converge do so each by itself, and no one of them could run it for all"
        yield "release_command", said, 'say `release_command: ""` for this role, and see examples/engines'
