"""From file, stage, role, host and flags to one frozen `Target` for each host."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from posixpath import normpath
from typing import Any

import msgspec

from faprelease.config import checkout, environment, keys, layers
from faprelease.config.deployfile import DeployFile, names_in, refuse_unknown, unknown
from faprelease.config.keys import Key
from faprelease.config.layers import STAGES, Effective, HostEntry, Scope, Stage
from faprelease.config.needs import EVERYTHING, Mistake, Needs
from faprelease.config.schedule import Schedule
from faprelease.config.settings import FROM_COMMAND_LINE, NAME, NAME_HINT, Settings
from faprelease.errors import ConfigError, together
from faprelease.steps.layout import Layout
from faprelease.steps.place import Place

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
        "freeze",
        "unfreeze",
        "config",
        "doctor",
        "init",
        "migrate",
        "schema",
        "history",
        "hosts",
        "parity",
        "trust",
        "completion",
        "help",
        "version",
        "lock",
        "unlock",
    ]
)
"""Names that a stage can't have, because of `faprelease VERB`."""

CORE = {name: key for name, key in keys.of(Settings).items() if name not in FROM_COMMAND_LINE}
"""The keys of the core; `registry.options_of` gives those of plugins."""
LISTS = tuple(name for name, key in CORE.items() if key.is_list)
PLACES = ("release_path", "new_release")
"""Names that get their value from the release; `%(release_path)s` is its folder."""
NO_FLAGS = frozenset(name for name, key in CORE.items() if key.is_mapping)
"""Keys that are not flags: mappings. (And `environment` would be visible in `ps`.)"""


_DEFAULTS = {name: key.default for name, key in CORE.items()}


@dataclass(frozen=True)
class Target:
    """One role of one stage on one host: its address, its folders, and its effective settings."""

    host: str
    settings: Settings
    layout: Layout
    plugin_values: Mapping[str, Any]
    address: str = ""
    """The address for ssh, without user and port."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where each value was set (`deploy.yml, line 4`, `--user`, `default`), also of `environment.NAME`."""

    def lock_token(self, run: str) -> str:
        """The token that a run writes into the lock. It contains the host's name, so a machine with two names
        refuses the second one."""
        return f"{run}.{self.host}"

    @property
    def place(self) -> Place:
        """The host and the role."""
        return Place(self.host, self.settings.role)

    @property
    def schedules(self) -> Mapping[str, Schedule]:
        """The schedules that this host runs for its role."""
        return self.settings.schedules if self.settings.schedules_host == self.host else {}


def check(file: DeployFile, plugin_keys: Mapping[str, Key], flags: Mapping[str, Any]) -> None:
    """Check the whole file and all flags, before anything connects.

    Raises one ConfigError for all problems: unknown keys (with line and most similar known one), values of
    the wrong kind in any stage, role or host, a stage with the name of a command.
    """
    problems = [*wrong_flags(flags, plugin_keys), *(each.error for each in mistakes(file, plugin_keys))]
    if problems:
        raise together(problems)


def mistakes(file: DeployFile, plugin_keys: Mapping[str, Key]) -> Iterator[Mistake]:
    """Everything that is wrong in the file."""
    known = {**CORE, **plugin_keys}
    yield from layers.misplaced(file, known)
    for stage in layers.stages(file, known):
        if stage in VERBS:
            message = f"{file.where(STAGES, stage)}: {stage!r} is a command, so a stage can't have this name"
            yield Mistake(ConfigError(message, hint="give the stage another name"), stage)
    yield from _wrong_names(file, known)
    yield from _wrong_values(file, known)


def _wrong_names(file: DeployFile, known: Mapping[str, Key]) -> Iterator[Mistake]:
    """Stages and roles whose names can't be part of a path, as in `%(role)s`."""
    for name, stage in layers.stages(file, known).items():
        for place in ((name,), *((name, role) for role in stage.roles)):
            if not NAME.fullmatch(place[-1]):
                error = ConfigError(
                    f"{file.where(STAGES, *place)}: {place[-1]!r} is not a valid name for a stage or role",
                    hint=NAME_HINT,
                )
                yield Mistake(error, *place)


def wrong_flags(flags: Mapping[str, Any], plugin_keys: Mapping[str, Key]) -> Iterator[ConfigError]:
    """An error for each flag that is not a key."""
    known = {**CORE, **plugin_keys}
    dashed = [key.replace("_", "-") for key in known if key not in NO_FLAGS]
    for name in flags:
        if name in NO_FLAGS or name not in known:
            yield unknown(name.replace("_", "-"), dashed, "command line", "flag")


def _wrong_values(file: DeployFile, known: Mapping[str, Key]) -> Iterator[Mistake]:
    """Problems of the effective values of each role and host; and of the values at the top, even if no role
    uses them, before `%(name)s` is replaced."""
    plain = {key: value for key, value in file.values.items() if not any(names_in(value))}
    top = Scope(DeployFile(file.name, plain, file.lines, file.written), known, "", "", {})
    yield from map(Mistake, top.effective().problems)
    for name, stage in layers.stages(file, known).items():
        for role in stage.roles:
            for error in _wrong_in(Scope(file, known, name, role, {})):
                yield Mistake(error, name, role)


