"""A plugin that fails where deploy.yml says so."""

from collections.abc import Iterator

import msgspec

from faprelease.plugin import Context, Step, hookimpl


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`fail_at` is a signal, `fail_on` the host where it fails (empty: all)."""

    fail_at: str = ""
    fail_on: str = ""
    published_script: str = ""
    checking_script: str = ""
    finishing_script: str = ""


def _fail(context: Context, signal: str) -> Iterator[Step]:
    options = context.options(Options)
    # Going back runs the same signal again; then `previous` is the release that failed.
    goes_back = context.previous > context.release
    if options.fail_at == signal and options.fail_on in ("", context.target.host) and not goes_back:
        yield Step(title=f"fail at {signal}", script="echo told to fail; exit 9")


@hookimpl
def deploy_updated(context: Context) -> Iterator[Step]:
    yield from _fail(context, "updated")


@hookimpl
def deploy_published(context: Context) -> Iterator[Step]:
    script = context.options(Options).published_script
    if script:
        yield Step(title="published", script=script)
    yield from _fail(context, "published")


@hookimpl
def deploy_checking(context: Context) -> Iterator[Step]:
    script = context.options(Options).checking_script
    if script:
        yield Step(title="look", script=script)
    yield from _fail(context, "checking")


@hookimpl
def deploy_finishing(context: Context) -> Iterator[Step]:
    script = context.options(Options).finishing_script
    if script:
        yield Step(title="finishing", script=script)
