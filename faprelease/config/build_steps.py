"""Refuses a deploy.yml that builds on hosts, and shows the settings of fapbuild to use instead.

Factor V of the twelve: a server compiles nothing and downloads nothing from a package index.
"""

import re
from collections.abc import Iterator
from typing import Any

from faprelease.config.deployfile import DeployFile
from faprelease.config.layers import every_key
from faprelease.config.plugin_names import named_plugins
from faprelease.errors import ConfigError

_REQUIREMENTS = """\
  [tool.fapbuild]
  requirements = "requirements.in"   # locked with hashes, vendored as wheels at build time
  lock = "requirements.txt\""""
_ASSETS = """\
  [[tool.fapbuild.assets]]
  name = "frontend"
  run = ["npm ci", "npm run build"]  # compiled once, in CI
  outputs = ["static/dist"]"""
_CODE = """\
  [tool.fapbuild]                    # `fapbuild pack` takes the committed files of the tree
  app = "%s\""""

_KINDS = {
    "git": (_CODE, "checks code out on the servers"),
    "virtualenv": (_REQUIREMENTS, "installs from an index on the servers"),
    "virtualenvwrapper": (_REQUIREMENTS, "installs from an index on the servers"),
    "virtualenvtools": (_REQUIREMENTS, "installs from an index on the servers"),
    "fis": (_ASSETS, "compiles assets on the servers"),
    "webpack": (_ASSETS, "compiles assets on the servers"),
}
_KEYS = {
    "repo": "git",
    "branch": "git",
    "git_": "git",
    "virtualenv_": "virtualenv",
    "virtualenvwrapper_": "virtualenvwrapper",
    "virtualenvtools_": "virtualenvtools",
    "fis_": "fis",
    "webpack_": "webpack",
}
_INDEX = re.compile(r"\b(pip3?|uv|npm|yarn)\s+(pip\s+)?(install|ci|sync)\b")


def refuse_build_steps(file: DeployFile) -> None:
    """Raise one ConfigError for all plugins, keys and install commands that build on a host."""
    problems: dict[str, str] = {}
    for place, value in every_key(file):
        for kind, what in _build_steps(place[-1], value):
            problems.setdefault(kind, f"{file.where(*place)}: {what} {_KINDS[kind][1]}")
    if problems:
        lines = dict.fromkeys(_KINDS[kind][0] for kind in problems)
        app = str(file.values.get("app_name", "NAME"))
        raise ConfigError(
            "\n".join([*problems.values(), "Build, release and run are separate (factor V)."]),
            hint="remove it, and put this into pyproject.toml:\n" + "\n".join(lines).replace("%s", app),
        )


def _build_steps(key: str, value: Any) -> Iterator[tuple[str, str]]:
    for plugin in named_plugins(key, value):
        for kind in _KINDS:
            if re.search(rf"(^|[._-]){kind}$", plugin):
                yield kind, f"the plugin {plugin!r}"
    for prefix, kind in _KEYS.items():
        if key == prefix or (prefix.endswith("_") and key.startswith(prefix)):
            yield kind, repr(key)
    if key == "curl_postinstall_script" and _INDEX.search(str(value)) and "--no-index" not in str(value):
        yield "virtualenv", repr(value)
