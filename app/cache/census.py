"""How many replicas there are: those that listen on the bus."""

import asyncio
from typing import Final

from app.cache.connecting import count_subscribers
from app.cache.link import Link, Outcome

_PERIOD_SECONDS: Final = 2.0


class Census:
    """Count the replicas now and then; while Redis is away, the last count stands. `at_least` are surely there."""

    def __init__(self, link: Link, *, channel: str, at_least: int) -> None:
        self._link: Final = link
        self._channel: Final = channel
        self._at_least: Final = at_least
        self.replicas = at_least

    async def count(self) -> None:
        """Count until cancelled."""
        while True:
            found = await self._link.attempt(lambda: count_subscribers(self._link.client, self._channel))
            if not isinstance(found, Outcome):
                self.replicas = max(self._at_least, found)
            await asyncio.sleep(_PERIOD_SECONDS)
