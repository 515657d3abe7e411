"""What a release is: its artifact and its configuration, each by a digest. Pure.

Configuration enters by an HMAC with a key that lies on the hosts: the same digest means the same
configuration, and nobody who reads a record can try out passwords against it.
"""

import hashlib
import hmac
from typing import Any

import msgspec

from faprelease.config.environment import values_of
from faprelease.config.target import Target
from faprelease.plugins import curl, processes
from faprelease.plugins.hooks import Context, Plugins


def config_digest(target: Target, plugins: Plugins, key: str) -> str:
    """64 hexadecimal digits for all that makes a release of the same artifact another one: environment,
    links, plugins and what they are told. `key` is hexadecimal too.

    What says where bytes come from does not count, nor what only concerns the run (`batch`,
    `keep_releases`). Empty while values of the environment have not been asked for: a rollback goes without.
    """
    settings = target.settings
    variables = values_of(settings.environment)
    if variables is None:
        return ""
    context = Context(target, "release", "", "")
    options: dict[str, Any] = {}
    kinds: list[type[msgspec.Struct]] = [curl.Options, *plugins.option_kinds()]
    for kind in kinds:
        # A default that a later version adds is no change of configuration.
        values, defaults = msgspec.structs.asdict(context.options(kind)), msgspec.structs.asdict(kind())
        options |= {name: value for name, value in values.items() if value != defaults[name]}
    configuration = {
        "environment": {name: _encodable(value) for name, value in variables.items()},
        "environment_file": settings.environment_file,
        "linked_files": sorted(settings.linked_files),
        "linked_dirs": sorted(settings.linked_dirs),
        **({"processes": list(processes.ports(settings))} if settings.processes else {}),
        "plugins": plugins.names(),
        "options": {name: value for name, value in options.items() if name not in curl.WHERE_FROM},
    }
    encoded = msgspec.json.encode(configuration, order="sorted")
    return hmac.new(bytes.fromhex(key), encoded, hashlib.sha256).hexdigest()


def _encodable(value: str) -> str:
    """JSON has no place for bytes that are no UTF-8; a file or command may yield them."""
    return value.encode(errors="surrogateescape").decode(errors="backslashreplace")
