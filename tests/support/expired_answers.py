"""Answers that are fresh for no time at all are so until the clock shows another millisecond."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from app.clock import unix_ms

Hooks = Mapping[str, list[Callable[..., Coroutine[Any, Any, None]]]]


async def grow_older(*_: object) -> None:
    """Wait until whatever was fetched by now is older than zero milliseconds, as fast as the machine may be."""
    now = unix_ms()
    while unix_ms() == now:  # noqa: ASYNC110  # a clock tells nobody
        await asyncio.sleep(0.001)


def ageing(settings: Mapping[str, object]) -> Hooks:
    """Give the hooks of a client each of whose questions finds older what it knows, if it is fresh for 0 s."""
    return {"response": [grow_older]} if settings.get("fresh_seconds") == 0 else {}
