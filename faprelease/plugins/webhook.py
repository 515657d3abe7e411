"""Tell a URL how a run goes: each event is POSTed as JSON."""

import os
from typing import Annotated, Any

import msgspec

from faprelease.config.keys import about
from faprelease.errors import ConfigError, FapError
from faprelease.plugins.hooks import Context, Notification, hookimpl

SECONDS = 5.0
"""How long one request may take."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The URL is a secret; FAP_WEBHOOK_URL keeps it out of the file."""

    webhook_url: Annotated[
        str, about("gets each event as JSON, a secret: better in FAP_WEBHOOK_URL", shown="no")
    ] = ""


@hookimpl
def notify(context: Context, event: Notification) -> None:
    url = context.options(Options).webhook_url or os.environ.get("FAP_WEBHOOK_URL", "")
    if not url:
        raise ConfigError("there is no webhook_url", hint="set it, or FAP_WEBHOOK_URL")
    post(url, event)


def post(url: str, body: Any) -> None:
    """POST a body as JSON; raises FapError, which shows nothing of the URL, unless the answer is 2xx."""
    import httpx

    try:
        answer = httpx.post(
            url,
            content=msgspec.json.encode(body),
            headers={"Content-Type": "application/json"},
            timeout=SECONDS,
        )
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise FapError(f"no answer ({type(error).__name__})", hint="see the webhook's URL") from None
    if not answer.is_success:
        raise FapError(f"it was answered by status {answer.status_code}", hint="see the webhook's URL")
