"""What a release is: its artifact and its configuration, each by a digest. Pure.

Configuration enters by an HMAC with a key that lies on the hosts: the same digest means the same
configuration, and nobody who reads a record can try out passwords against it.
"""

import hashlib
import hmac
from typing import Any

import msgspec

from faprelease import environment
from faprelease.config import Target
from faprelease.hooks import Context, Plugins
from faprelease.strategies import curl


def config_digest(target: Target, plugins: Plugins, key: str) -> str:
    """64 hexadecimal digits for all that makes a release of the same artifact another one: environment,
    links, plugins and what they are told. `key` is hexadecimal too.

    What says where bytes come from does not count, nor what only concerns the walk (`batch`,
    `keep_releases`).
    """
    settings = target.settings
    context = Context(target, "release", "", "")
    options: dict[str, Any] = {}
    kinds: list[type[msgspec.Struct]] = [curl.Options, *plugins.option_kinds()]
    for kind in kinds:
        # A default that a later version adds is no change of configuration.
        values, defaults = msgspec.structs.asdict(context.options(kind)), msgspec.structs.asdict(kind())
        options |= {name: value for name, value in values.items() if value != defaults[name]}
    configuration = {
        "environment": {name: environment.text(value) for name, value in settings.environment.items()},
        "environment_file": settings.environment_file,
        "linked_files": sorted(settings.linked_files),
        "linked_dirs": sorted(settings.linked_dirs),
        "plugins": plugins.names(),
        "options": {name: value for name, value in options.items() if name not in curl.WHERE_FROM},
    }
    text = msgspec.json.encode(configuration, order="sorted")
    return hmac.new(bytes.fromhex(key), text, hashlib.sha256).hexdigest()
