"""The app for uvicorn, which has one process."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from slow.app import App

_APP = App(os.getpid())


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Read the request's body, and answer."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])  # uvicorn goes on without the lifespan protocol
    while (await receive()).get("more_body"):
        pass
    status, seconds = _APP.answer(scope["path"])
    await asyncio.sleep(seconds)
    headers = [(name.lower().encode(), value.encode()) for name, value in _APP.headers()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok\n"})
