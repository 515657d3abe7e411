"""Copies linked files and folders into shared/ from a folder that each host already has, as fapistrano does.
That may be a folder of configuration management, or a mount."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from faprelease.config.keys import about
from faprelease.errors import ConfigError
from faprelease.plugins.hooks import Context, hookimpl
from faprelease.steps.model import Step, host_script


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The folder on the host. It has linked_files and linked_dirs at the same paths as shared/."""

    localshared_source: Annotated[
        str, about("folder on the hosts that linked files and folders are copied from")
    ] = ""


@hookimpl
def brings(context: Context) -> Iterator[str]:
    yield from context.target.settings.linked_files


@hookimpl
def deploy_starting(context: Context) -> Iterator[Step]:
    """Copy files that no release uses yet. The live release reads the others, so they are copied later."""
    yield from _step(context, "add", "copy missing shared files")


@hookimpl
def deploy_publishing(context: Context) -> Iterator[Step]:
    yield from _step(context, "copy", "copy changed shared files")


@hookimpl
def deploy_checking(context: Context) -> Iterator[Step]:
    """Fail if files changed, so that a release of the live artifact copies them."""
    yield from _step(context, "compare", "compare shared files with their source")


def _step(context: Context, act: Literal["add", "copy", "compare"], title: str) -> Iterator[Step]:
    options, settings = context.options(Options), context.target.settings
    if not options.localshared_source.startswith("/"):
        raise ConfigError(
            "localshared_source is not set"
            if not options.localshared_source
            else "localshared_source is not an absolute path",
            hint="set it to the folder on the hosts with the linked files: localshared_source: /etc/shop",
        )
    names = [*settings.linked_files, *settings.linked_dirs]
    if names:
        yield host_script(
            f"{title}: {options.localshared_source}",
            "release/localshared",
            stdin="\n".join(names),
            limit=600,
            trusted=False,
            source=options.localshared_source,
            shared=context.target.layout.shared,
            act=act,
        )
