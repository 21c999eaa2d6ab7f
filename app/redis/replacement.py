"""Replacement of connections: a new client takes over, and the old one is closed when nothing uses it any more."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from app.redis.connections import AnyRedis

_RETIREMENT_SECONDS: Final = 5.0
"""How long old connections stay open: no command takes that long, and the bus has moved before."""

Connect = Callable[[], AnyRedis]
"""Makes a client, which connects when it is first used. Raises `ValueError` if it cannot be made."""


class CurrentClient:
    """Hold the client that is used now, and those that it replaced until they are closed."""

    def __init__(self, connect: Connect) -> None:
        self.connect = connect
        self.client: Any = connect()
        self._retired: Final[dict[asyncio.Task[None], AnyRedis]] = {}

    def renew(self) -> None:
        """Replace the client by a new one of the same kind. If none can be made, the old one stays."""
        with suppress(ValueError):
            self.replace(self.connect())

    def replace(self, client: AnyRedis) -> None:
        """Replace the client."""
        old, self.client = self.client, client
        task = asyncio.create_task(_retire(old))
        self._retired[task] = old
        task.add_done_callback(lambda task: self._retired.pop(task, None))

    async def close(self) -> None:
        """Close all clients."""
        retired = list(self._retired.items())
        for task, _ in retired:
            task.cancel()
        for client in (self.client, *(client for _, client in retired)):
            await close_client(client)


async def close_client(client: Any) -> None:
    """Close a client, whatever that raises: its connections are of no more use."""
    with suppress(Exception):
        await client.aclose()


async def _retire(client: AnyRedis) -> None:
    await asyncio.sleep(_RETIREMENT_SECONDS)
    await close_client(client)
