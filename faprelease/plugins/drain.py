"""Takes a host out of its load balancers before it publishes, and back in when its health check passed."""

import shlex
from collections.abc import Iterator
from typing import Annotated

import msgspec

from faprelease.config.keys import about
from faprelease.errors import ConfigError
from faprelease.plugins.hooks import Context, hookimpl
from faprelease.steps.model import Step


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Shell commands that the host itself runs, as the app's user. Both may run twice. FAP_HOST is the name
    of the host in deploy.yml."""

    drain_command: Annotated[str, about("command that the host runs before it publishes")] = ""
    undrain_command: Annotated[str, about("command that the host runs once its checks have passed")] = ""
    drain_seconds: Annotated[int, about("time limit of each of the two, in seconds")] = 60


@hookimpl
def deploy_draining(context: Context) -> Iterator[Step]:
    yield _run(context, "drain the host", context.options(Options).drain_command)


@hookimpl
def deploy_undraining(context: Context) -> Iterator[Step]:
    yield _run(context, "undrain the host", context.options(Options).undrain_command)


def _run(context: Context, title: str, command: str) -> Step:
    options = context.options(Options)
    if not (options.drain_command and options.undrain_command):
        raise ConfigError(
            "the plugin drain needs drain_command and undrain_command",
            hint="for example: drain_command: touch ~/drained, undrain_command: rm -f ~/drained",
        )
    script = f"export FAP_HOST={shlex.quote(context.target.host)}\n{command}"
    return Step(title=f"{title}: {command}", script=script, limit=options.drain_seconds)
