"""The JSON Schema (2020-12) of deploy.yml, for editors and linters. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from faprelease.config.keys import Key
from faprelease.config.layers import STAGES
from faprelease.config.settings import ONE_FOR_A_ROLE
from faprelease.config.target import CORE, VERBS

Json = dict[str, Any]
_OWN: Json = {"^x-": {}}
_NAMED = {"type": "string", "pattern": r"%\(\w+\)s"}
"""A value of any kind may refer to another key."""


def schema(plugin_keys: Mapping[str, Key]) -> Json:
    """Return the schema of a deploy.yml whose plugins add these keys."""
    keys = {**CORE, **plugin_keys}
    schemas, definitions = msgspec.json.schema_components([key.kind for key in keys.values()])
    values = {name: _value(keys[name], value) for name, value in zip(keys, schemas, strict=True)}
    values["hosts"] = _hosts()
    refs = {name: {"$ref": f"#/$defs/key_{name}"} for name in values}
    role = _object(refs)
    stage = {
        "type": ["object", "null"],
        "properties": {
            name: ref
            if keys[name].is_mapping and name != "schedules"
            else {"anyOf": [ref, {"$ref": "#/$defs/role"}]}
            for name, ref in refs.items()
        },
        "patternProperties": _OWN,
        "additionalProperties": {"$ref": "#/$defs/role"},
    }
    stages = {
        "type": "object",
        "description": "stages, their roles, and their settings",
        "patternProperties": _OWN,
        "propertyNames": {"not": {"enum": sorted(VERBS)}},
        "additionalProperties": stage,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "deploy.yml of fapkit",
        **_object({**refs, STAGES: stages}),
        "type": "object",
        "$defs": {
            **definitions,
            **{f"key_{name}": value for name, value in values.items()},
            "role": role,
            "host": _object({name: ref for name, ref in refs.items() if name not in ONE_FOR_A_ROLE}),
        },
    }


def _object(properties: Json) -> Json:
    return {
        "type": ["object", "null"],
        "properties": properties,
        "patternProperties": _OWN,
        "additionalProperties": False,
    }


def _value(key: Key, schema: Json) -> Json:
    """The values that the file may have: null means that the key is not set; a list of one needs no
    brackets."""
    forms = [schema, {"type": "null"}]
    if key.is_list:
        forms += [{"type": ["string", "integer"]}]
    elif not key.is_mapping:
        forms += [_NAMED]
    return {"description": key.about, "default": msgspec.to_builtins(key.default), "anyOf": forms}


def _hosts() -> Json:
    own = {"type": "object", "additionalProperties": {"$ref": "#/$defs/host"}}
    return {
        "description": CORE["hosts"].about,
        "anyOf": [
            {"type": "array", "items": {"anyOf": [{"type": "string"}, own]}},
            own,
            {"type": ["string", "null"]},
        ],
    }
