"""Ask the new release for some pages, so that its caches are warm before its health check.

In deploy.yml, in the same folder as this file:

    plugins: [supervisorctl, warm_up, healthcheck]
    warm_up_port: 8000
    warm_up_paths: [/, /search?q=shoes]
"""

import shlex
from collections.abc import Iterator

import msgspec

from faprelease.plugin import Context, Step, hookimpl


class Options(msgspec.Struct, frozen=True, kw_only=True):
    warm_up_port: int = 8000
    warm_up_paths: tuple[str, ...] = ("/",)


@hookimpl
def deploy_published(context: Context) -> Iterator[Step]:
    options = context.options(Options)
    for path in options.warm_up_paths:
        url = shlex.quote(f"http://127.0.0.1:{options.warm_up_port}{path}")
        ask = f"curl -q -sS --globoff --retry 5 --retry-connrefused --fail --output /dev/null {url}"
        cold = shlex.quote(f"warning: {path} stayed cold")
        yield Step(title=f"warm up {path}", script=f"{ask} || echo {cold}", limit=60)