def _wrong_in(scope: Scope) -> Iterator[ConfigError]:
    try:
        yield from scope.effective().problems
        for entry in scope.hosts():
            yield from scope.effective(entry).problems if entry.layer.values else ()
    except ConfigError as error:
        yield error


def unknown_names(file: DeployFile, plugin_keys: Mapping[str, Key]) -> list[str]:
    """A line for each `%(name)s` in the file that is not a key. It is not replaced, which is rarely meant."""
    known = {*CORE, *plugin_keys, *PLACES, *FROM_COMMAND_LINE}
    result = []
    for place, name in names_in(file.values):
        if name not in known and not any(part.startswith("x-") for part in place):
            similar = get_close_matches(name, known, n=1)
            hint = f"; did you mean %({similar[0]})s?" if similar else ""
            result.append(f"{file.where(*place)}: %({name})s is not a key, so it is left as it is{hint}")
    return result


def stages_of(file: DeployFile, plugin_keys: Mapping[str, Key]) -> dict[str, Stage]:
    """The stages of the file, in its order."""
    return layers.stages(file, {**CORE, **plugin_keys})


def roles_of(file: DeployFile, stage: str, role: str | None, plugin_keys: Mapping[str, Key]) -> list[str]:
    """The roles of a command: the one it names, or all of the stage, in the order of the file.

    Raises ConfigError if the stage or the role is not in the file.
    """
    stages = stages_of(file, plugin_keys)
    if not stages:
        raise ConfigError(
            f"{file.name} has no stages", hint="add stage_role_configs: {production: {web: {hosts: […]}}}"
        )
    if stage not in stages and (near := get_close_matches(stage, VERBS, n=1, cutoff=0.75)):
        raise ConfigError(
            f"unknown stage {stage!r}", hint=f"did you mean the command: faprelease {near[0]} …"
        )
    refuse_unknown([stage], stages, file.where(STAGES), "stage")
    roles = stages[stage].roles
    if role is not None:
        refuse_unknown([role], roles, file.where(STAGES, stage), f"role of {stage}")
        return [role]
    if not roles:
        raise ConfigError(
            f"{file.where(STAGES, stage)}: {stage} has no roles", hint="add `web: {hosts: […]}`"
        )
    return list(roles)


def targets(
    file: DeployFile,
    stage: str,
    role: str | None,
    flags: Mapping[str, Any],
    plugin_keys: Mapping[str, Key],
    needs: Needs = EVERYTHING,
) -> list[Target]:
    """Return a target for each host of each role, from the layers flag > host > role > stage > file >
    default.

    The flag `hosts` chooses hosts of the file, by name or pattern (`web*`); `!web2` leaves hosts out. If it
    names only hosts that are not in the file, they replace those of the role, which must be named. Raises
    ConfigError for missing hosts, and for what the command `needs`: valid values, and a folder for each role.
    """
    known = {**CORE, **plugin_keys}
    scopes = {
        name: Scope(file, known, stage, name, flags) for name in roles_of(file, stage, role, plugin_keys)
    }
    all_hosts = hosts = {name: scope.hosts() for name, scope in scopes.items()}
    if "hosts" in flags:
        hosts = _choose(flags["hosts"], hosts, stage)
    result = [
        target
        for name, entries in hosts.items()
        for target in _targets_of(scopes[name], entries, all_hosts[name], needs)
    ]
    if needs.is_acting:
        _refuse_shared_folders(file, result)
    return result


def _choose(
    words: Sequence[str], hosts: Mapping[str, list[HostEntry]], stage: str
) -> dict[str, list[HostEntry]]:
    known = list(dict.fromkeys(entry.name for entries in hosts.values() for entry in entries))
    left_out, words = [word[1:] for word in words if word.startswith("!")], [w for w in words if w[:1] != "!"]
    unknown_words = [
        word
        for word in (*words, *left_out)
        if not any(_is_called(entry, word) for entries in hosts.values() for entry in entries)
    ]
    if (
        words
        and unknown_words == words
        and not left_out
        and len(hosts) == 1
        and not any(_is_pattern(word) for word in words)
    ):
        return {role: [layers.host_entry(word, "--hosts") for word in dict.fromkeys(words)] for role in hosts}
    if unknown_words:
        roles = ", ".join(hosts)
        raise ConfigError(
            f"--hosts: {stage} ({roles}) has no host {unknown_words[0]!r}",
            hint=f"choose from: {', '.join(known)}; a host that is not in deploy.yml needs a ROLE",
        )
    chosen = {
        role: [
            entry
            for entry in entries
            if (not words or any(_is_called(entry, word) for word in words))
            and not any(_is_called(entry, word) for word in left_out)
        ]
        for role, entries in hosts.items()
    }
    if not any(chosen.values()):
        raise ConfigError("--hosts: no host is left", hint=f"choose from: {', '.join(known)}")
    return {role: entries for role, entries in chosen.items() if entries}


