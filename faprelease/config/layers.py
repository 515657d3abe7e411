"""How deploy.yml is layered: the file's top, a stage, a role, a host, and flags over all. Pure.

Below a stage, a mapping is a role, and anything else under a known key is a value for all roles of the
stage; `environment`, whose value is a mapping itself, is always a value.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from faprelease.config import environment, settings
from faprelease.config.deployfile import DeployFile, KeyPath, expand, unknown
from faprelease.config.keys import Key, WrongValueError
from faprelease.errors import ConfigError
from faprelease.transports import address

Keys = Mapping[str, Key]
STAGES = "stage_role_configs"


@dataclass(frozen=True)
class Layer:
    """Some keys and their values, and the path below which they stand in the file."""

    place: KeyPath
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Stage:
    """One stage: the values of all its roles, and each role's own."""

    layer: Layer
    roles: Mapping[str, Layer]


@dataclass(frozen=True)
class HostEntry:
    """One item of `hosts`: the name it has in reports, where ssh finds it, and its own values."""

    name: str
    address: str
    layer: Layer

    @property
    def words(self) -> set[str]:
        """What `--hosts` may call it."""
        return {self.name, self.address}


@dataclass(frozen=True)
class InForce:
    """The values of all keys for one role or host, of the right kind, and where each was said."""

    values: dict[str, Any]
    origins: dict[str, str]
    problems: list[ConfigError] = field(default_factory=list)


def top(file: DeployFile) -> Layer:
    """What the file says for all stages."""
    return Layer((), {str(key): value for key, value in file.values.items() if key != STAGES})


def stages(file: DeployFile, keys: Keys) -> dict[str, Stage]:
    """The file's stages, without what `misplaced` tells about."""
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
    if name in keys:
        return isinstance(value, dict) and not keys[name].is_mapping and name != "hosts"
    return isinstance(value, dict) or value is None


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def everything_said(file: DeployFile) -> Iterator[tuple[KeyPath, Any]]:
    """Each key of the top, of stages and of roles, by its place, with its value, whatever it is."""
    yield from (((str(key),), value) for key, value in file.values.items() if key != STAGES)
    for stage, entries in _mapping(file.values.get(STAGES)).items():
        for entry, value in _mapping(entries).items():
            yield (STAGES, str(stage), str(entry)), value
            for key, own in _mapping(value).items():
                yield (STAGES, str(stage), str(entry), str(key)), own


def misplaced(file: DeployFile, keys: Keys) -> Iterator[ConfigError]:
    """What in the file is no key, no stage and no role."""
    yield from _unknown(file, top(file), {*keys, STAGES})
    all_stages = file.values.get(STAGES)
    if not isinstance(all_stages or {}, dict):
        yield ConfigError(
            f"{file.where(STAGES)}: {STAGES} is not a mapping",
            hint=f"{STAGES}: {{production: {{web: {{hosts: [web1]}}}}}}",
        )
    for name, entries in _mapping(all_stages).items():
        if not isinstance(entries or {}, dict) and not str(name).startswith("x-"):
            yield ConfigError(
                f"{file.where(STAGES, str(name))}: stage {name} has no roles",
                hint="add a role: web: {hosts: […]}",
            )
    for name, stage in stages(file, keys).items():
        for key, value in stage.layer.values.items():
            if key not in keys and not key.startswith("x-"):
                error = unknown(key, keys, file.where(*stage.layer.place, key))
                hint = f"{error.hint} A role of {name} is written as `{key}: {{hosts: […]}}`"
                said = f"{key} has no settings" if isinstance(value, str) else f"unknown key {key!r}"
                yield ConfigError(f"{file.where(*stage.layer.place, key)}: {said}", hint=hint)
        for role in stage.roles.values():
            yield from _unknown(file, role, keys)
    for layer in _all_layers(file, keys):
        yield from _misplaced_hosts(file, layer, keys)


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
    """Each item of a layer's `hosts`: its place, name and values. A mapping of hosts, or a list of names
    and of mappings; anything else is one name."""
    said, place = layer.values.get("hosts"), (*layer.place, "hosts")
    for number, item in enumerate(said if isinstance(said, list) else [said]):
        at = (*place, str(number)) if isinstance(said, list) else place
        if isinstance(item, dict):
            yield from (((*at, str(name)), name, values) for name, values in item.items())
        elif item is not None:
            yield at, item, None


def host_entry(text: Any, where: str, layer: Layer | None = None) -> HostEntry:
    """Read a host as `transports.address` does; a user or port in it wins. Raises ConfigError."""
    try:
        named = address.parse(str(text))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}", hint=error.hint) from None
    if named.host.startswith("-") or not named.host.isprintable() or not named.host or " " in named.host:
        raise ConfigError(
            f"{where}: {text!r} is not a valid host", hint="write hosts as for ssh: [web1, web2]"
        )
    layer = layer or Layer((), {})
    given = {"user": named.user, "port": named.port}
    values = {**layer.values, **{key: value for key, value in given.items() if value}}
    return HostEntry(address.joined(named.host, named.port), named.host, Layer(layer.place, values))


