"""The layers of deploy.yml: the top of the file, a stage, a role, a host, and flags over all. Pure.

Below a stage, a mapping is a role, and any other value of a known key applies to all roles of the stage. A
key whose value is a mapping, like `environment`, is always a setting.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from faprelease.config import environment, settings
from faprelease.config.deployfile import DeployFile, KeyPath, expand, unknown
from faprelease.config.keys import Key, WrongValueError
from faprelease.config.needs import Mistake, SettingError
from faprelease.errors import ConfigError
from faprelease.transports import address

Keys = Mapping[str, Key]
STAGES = "stage_role_configs"


@dataclass(frozen=True)
class Layer:
    """Some keys with their values, and their path in the file."""

    place: KeyPath
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Stage:
    """One stage: the values for all its roles, and the values of each role."""

    layer: Layer
    roles: Mapping[str, Layer]


@dataclass(frozen=True)
class HostEntry:
    """One item of `hosts`: its name in reports, its address for ssh, and its own values."""

    name: str
    address: str
    layer: Layer

    @property
    def words(self) -> set[str]:
        """The names that `--hosts` accepts for it."""
        return {self.name, self.address}


@dataclass(frozen=True)
class Effective:
    """The effective values of all keys for one role or host, converted, and where each was set."""

    values: dict[str, Any]
    origins: dict[str, str]
    problems: list[SettingError] = field(default_factory=list)

    @property
    def usable(self) -> dict[str, Any]:
        """The values without wrong ones: those keys have their defaults."""
        wrong = {problem.key for problem in self.problems if not problem.usable}
        return {key: value for key, value in self.values.items() if key not in wrong}


def top(file: DeployFile) -> Layer:
    """The values for all stages."""
    return Layer((), {str(key): value for key, value in file.values.items() if key != STAGES})


def stages(file: DeployFile, keys: Keys) -> dict[str, Stage]:
    """The stages of the file, without the parts that `misplaced` reports."""
    return {
        str(name): _stage(str(name), entries, keys)
        for name, entries in _mapping(file.values.get(STAGES)).items()
        if not str(name).startswith("x-")
    }


def _stage(name: str, entries: Any, keys: Keys) -> Stage:
    place = (STAGES, name)
    own, roles = {}, {}
    for entry, value in _mapping(entries).items():
        if _is_role(str(entry), value, keys):
            roles[str(entry)] = Layer((*place, str(entry)), _mapping(value))
        else:
            own[str(entry)] = value
    return Stage(Layer(place, own), roles)


def _is_role(name: str, value: Any, keys: Keys) -> bool:
    if name.startswith("x-"):
        return False
    if name == "schedules" and isinstance(value, dict) and isinstance(value.get("hosts"), list | str):
        return True  # a schedule is a mapping, so this is the role of an old file
    if name in keys:
        return isinstance(value, dict) and not keys[name].is_mapping and name != "hosts"
    return isinstance(value, dict) or value is None


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def every_key(file: DeployFile) -> Iterator[tuple[KeyPath, Any]]:
    """Every key of the top, the stages and the roles, as its path, with its value, unchecked."""
    yield from (((str(key),), value) for key, value in file.values.items() if key != STAGES)
    for stage, entries in _mapping(file.values.get(STAGES)).items():
        for entry, value in _mapping(entries).items():
            yield (STAGES, str(stage), str(entry)), value
            for key, own in _mapping(value).items():
                yield (STAGES, str(stage), str(entry), str(key)), own


def own_keys(file: DeployFile, keys: Keys) -> Iterator[str]:
    """The names of all keys of the top, the stages, the roles and their hosts, without those that begin with
    `x-`. `keys` are the known ones."""
    for layer in _all_layers(file, keys):
        for values in (layer.values, *(_mapping(values) for _, _, values in _host_items(layer))):
            yield from (str(name) for name in values if not str(name).startswith("x-"))


def misplaced(file: DeployFile, keys: Keys) -> Iterator[Mistake]:
    """Everything in the file that is not a key, a stage or a role."""
    all_stages = file.values.get(STAGES)
    if not isinstance(all_stages or {}, dict):
        yield Mistake(
            ConfigError(
                f"{file.where(STAGES)}: {STAGES} is not a mapping",
                hint=f"{STAGES}: {{production: {{web: {{hosts: [web1]}}}}}}",
            )
        )
    for name, entries in _mapping(all_stages).items():
        if not isinstance(entries or {}, dict) and not str(name).startswith("x-"):
            error = ConfigError(
                f"{file.where(STAGES, str(name))}: stage {name} has no roles",
                hint="add a role: web: {hosts: […]}",
            )
            yield Mistake(error, str(name))
    for layer in _all_layers(file, keys):
        stage, role = (*layer.place[1:], "", "")[:2]
        unknown_keys = (
            _unknown_in_stage(file, stage, layer, keys)
            if stage and not role
            else _unknown(file, layer, keys if stage else {*keys, STAGES})
        )
        for error in (*unknown_keys, *_misplaced_hosts(file, layer, keys)):
            yield Mistake(error, stage, role)


def _unknown_in_stage(file: DeployFile, stage: str, layer: Layer, keys: Keys) -> Iterator[ConfigError]:
    for key, value in layer.values.items():
        if key not in keys and not key.startswith("x-"):
            error = unknown(key, keys, file.where(*layer.place, key))
            hint = f"{error.hint} A role of {stage} is written as `{key}: {{hosts: […]}}`"
            problem = f"{key} has no settings" if isinstance(value, str) else f"unknown key {key!r}"
            yield ConfigError(f"{file.where(*layer.place, key)}: {problem}", hint=hint)


def _all_layers(file: DeployFile, keys: Keys) -> Iterator[Layer]:
    yield top(file)
    for stage in stages(file, keys).values():
        yield stage.layer
        yield from stage.roles.values()


def _unknown(file: DeployFile, layer: Layer, known: Any) -> Iterator[ConfigError]:
    for key in layer.values:
        if not str(key).startswith("x-") and str(key) not in known:
            yield unknown(str(key), known, file.where(*layer.place, str(key)))


def _misplaced_hosts(file: DeployFile, layer: Layer, keys: Keys) -> Iterator[ConfigError]:
    for place, name, values in _host_items(layer):
        if not isinstance(name, str) or not isinstance(values or {}, dict):
            yield ConfigError(
                f"{file.where(*place)}: hosts: {name!r} is not a valid host",
                hint="hosts: [web1, web2]; or, with values for one host: [web1, {web2: {port: 2222}}]",
            )
            continue
        known = keys.keys() - settings.ONE_FOR_A_ROLE
        for key in map(str, values or {}):
            if key in settings.ONE_FOR_A_ROLE:
                yield ConfigError(
                    f"{file.where(*place, key)}: {key} must be the same on all hosts of a role",
                    hint="set it for the role",
                )
            elif key not in known and not key.startswith("x-"):
                yield unknown(key, known, file.where(*place, key))


def _host_items(layer: Layer) -> Iterator[tuple[KeyPath, Any, Any]]:
    """Each item of a layer's `hosts`, as path, name and values. `hosts` is a mapping, or a list of names and
    mappings; anything else is one name."""
    hosts, place = layer.values.get("hosts"), (*layer.place, "hosts")
    for number, item in enumerate(hosts if isinstance(hosts, list) else [hosts]):
        at = (*place, str(number)) if isinstance(hosts, list) else place
        if isinstance(item, dict):
            yield from (((*at, str(name)), name, values) for name, values in item.items())
        elif item is not None:
            yield at, item, None


def host_entry(text: Any, where: str, layer: Layer | None = None) -> HostEntry:
    """Read a host as `transports.address` does; a user or port in it wins over `layer`. Raises
    ConfigError."""
    try:
        parsed = address.parse(str(text))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}", hint=error.hint) from None
    if parsed.host.startswith("-") or not parsed.host.isprintable() or not parsed.host or " " in parsed.host:
        raise ConfigError(
            f"{where}: {text!r} is not a valid host", hint="write hosts as for ssh: [web1, web2]"
        )
    layer = layer or Layer((), {})
    explicit = {"user": parsed.user, "port": parsed.port}
    values = {**layer.values, **{key: value for key, value in explicit.items() if value}}
    return HostEntry(address.joined(parsed.host, parsed.port), parsed.host, Layer(layer.place, values))


@dataclass(frozen=True)
class Scope:
    """One role of one stage, and the flags that win over the file."""

    file: DeployFile
    keys: Keys
    stage: str
    role: str
    flags: Mapping[str, Any]

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers of the role, the outermost first."""
        stages = {} if self.stage.startswith("x-") else _mapping(self.file.values.get(STAGES))
        entries = next((value for name, value in stages.items() if str(name) == self.stage), None)
        # Skip the other roles; there may be hundreds.
        relevant = {self.role, *self.keys}
        own = {name: value for name, value in _mapping(entries).items() if str(name) in relevant}
        stage = _stage(self.stage, own, self.keys)
        return [top(self.file), stage.layer, stage.roles.get(self.role, Layer((), {}))]

    def hosts(self) -> list[HostEntry]:
        """The hosts of the innermost layer that has any. Raises ConfigError for an invalid host."""
        layers = [layer for layer in self.layers if layer.values.get("hosts") is not None]
        names = self.effective().values
        entries: dict[str, HostEntry] = {}
        for place, name, values in _host_items(layers[-1]) if layers else ():
            text = expand({**names, "hosts": name}, names, self.file)["hosts"]
            entry = host_entry(text, self.file.where(*place), Layer(place, _mapping(values)))
            entries.setdefault(entry.name, entry)
        return list(entries.values())

    def hosts_place(self) -> str:
        """The file and line of the hosts, or of the role if it has none."""
        layers = [layer for layer in self.layers if "hosts" in layer.values]
        return (
            self.file.where(*layers[-1].place, "hosts")
            if layers
            else self.file.where(STAGES, self.stage, self.role)
        )

    def effective(self, host: HostEntry | None = None) -> Effective:
        """The effective values of all keys but `hosts`, for the role or one of its hosts, with all
        problems."""
        return _in_force(self, [*self.layers, host.layer]) if host else self._in_role

    @cached_property
    def _in_role(self) -> Effective:
        return _in_force(self, self.layers)


