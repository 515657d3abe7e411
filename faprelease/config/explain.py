"""The keys of deploy.yml, and the effective settings with the places where they were set. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from faprelease.config.environment import Source
from faprelease.config.keys import Key
from faprelease.config.target import CORE, Target

REDACTED = "***"
Row = dict[str, Any]


def all_keys(plugin_keys: Mapping[str, Key]) -> list[Row]:
    """Every key: its name, its kind, its default, its description, and the plugin that adds it."""
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


def effective(target: Target, plugin_keys: Mapping[str, Key], always: Collection[str]) -> Row:
    """The effective settings of one host of one role: `{"values": {key: {"value": …, "from": …}}}`.

    Values of the environment and secrets in URLs are redacted. Keys of plugins that the role does not use are
    left out, unless they are set or every role has the plugin (`always`).
    """
    values: dict[str, Row] = {}
    for name, key in {**CORE, **plugin_keys}.items():
        origin = target.origins.get(name, "default")
        if origin == "default" and key.owner not in ("", *always) and not _names(target, key.owner):
            continue
        setting = getattr(target.settings, name) if name in CORE else target.plugin_values[name]
        if key.is_mapping:
            for entry, value in setting.items():
                shown = f"{REDACTED} {value}" if isinstance(value, Source) else _shown(key, value)
                where = target.origins.get(f"{name}.{entry}", origin)
                values[f"{name}.{entry}"] = {"value": shown, "from": where}
        else:
            values[name] = {"value": _shown(key, setting), "from": origin}
    settings = target.settings
    return {"stage": settings.stage, "role": settings.role, "host": target.host, "values": values}


def _names(target: Target, plugin: str) -> bool:
    settings = target.settings
    lists = [settings.plugins, *(getattr(settings, name) or [] for name in CORE if name.endswith("_plugins"))]
    return any(name.rpartition(".")[2] == plugin for names in lists for name in names)


def _shown(key: Key, value: Any) -> Any:
    return key.redacted(value)


def as_text(rows: Iterable[Row]) -> Iterator[str]:
    """Lines for people: for each role the settings common to all its hosts, then those of single hosts."""
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
    """The value as deploy.yml could spell it, on one line."""
    if isinstance(value, str) and value and value.isprintable() and value == value.strip():
        return value
    return msgspec.json.encode(value).decode()


def keys_as_text(rows: Iterable[Row]) -> Iterator[str]:
    """Lines for people: the keys of the core, then those of each plugin."""
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
