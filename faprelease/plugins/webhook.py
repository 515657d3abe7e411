"""Sends the progress of a run to a URL: each event is POSTed as JSON."""

import os
from typing import Annotated, Any

import msgspec

from faprelease.config.keys import about
from faprelease.errors import ConfigError, FapError
from faprelease.plugins.hooks import Context, Notification, hookimpl

SECONDS = 5.0
"""The time limit of one request, in seconds."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The URL is a secret; FAP_WEBHOOK_URL keeps it out of deploy.yml."""

    webhook_url: Annotated[
        str, about("URL that gets each event as JSON; a secret, so better set in FAP_WEBHOOK_URL", shown="no")
    ] = ""


@hookimpl
def notify(context: Context, event: Notification) -> None:
    url = context.options(Options).webhook_url or os.environ.get("FAP_WEBHOOK_URL", "")
    if not url:
        raise ConfigError("webhook_url is not set", hint="set webhook_url, or export FAP_WEBHOOK_URL=…")
    post(url, event)


def post(url: str, body: Any) -> None:
    """POST a body as JSON. Raises FapError, which does not show the URL, unless the answer is 2xx."""
    import httpx

    try:
        answer = httpx.post(
            url,
            content=msgspec.json.encode(body),
            headers={"Content-Type": "application/json"},
            timeout=SECONDS,
        )
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise FapError(f"no answer ({type(error).__name__})", hint="check the webhook's URL") from None
    if not answer.is_success:
        raise FapError(f"the answer had status {answer.status_code}", hint="check the webhook's URL")
