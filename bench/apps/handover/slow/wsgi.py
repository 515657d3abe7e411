"""The app for gunicorn, whose main process is the parent of its workers."""

import os
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from slow.app import App

_APP = App(os.getppid())


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Read the request's body, and answer."""
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    status, seconds = _APP.answer(environ["PATH_INFO"])
    time.sleep(seconds)
    start_response(f"{status} {HTTPStatus(status).phrase}", _APP.headers())
    return [b"ok\n"]
