"""Sends the progress of a run to a Slack channel, with an incoming webhook."""

import os
from typing import Annotated

import msgspec

from faprelease.config.keys import about
from faprelease.errors import ConfigError
from faprelease.plugins import webhook
from faprelease.plugins.hooks import Context, Notification, hookimpl

MOST = 2500
"""How much of an error a message contains, in characters from its end."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of fapistrano. The webhook is a secret; FAP_SLACK_WEBHOOK keeps it out of deploy.yml."""

    slack_webhook: Annotated[
        str, about("incoming webhook; a secret, so better set in FAP_SLACK_WEBHOOK", shown="no")
    ] = ""
    slack_channel: Annotated[str, about("channel; default: the one of the webhook")] = ""


@hookimpl
def notify(context: Context, event: Notification) -> None:
    """Post a message: https://api.slack.com/messaging/webhooks"""
    options = context.options(Options)
    url = options.slack_webhook or os.environ.get("FAP_SLACK_WEBHOOK", "")
    if not url:
        raise ConfigError("slack_webhook is not set", hint="set slack_webhook, or export FAP_SLACK_WEBHOOK=…")
    text = f"*{_plain(event.what)}*: {_plain(event.title)} ({event.who}, on {', '.join(event.hosts)})"
    if event.message:
        text += f"\n```{_plain(event.message[-MOST:])}```"
    webhook.post(url, {"text": text, **({"channel": options.slack_channel} if options.slack_channel else {})})


def _plain(text: str) -> str:
    """Escape a text, so that Slack shows it literally."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("```", "'''")
