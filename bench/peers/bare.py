"""The bare ASGI application: it sends the bytes that it was given, whatever it is asked. No server can do less."""

import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


def load() -> App:
    """Make the application of the answer in the file that BARE_ANSWER names."""
    answer = json.loads(Path(os.environ["BARE_ANSWER"]).read_text(encoding="utf-8"))
    headers = [(name.encode(), value.encode()) for name, value in answer["headers"]]
    body = answer["body"].encode()
    status = answer["status"]

    async def app(_: Message, __: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return app
