"""All that a plugin imports: hooks, steps and the keys it adds to deploy.yml.

    from faprelease.plugin import Context, Step, command, hookimpl

    @hookimpl
    def deploy_published(context: Context) -> list[Step]:
        return [command("ask for the first page", "curl", "-fsS", "http://127.0.0.1:8000/")]

docs/reference/plugins.md lists the hooks. Everything here keeps its name and meaning within a major version.
"""

from artifact_store.core.hints import Hint
from faprelease.config.keys import about
from faprelease.config.settings import Settings
from faprelease.config.target import Target
from faprelease.errors import ConfigError, FapError
from faprelease.plugins.hooks import Context, LogLines, Notification, hookimpl
from faprelease.steps.layout import Layout
from faprelease.steps.model import Secret, Step, command
from faprelease.steps.place import Place

__all__ = [
    "ConfigError",
    "Context",
    "FapError",
    "Hint",
    "Layout",
    "LogLines",
    "Notification",
    "Place",
    "Secret",
    "Settings",
    "Step",
    "Target",
    "about",
    "command",
    "hookimpl",
]
