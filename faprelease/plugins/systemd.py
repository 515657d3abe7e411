"""Run a systemd unit from the release: the system's, by sudo, or one of the user's own."""

import posixpath
import re
import shlex
from collections.abc import Iterator
from typing import Annotated

import msgspec

from faprelease.errors import ConfigError
from faprelease.hooks import Context, hookimpl
from faprelease.keys import about
from faprelease.steps import Step, host_script


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Which unit, where the release has its file (empty: nowhere), and how it is started anew."""

    systemd_unit: Annotated[str, about("which unit")] = "%(app_name)s.service"
    systemd_conf: Annotated[
        str, about("its file in the release; empty: the unit is there already, and is only restarted")
    ] = "configs/systemd_%(stage)s_%(role)s.service"
    systemd_user: Annotated[bool, about("the user's own manager, in place of the system's by sudo -n")] = (
        False
    )
    systemd_reload: Annotated[bool, about("reload it where it can be, in place of a restart")] = False
    systemd_check_status: Annotated[bool, about("see it active, from the new release, or go back")] = True
    systemd_seconds: Annotated[int, about("how long it may take to start")] = 60


@hookimpl
def deploy_starting(context: Context) -> Iterator[Step]:
    yield _step(context, "see that systemd may be used", "systemd_ask", restart=_verb(context))


@hookimpl
def deploy_updated(context: Context) -> Iterator[Step]:
    if not context.options(Options).systemd_conf:
        return
    conf = _conf(context, context.release)
    missing = shlex.quote(f"{conf}: the release has no such file")
    yield Step(
        title="find the unit's file", script=f"[ -f {shlex.quote(conf)} ] || {{ echo {missing}; exit 1; }}"
    )


@hookimpl
def deploy_published(context: Context) -> Iterator[Step]:
    options = context.options(Options)
    yield _restart(context, f"{_verb(context)} {options.systemd_unit}", _conf(context, context.release))


@hookimpl
def deploy_checking(context: Context) -> Iterator[Step]:
    options = context.options(Options)
    if options.systemd_check_status:
        yield _step(
            context,
            f"see {options.systemd_unit} running from the release",
            "systemd_check",
            limit=2 * options.systemd_seconds + 60,
            release=context.release,
            seconds=str(options.systemd_seconds),
            reload="yes" if options.systemd_reload else "",
        )


@hookimpl
def deploy_explaining(context: Context) -> Iterator[Step]:
    unit = context.options(Options).systemd_unit
    yield _step(context, f"the last lines of {unit}", "systemd_log", limit=20)


@hookimpl
def deploy_logs(context: Context, follow: bool) -> Iterator[Step]:
    yield _step(context, "the log of the unit", "systemd_logs", follow="yes" if follow else "")


@hookimpl
def deploy_failed(context: Context) -> Iterator[Step]:
    if not context.previous and context.options(Options).systemd_conf:
        yield _restart(context, "put back the unit that was there before", "")


def _restart(context: Context, title: str, conf: str) -> Step:
    return _step(
        context,
        title,
        "systemd_restart",
        limit=300,
        restart=_verb(context),
        conf=conf,
        before_conf=_conf(context, context.previous) if context.previous else "",
        kept=f"{context.target.layout.state}/{context.options(Options).systemd_unit}",
    )


def _step(context: Context, title: str, script: str, limit: int = 60, **variables: str) -> Step:
    options = context.options(Options)
    if not re.fullmatch(r"[A-Za-z0-9@_.:\\-]+\.[a-z]+", options.systemd_unit):
        raise ConfigError(
            f"systemd_unit: {options.systemd_unit!r} is no unit", hint="for example: shop.service"
        )
    whose = {
        "unit": options.systemd_unit,
        "user": "yes" if options.systemd_user else "",
        "as_it_is": "" if options.systemd_conf else "yes",
    }
    return host_script(
        title, "systemd", script, limit=limit, trusted=False, binding=False, shown=False, **whose, **variables
    )


def _verb(context: Context) -> str:
    return "reload-or-restart" if context.options(Options).systemd_reload else "restart"


def _conf(context: Context, release: str) -> str:
    return posixpath.join(release, context.options(Options).systemd_conf)
