"""Lifespan of an ASGI application: its start and its end (ASGI's lifespan protocol, version 2)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

_SCOPE: Final = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}


class LifespanFailed(Exception):
    """An application did not start or end well, and raised nothing that would say why."""


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Start an application, and end it. Both are in one task of its own.

    Raises what the application raises, else `LifespanFailed`.
    """
    to_app, from_app = asyncio.Queue[dict[str, Any]](), asyncio.Queue[dict[str, Any]]()
    running = asyncio.ensure_future(app({**_SCOPE}, to_app.get, from_app.put))

    async def ask(word: str) -> None:
        to_app.put_nowait({"type": f"lifespan.{word}"})
        answering = asyncio.ensure_future(from_app.get())
        await asyncio.wait((answering, running), return_when=asyncio.FIRST_COMPLETED)
        if answering.done() and answering.result()["type"] == f"lifespan.{word}.complete":
            return
        answering.cancel()
        await running  # it raises after it has reported a failure, or instead
        raise LifespanFailed(f"The application reports no complete {word}.")

    await ask("startup")
    try:
        yield
    finally:
        await ask("shutdown")
        await running
