"""Bare ASGI application: it answers every request with the same bytes, the least that a server can do."""

import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


def load() -> App:
    """Build the application from the answer in the file that BARE_ANSWER names."""
    status, texts, body = _read()
    headers = [(name.encode(), value.encode()) for name, value in texts]

    async def app(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                word = (await receive())["type"]
                await send({"type": f"{word}.complete"})
            return
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return app


def _read() -> tuple[int, list[tuple[str, str]], bytes]:
    answer = json.loads(Path(os.environ["BARE_ANSWER"]).read_text(encoding="utf-8"))
    return answer["status"], [(name, value) for name, value in answer["headers"]], answer["body"].encode()
