"""The digest of a release's configuration. Pure.

It is an HMAC with a key that is stored on the hosts. The same digest means the same configuration, and
someone who reads a record can't guess passwords with it.
"""

import hashlib
import hmac
from typing import Any

import msgspec

from faprelease.config.environment import values_of
from faprelease.config.settings import Settings
from faprelease.config.target import Target
from faprelease.plugins import curl, processes
from faprelease.plugins.hooks import Context, Plugins


def config_digest(target: Target, plugins: Plugins, key: str) -> str:
    """Return the digest of a configuration, in hexadecimal (as `key`): of environment, links, plugins and
    their options.

    It leaves out the source of the artifact, and settings of the run (`batch`, `keep_releases`). It is empty
    if the values of the environment are not resolved, as for a rollback.
    """
    settings = target.settings
    variables = values_of(settings.environment)
    if variables is None:
        return ""
    context = Context(target, "release", "", "")
    options: dict[str, Any] = {}
    kinds: list[type[msgspec.Struct]] = [curl.Options, *plugins.option_kinds()]
    for kind in kinds:
        # A default that a later version adds does not change the configuration.
        values, defaults = msgspec.structs.asdict(context.options(kind)), msgspec.structs.asdict(kind())
        options |= {name: value for name, value in values.items() if value != defaults[name]}
    configuration = {
        "environment": {name: _encodable(value) for name, value in variables.items()},
        "environment_file": settings.environment_file,
        "linked_files": sorted(settings.linked_files),
        "linked_dirs": sorted(settings.linked_dirs),
        **({"processes": list(processes.ports(settings))} if settings.processes else {}),
        **_handover(settings),
        **({"schedules": target.schedules, "timezone": settings.timezone} if target.schedules else {}),
        "plugins": plugins.names(),
        "options": {name: value for name, value in options.items() if name not in curl.WHERE_FROM},
    }
    encoded = msgspec.json.encode(configuration, order="sorted")
    return hmac.new(bytes.fromhex(key), encoded, hashlib.sha256).hexdigest()


def _handover(settings: Settings) -> dict[str, Any]:
    """The keys of the handover, as far as they are not the defaults."""
    names = ("processes_stop", "handover", "handover_keep", "handover_listen", "run_group")
    own, defaults = msgspec.structs.asdict(settings), msgspec.structs.asdict(Settings())
    return {name: own[name] for name in names if own[name] != defaults[name]}


def _encodable(value: str) -> str:
    """Escape bytes that are not UTF-8, which a file or command may give and JSON can't encode."""
    return value.encode(errors="surrogateescape").decode(errors="backslashreplace")
