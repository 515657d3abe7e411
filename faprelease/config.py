"""What the keys of deploy.yml mean: file, stage, role and flags become one frozen `Target` a host."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from posixpath import normpath
from typing import Any, Literal

import msgspec

from faprelease import deployfile
from faprelease.deployfile import DeployFile, refuse_unknown
from faprelease.errors import ConfigError
from faprelease.layout import Layout

VERBS = frozenset(
    [
        "release",
        "rollback",
        "restart",
        "status",
        "releases",
        "plan",
        "apply",
        "sync",
        "converge",
        "once",
        "shell",
        "logs",
        "lock",
        "unlock",
        "config",
        "doctor",
        "migrate",
        "schema",
        "history",
        "hosts",
        "parity",
    ]
)
"""What a stage can't be called, since `faprelease STAGE` and `faprelease VERB` share a place."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every key of the core, after all layers; the plugins' keys are in `Target.plugin_values`."""

    app_name: str = ""
    project_name: str = ""
    stage: str = ""
    role: str = ""
    user: str = "deploy"
    sudo_user: str = "deploy"
    use_ssh_config: bool = True
    connection: Literal["ssh", "openssh", "local"] = "ssh"
    hosts: list[str] = []
    path: str = "/home/%(sudo_user)s/www/%(app_name)s"
    current_path: str = "%(path)s/current"
    releases_path: str = "%(path)s/releases"
    shared_path: str = "%(path)s/shared"
    cache_path: str = "~/.cache/fapkit"
    shared_writable: bool = True
    keep_releases: int = 5
    batch: list[int | str] = []
    batch_wait: int = 0
    on_failure: Literal["rollback", "keep"] = "rollback"
    release_command: str = ""
    release_command_seconds: int = 600
    linked_files: list[str] = []
    linked_dirs: list[str] = []
    environment: dict[str, str | int | float | bool] = {}
    environment_file: str = ".env"
    plugins: list[str] = []
    release_plugins: list[str] | None = None
    rollback_plugins: list[str] | None = None
    restart_plugins: list[str] | None = None
    once_plugins: list[str] | None = None
    shell_plugins: list[str] | None = None
    store: str = ""
    store_signers: str = ""
    dry_run: bool = False
    show_output: bool = False


_SIZE = re.compile(r"[1-9]\d*|[1-9]\d?%|100%")
PLACES = {"release_path": "", "new_release": ""}
"""Names that only a release gives a value; `%(release_path)s` in a value means the release's own folder."""
LISTS = ("hosts", "linked_files", "linked_dirs", "plugins", "batch")
_ABOUT_THE_FILE = {"stage_role_configs"}


@dataclass(frozen=True)
class Target:
    """One role of one stage on one host: where to connect, where things lie, and what is in force."""

    host: str
    settings: Settings
    layout: Layout
    plugin_values: Mapping[str, Any]

    def lock_token(self, run: str) -> str:
        """What a run writes into the lock: other for each name of a host, so that a machine which is
        reached by two names refuses the second one."""
        return f"{run}.{self.host}"

    @property
    def label(self) -> str:
        """`web1` where one role is released, `web1 (worker)` in reports that mix roles."""
        return f"{self.host} ({self.settings.role})"


def check_file(file: DeployFile, plugin_keys: frozenset[str]) -> None:
    """Look at the whole file before anything connects.

    Raises ConfigError: an unknown key (with its line and the nearest known one), a stage named like a verb.
    """
    known = {*Settings.__struct_fields__, *PLACES, *plugin_keys} - {"stage", "role"}
    top = [key for key in map(str, file.values) if not key.startswith("x-")]
    for key in top:
        refuse_unknown([key], known | _ABOUT_THE_FILE, file.where(key))
    for stage, roles in _stages(file).items():
        if stage in VERBS:
            raise ConfigError(
                f"{file.where('stage_role_configs', stage)}: {stage!r} is a command, and can't name a stage",
                hint="give the stage another name",
            )
        for role, values in roles.items():
            for key in map(str, values):
                refuse_unknown([key], known, file.where("stage_role_configs", stage, role, key))


