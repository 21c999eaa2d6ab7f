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

    async def app(_: Message, __: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return app


def load_native() -> Callable[[Any, Any], Awaitable[None]]:
    """Build the same for the server's native interface. It reads the headers that a gateway would read."""
    status, headers, body = _read()

    async def app(scope: Any, protocol: Any) -> None:
        for name in ("authorization", "accept", "if-none-match", "accept-encoding", "x-request-id", "cache-control"):
            scope.headers.get(name)
        protocol.response_bytes(status, headers, body)

    return app


def _read() -> tuple[int, list[tuple[str, str]], bytes]:
    answer = json.loads(Path(os.environ["BARE_ANSWER"]).read_text(encoding="utf-8"))
    return answer["status"], [(name, value) for name, value in answer["headers"]], answer["body"].encode()