@dataclass(frozen=True)
class Scope:
    """One role of one stage, and the flags that win over what the file says of it."""

    file: DeployFile
    keys: Keys
    stage: str
    role: str
    flags: Mapping[str, Any]

    @cached_property
    def layers(self) -> list[Layer]:
        """The outermost first."""
        said = {} if self.stage.startswith("x-") else _mapping(self.file.values.get(STAGES))
        entries = next((value for name, value in said.items() if str(name) == self.stage), None)
        # Of hundreds of roles, the others have no say.
        matter = {self.role, *self.keys}
        own = {name: value for name, value in _mapping(entries).items() if str(name) in matter}
        stage = _stage(self.stage, own, self.keys)
        return [top(self.file), stage.layer, stage.roles.get(self.role, Layer((), {}))]

    def hosts(self) -> list[HostEntry]:
        """The hosts that the innermost layer names; raises ConfigError for what can't be a host."""
        said = [layer for layer in self.layers if layer.values.get("hosts") is not None]
        names = self.in_force().values
        found: dict[str, HostEntry] = {}
        for place, name, values in _host_items(said[-1]) if said else ():
            text = expand({**names, "hosts": name}, names, self.file)["hosts"]
            entry = host_entry(text, self.file.where(*place), Layer(place, _mapping(values)))
            found.setdefault(entry.name, entry)
        return list(found.values())

    def hosts_place(self) -> str:
        """Where the hosts stand, or the role if it has none."""
        said = [layer for layer in self.layers if "hosts" in layer.values]
        return (
            self.file.where(*said[-1].place, "hosts")
            if said
            else self.file.where(STAGES, self.stage, self.role)
        )

    def in_force(self, host: HostEntry | None = None) -> InForce:
        """The values of all keys but `hosts`, for the role or one of its hosts, and all that is wrong with
        them."""
        return _in_force(self, [*self.layers, host.layer]) if host else self._in_role

    @cached_property
    def _in_role(self) -> InForce:
        return _in_force(self, self.layers)


def _in_force(scope: Scope, layers: list[Layer]) -> InForce:
    file, keys = scope.file, scope.keys
    merged = {name: key.default for name, key in keys.items() if name != "hosts"}
    places: dict[str, KeyPath] = {}
    for layer in layers:
        for name, value in layer.values.items():
            if name in merged and value is not None:
                merged[name] = value
                places[name] = (*layer.place, name)
    taken = {name: value for name, value in scope.flags.items() if name in merged}
    named = {**merged, **taken, "stage": scope.stage, "role": scope.role}
    expanded = expand(named, taken, file)
    found = InForce({"stage": scope.stage, "role": scope.role}, {})
    for name in merged:
        place = () if name in taken else places.get(name, ())
        found.origins[name] = f"--{name.replace('_', '-')}" if name in taken else "default"
        if place:
            found.origins[name] = file.where(*place)
        _read(file, keys[name], expanded[name], place, found)
    for name, said, hint in settings.conflicts(found.values):
        found.problems.append(ConfigError(f"{found.origins[name]}: {said}", hint=hint))
    # A default is only wrong by what it names, and that is told already.
    told = [error for error in found.problems if not error.message.startswith("default: ")]
    return replace(found, problems=told or found.problems)


def _read(file: DeployFile, key: Key, value: Any, place: KeyPath, found: InForce) -> None:
    """Take one value into `found`, with what is wrong about it."""
    origin = found.origins[key.name]
    try:
        typed = found.values[key.name] = key.read(value)
    except WrongValueError as error:
        where = file.where(*place, *error.at) if place else origin
        found.problems.append(ConfigError(f"{where}: {error.message}", hint=error.hint))
        return
    for said, hint in settings.problems(key.name, typed):
        found.problems.append(ConfigError(f"{origin}: {key.name}: {said}", hint=hint))
    if key.is_mapping and place:
        for item in typed:
            found.origins[f"{key.name}.{item}"] = file.where(*place, item)
    if key.name == "environment":
        for item, said, hint in environment.problems(typed, _written(file, place)):
            where = found.origins.get(f"environment.{item}", origin)
            found.problems.append(ConfigError(f"{where}: environment: {said}", hint=hint))


def _written(file: DeployFile, place: KeyPath) -> dict[str, str]:
    """How the values of a mapping's entries are written, where that says more than the value."""
    return {path[-1]: text for path, text in file.written.items() if place and path[:-1] == place}