def check_flags(flags: Mapping[str, Any], plugin_keys: frozenset[str]) -> None:
    """Raise ConfigError for a flag that is no key of deploy.yml."""
    known = {*Settings.__struct_fields__, *plugin_keys} - {"stage", "role", "environment"}
    dashed = {key.replace("_", "-") for key in known}
    refuse_unknown([key.replace("_", "-") for key in flags], dashed, "command line", "flag")


def roles_of(file: DeployFile, stage: str, role: str | None) -> list[str]:
    """The roles a command is about: the one it names, or all of the stage, in the file's order.

    Raises ConfigError: the stage or the role is not in the file.
    """
    stages = _stages(file)
    if not stages:
        raise ConfigError(
            f"{file.name} names no stage", hint="add stage_role_configs: {production: {web: {hosts: […]}}}"
        )
    if stage not in stages and (near := get_close_matches(stage, VERBS, n=1, cutoff=0.75)):
        raise ConfigError(
            f"unknown stage {stage!r}", hint=f"did you mean the command: faprelease {near[0]} …"
        )
    refuse_unknown([stage], stages, file.where("stage_role_configs"), "stage")
    if role is not None:
        refuse_unknown([role], stages[stage], file.where("stage_role_configs", stage), f"role of {stage}")
        return [role]
    return list(stages[stage])


def targets(
    file: DeployFile,
    stage: str,
    role: str | None,
    flags: Mapping[str, Any],
    plugin_defaults: Mapping[str, Any],
) -> list[Target]:
    """One target for each host of each role, from the layers flag > stage-role > file > default.

    Raises ConfigError for values of the wrong kind, hosts that are missing, and two roles in one folder.
    """
    found: list[Target] = []
    for name in roles_of(file, stage, role):
        found += _role_targets(file, stage, name, flags, plugin_defaults)
    _refuse_shared_folders(file, found)
    return found


def _role_targets(
    file: DeployFile, stage: str, role: str, flags: Mapping[str, Any], plugin_defaults: Mapping[str, Any]
) -> list[Target]:
    own = _stages(file)[stage][role]
    core_defaults = {
        field.name: field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        for field in msgspec.structs.fields(Settings)
    }
    layers: dict[str, Any] = {
        **core_defaults,
        **plugin_defaults,
        **{key: value for key, value in file.values.items() if not key.startswith("x-")},
        **own,
        **flags,
        "stage": stage,
        "role": role,
    }
    layers.pop("stage_role_configs", None)
    if not layers["app_name"]:
        raise ConfigError(f"{file.name} has no app_name", hint="add a line `app_name: NAME`")
    layers["project_name"] = layers["project_name"] or layers["app_name"]
    for key in LISTS:
        if isinstance(layers[key], str | int):
            layers[key] = [layers[key]]
    values = deployfile.expand(layers, flags, file)
    core = {key: value for key, value in values.items() if key in Settings.__struct_fields__}
    settings = _convert(core, lambda key: _where(file, stage, role, key, flags))
    hosts = settings.hosts or (["localhost"] if settings.connection == "local" else [])
    if not hosts:
        raise ConfigError(
            f"{file.where('stage_role_configs', stage, role)}: {stage} {role} has no hosts",
            hint="add `hosts: [web1.example.com]`, or `connection: local` to release on this machine",
        )
    if settings.connection == "local" and len(set(hosts)) > 1:
        raise ConfigError(
            f"{_where(file, stage, role, 'hosts', flags)}: {' and '.join(hosts)} are all this machine",
            hint="`connection: local` releases here: take the hosts out, or release to them by ssh",
        )
    layout = Layout(settings.path, settings.current_path, settings.releases_path, settings.shared_path)
    rest = {key: value for key, value in values.items() if key not in core}
    return [Target(host, settings, layout, rest) for host in dict.fromkeys(hosts)]


