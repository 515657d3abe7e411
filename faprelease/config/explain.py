"""deploy.yml explained: all its keys, and what is in force where, and where each value was said. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from faprelease.config.environment import Source
from faprelease.config.keys import Key
from faprelease.config.target import CORE, Target

REDACTED = "***"
Row = dict[str, Any]


def all_keys(plugin_keys: Mapping[str, Key]) -> list[Row]:
    """Every key: its name, what it must be, its default, what it is for, and who brings it."""
    return [
        {
            "key": key.name,
            "is": key.expected,
            "default": key.default,
            "about": key.about,
            "plugin": key.owner,
        }
        for key in {**CORE, **plugin_keys}.values()
    ]


def in_force(target: Target, plugin_keys: Mapping[str, Key], always: Collection[str]) -> Row:
    """What is in force for one host of one role: `{"values": {key: {"value": …, "from": …}}}`.

    Values of the environment, and what opens a URL, are masked. Keys of plugins that the role does not name
    are left out unless they are set or the plugin is one that every role has (`always`).
    """
    values: dict[str, Row] = {}
    for name, key in {**CORE, **plugin_keys}.items():
        origin = target.origins.get(name, "default")
        if origin == "default" and key.owner not in ("", *always) and not _names(target, key.owner):
            continue
        found = getattr(target.settings, name) if name in CORE else target.plugin_values[name]
        if key.is_mapping:
            for entry, value in found.items():
                shown = f"{REDACTED} {value}" if isinstance(value, Source) else _shown(key, value)
                where = target.origins.get(f"{name}.{entry}", origin)
                values[f"{name}.{entry}"] = {"value": shown, "from": where}
        else:
            values[name] = {"value": _shown(key, found), "from": origin}
    settings = target.settings
    return {"stage": settings.stage, "role": settings.role, "host": target.host, "values": values}


def _names(target: Target, plugin: str) -> bool:
    settings = target.settings
    lists = [settings.plugins, *(getattr(settings, name) or [] for name in CORE if name.endswith("_plugins"))]
    return any(name.rpartition(".")[2] == plugin for names in lists for name in names)


def _shown(key: Key, value: Any) -> Any:
    return key.redacted(value)


def as_text(rows: Iterable[Row]) -> Iterator[str]:
    """Lines for people: for each role what all its hosts have in common, then what each has alone."""
    roles: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        roles.setdefault((row["stage"], row["role"]), []).append(row)
    for (stage, role), hosts in roles.items():
        common = {
            name: entry
            for name, entry in hosts[0]["values"].items()
            if all(host["values"].get(name) == entry for host in hosts)
        }
        yield f"{stage} {role}"
        yield from _table(common)
        for host in hosts:
            own = {name: entry for name, entry in host["values"].items() if name not in common}
            if own:
                yield f"{stage} {role}, only {host['host']}"
                yield from _table(own)


def _table(values: Mapping[str, Row]) -> Iterator[str]:
    lines = [(name, _said(entry["value"]), entry["from"]) for name, entry in values.items()]
    first = max((len(name) for name, _, _ in lines), default=0)
    second = min(max((len(value) for _, value, _ in lines), default=0), 48)
    for name, value, origin in lines:
        yield f"  {name:<{first}}  {value:<{second}}  {origin}"


def _said(value: Any) -> str:
    """As deploy.yml could say it, on one line."""
    if isinstance(value, str) and value and value.isprintable() and value == value.strip():
        return value
    return msgspec.json.encode(value).decode()


def keys_as_text(rows: Iterable[Row]) -> Iterator[str]:
    """Lines for people: the core's keys, then those of each plugin."""
    owner = None
    for row in rows:
        if row["plugin"] != owner:
            owner = row["plugin"]
            yield (
                f"# keys of the plugin {owner}"
                if owner
                else "# keys of faprelease; as flags: --keep-releases 3"
            )
        about = f": {row['about']}" if row["about"] else ""
        yield f"{row['key']}, {row['is']} ({_said(row['default'])}){about}"
