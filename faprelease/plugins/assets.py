"""Keeps hashed static files of earlier releases available, for pages that were loaded before the swap."""

import shlex
from collections.abc import Iterator
from typing import Annotated

import msgspec

from faprelease.config.keys import about
from faprelease.errors import ConfigError
from faprelease.plugins.hooks import Context, hookimpl
from faprelease.steps.host_files import read_host_file
from faprelease.steps.model import Step


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Folders in the release, and for how many releases a file is kept."""

    assets_dirs: Annotated[
        list[str], about("folders of the release whose hashed files stay available after the next release")
    ] = []
    assets_keep: Annotated[int, about("for how many releases they stay available")] = 1


@hookimpl
def deploy_updating(context: Context) -> Iterator[Step]:
    """Runs after the artifact is unpacked, and before the installer and the seal."""
    options = context.options(Options)
    for folder in options.assets_dirs:
        if folder.startswith(("/", "-")) or ".." in folder.split("/"):
            raise ConfigError(
                f"assets_dirs: {folder!r} is outside the release", hint="give folders inside the release"
            )
    if context.previous and options.assets_dirs:
        words = [context.previous, context.release, str(options.assets_keep), *options.assets_dirs]
        yield Step(
            title=f"keep hashed files of release {context.previous.rpartition('/')[2]}",
            script=f"exec python3 -I -S - {shlex.join(words)}",
            stdin=read_host_file("programs/assets.py"),
            limit=600,
        )