def _where(file: DeployFile, stage: str, role: str, key: str, flags: Mapping[str, Any]) -> str:
    """Where a value comes from: the flag, the line in the role or at the top, or the role's own line."""
    if key in flags:
        return f"--{key.replace('_', '-')}"
    for path in (("stage_role_configs", stage, role, key), (key,)):
        if path in file.lines:
            return file.where(*path)
    return file.where("stage_role_configs", stage, role)


def _convert(values: dict[str, Any], where: Callable[[str], str]) -> Settings:
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        named = re.search(r"\$\.(\w+)", str(error))
        key = named[1] if named else ""
        raise ConfigError(f"{where(key)}: {error}", hint=f"see the value of {key or 'each key'}") from error
    for key in ("path", "current_path", "releases_path", "shared_path"):
        value = getattr(settings, key)
        if not value.startswith("/") or "\n" in value:
            raise ConfigError(f"{where(key)}: {value!r} is not an absolute path", hint="start it with /")
    cache = settings.cache_path
    if "\n" in cache or not (cache + "/").startswith(("/", "~/")):
        raise ConfigError(
            f"{where('cache_path')}: {cache!r} is not an absolute path",
            hint='start it with / or ~/, or say ""',
        )
    for key in ("linked_files", "linked_dirs"):
        for name in getattr(settings, key):
            if name.startswith("/") or ".." in name.split("/") or "\n" in name or not name.strip("./ "):
                raise ConfigError(
                    f"{where(key)}: {name!r} can't be linked",
                    hint="name a path inside shared/ and the release",
                )
    for host in settings.hosts:
        if not host or host.startswith("-") or not host.isprintable() or " " in host:
            raise ConfigError(
                f"{where('hosts')}: {host!r} can't be a host", hint="name hosts as ssh does: [web1, web2]"
            )
    for size in settings.batch:
        if not _SIZE.fullmatch(str(size)):
            raise ConfigError(
                f"{where('batch')}: {size!r} is no size of a batch",
                hint="batch: 1, batch: 25%, or one size after another: batch: [1, 25%, 100%]",
            )
    if settings.batch_wait < 0:
        raise ConfigError(f"{where('batch_wait')}: {settings.batch_wait} seconds", hint="wait 0 or more")
    if settings.release_command_seconds < 1:
        raise ConfigError(
            f"{where('release_command_seconds')}: {settings.release_command_seconds} seconds",
            hint="give it 1 or more",
        )
    if settings.keep_releases < 1:
        raise ConfigError(
            f"{where('keep_releases')}: keep_releases is {settings.keep_releases}", hint="keep at least 1"
        )
    return settings


def _refuse_shared_folders(file: DeployFile, found: list[Target]) -> None:
    owners: dict[tuple[str, str], str] = {}
    for target in found:
        machine = "this machine" if target.settings.connection == "local" else target.host
        place = (machine, normpath(target.layout.path))
        other = owners.setdefault(place, target.settings.role)
        if other != target.settings.role:
            raise ConfigError(
                f"{file.name}: roles {other} and {target.settings.role} share {place[1]} on {place[0]}",
                hint="give each role a folder: path: /home/%(sudo_user)s/www/%(app_name)s-%(role)s",
            )


def _stages(file: DeployFile) -> dict[str, dict[str, dict[str, Any]]]:
    stages = file.values.get("stage_role_configs") or {}
    where = file.where("stage_role_configs")
    if not isinstance(stages, dict):
        raise ConfigError(
            f"{where}: stage_role_configs is not a mapping", hint="it maps stages to roles to settings"
        )
    read: dict[str, dict[str, dict[str, Any]]] = {}
    for stage, roles in stages.items():
        if not isinstance(roles or {}, dict):
            raise ConfigError(
                f"{file.where('stage_role_configs', str(stage))}: {stage} maps no roles", hint="add a role"
            )
        for role, values in (roles or {}).items():
            if not isinstance(values or {}, dict):
                raise ConfigError(
                    f"{file.where('stage_role_configs', str(stage), str(role))}: {role} has no settings",
                    hint="add `hosts: […]` below it",
                )
            read.setdefault(str(stage), {})[str(role)] = values or {}
    return read