def _in_force(scope: Scope, layers: list[Layer]) -> Effective:
    file, keys = scope.file, scope.keys
    merged = {name: key.default for name, key in keys.items() if name != "hosts"}
    places: dict[str, KeyPath] = {}
    for layer in layers:
        for name, value in layer.values.items():
            if name in merged and value is not None:
                merged[name] = value
                places[name] = (*layer.place, name)
    flags = {name: value for name, value in scope.flags.items() if name in merged}
    named = {**merged, **flags, "stage": scope.stage, "role": scope.role}
    expanded = expand(named, flags, file)
    result = Effective({"stage": scope.stage, "role": scope.role}, {})
    for name in merged:
        place = () if name in flags else places.get(name, ())
        result.origins[name] = f"--{name.replace('_', '-')}" if name in flags else "default"
        if place:
            result.origins[name] = file.where(*place)
        _read(file, keys[name], expanded[name], place, result)
    for name, message, hint in settings.conflicts(result.values):
        problem = f"{result.origins[name]}: {message}"
        result.problems.append(SettingError(problem, hint=hint, key=name, usable=True))
    # A default is only wrong because of a value that it refers to, and that one is reported already.
    problems = [error for error in result.problems if not error.message.startswith("default: ")]
    return replace(result, problems=problems or result.problems)


def _read(file: DeployFile, key: Key, value: Any, place: KeyPath, result: Effective) -> None:
    """Convert one value into `result`, with its problems."""
    origin = result.origins[key.name]
    try:
        typed = result.values[key.name] = key.read(value)
    except WrongValueError as error:
        where = file.where(*place, *error.at) if place else origin
        result.problems.append(SettingError(f"{where}: {error.message}", hint=error.hint, key=key.name))
        return
    for message, hint in settings.problems(key.name, typed):
        result.problems.append(SettingError(f"{origin}: {key.name}: {message}", hint=hint, key=key.name))
    if key.is_mapping and place:
        for item in typed:
            result.origins[f"{key.name}.{item}"] = file.where(*place, item)
    if key.name == "environment":
        for item, message, hint in environment.problems(typed, _written(file, place)):
            where = result.origins.get(f"environment.{item}", origin)
            result.problems.append(SettingError(f"{where}: environment: {message}", hint=hint, key=key.name))


def _written(file: DeployFile, place: KeyPath) -> dict[str, str]:
    """The spelling in the file of a mapping's values that are not strings."""
    return {path[-1]: text for path, text in file.written.items() if place and path[:-1] == place}