def _is_called(entry: HostEntry, word: str) -> bool:
    return any(name == word or fnmatchcase(name, word) for name in entry.words)


def _is_pattern(word: str) -> bool:
    return any(letter in word for letter in "*?[") and not word.startswith("[")


def _targets_of(
    scope: Scope, hosts: list[HostEntry], all_hosts: list[HostEntry], needs: Needs
) -> list[Target]:
    """The targets of a role on `hosts`, which were chosen from `all_hosts`."""
    in_role = scope.effective()
    _refuse_wrong(in_role, needs)
    values, stage, role = {**_DEFAULTS, **in_role.usable}, scope.stage, scope.role
    if not values["app_name"]:
        raise ConfigError(f"{scope.file.name} has no app_name", hint="add a line `app_name: NAME`")
    where = "--hosts" if "hosts" in scope.flags else scope.hosts_place()
    if not hosts and values["connection"] == "local":
        hosts = [layers.host_entry("localhost", where)]
    if not hosts and values["manager"] == "converge":
        raise ConfigError(
            f"{where}: {stage} {role} has no hosts in deploy.yml: they converge by themselves",
            hint=f"see what they run: faprelease status --store {stage} {role}",
        )
    if not hosts:
        raise ConfigError(
            f"{where}: {stage} {role} has no hosts",
            hint="add `hosts: [web1.example.com]`, or `connection: local` to release on this machine",
        )
    names = [entry.name for entry in hosts]
    has_schedules = needs.is_acting and bool(values["schedules"])
    runs_schedules = _schedules_host(
        values["schedules_host"],
        all_hosts or hosts,
        in_role.origins["schedules_host"],
        must_be=needs.use == "release" or has_schedules,
    )
    if values["connection"] == "local" and len(names) > 1:
        raise ConfigError(
            f"{where}: {' and '.join(names)} would all be this machine (connection: local)",
            hint="remove the hosts, or use connection: ssh",
        )
    result = []
    for entry in hosts:
        in_host = scope.effective(entry) if entry.layer.values else in_role
        _refuse_wrong(in_host, needs)
        result.append(_target(entry, in_host, names, where, runs_schedules))
    return result


def _refuse_wrong(effective: Effective, needs: Needs) -> None:
    wrong = [problem for problem in effective.problems if needs.are_broken_by_key(problem.key)]
    if wrong:
        raise together(wrong)


def _schedules_host(wanted: str, hosts: list[HostEntry], origin: str, *, must_be: bool) -> str:
    """The host of a role that runs its schedules, whichever hosts a flag chose. If it `must_be` one of the
    role, raises ConfigError for another."""
    names = [entry.name for entry in hosts if not wanted or wanted in entry.words]
    if not names and must_be:
        raise ConfigError(
            f"{origin}: schedules_host: {wanted!r} is not a host of this role",
            hint=f"one of: {', '.join(entry.name for entry in hosts)}",
        )
    return names[0] if names else hosts[0].name


def _target(
    entry: HostEntry, in_host: Effective, names: list[str], where: str, runs_schedules: str
) -> Target:
    values = in_host.usable
    core = {name: value for name, value in values.items() if name in Settings.__struct_fields__}
    settings = Settings(**{**core, "schedules_host": runs_schedules}, hosts=names)
    return Target(
        host=entry.name,
        settings=settings,
        layout=Layout(settings.path, settings.current_path, settings.releases_path, settings.shared_path),
        plugin_values={name: value for name, value in values.items() if name not in core},
        address=entry.address,
        origins={**in_host.origins, "hosts": where},
    )


def with_environment(targets: list[Target], file: DeployFile) -> list[Target]:
    """Return the targets with the values of their environment. Raises as `environment.resolve`, and
    UntrustedError if a command would print one in a checkout that is not trusted."""
    for target in targets:
        for name, value in target.settings.environment.items():
            if isinstance(value, environment.Source) and value.command:
                where = target.origins.get(f"environment.{name}", file.name)
                checkout.refuse_untrusted(file, f"{where}: {name}: the command {shlex.join(value.command)}")
    values = environment.resolve(
        [(target.settings.environment, target.origins) for target in targets], Path(file.name).parent
    )
    return [
        replace(target, settings=msgspec.structs.replace(target.settings, environment=dict(own)))
        for target, own in zip(targets, values, strict=True)
    ]


def _refuse_shared_folders(file: DeployFile, targets: list[Target]) -> None:
    owners: dict[tuple[str, str], str] = {}
    for target in targets:
        machine = "this machine" if target.settings.connection == "local" else target.host
        place = (machine, normpath(target.layout.path))
        other = owners.setdefault(place, target.settings.role)
        if other != target.settings.role:
            raise ConfigError(
                f"{file.name}: roles {other} and {target.settings.role} share {place[1]} on {place[0]}",
                hint="give each role a folder: path: /home/%(sudo_user)s/www/%(app_name)s-%(role)s\n"
                f"or name one role: {target.settings.stage} {other}",
            )
