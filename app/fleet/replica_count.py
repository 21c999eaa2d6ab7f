"""Replica count: the subscribers of the bus."""

import asyncio
from collections import deque
from typing import Final

from app.redis.client import RedisFailure
from app.redis.commands import count_subscribers
from app.redis.results import read_integer
from app.redis.shared import Shared

_PERIOD_SECONDS: Final = 2.0
_BELIEVED_COUNTS: Final = 5


class ReplicaCount:
    """Count the replicas every 2 s. While Redis is away, the last counts stay. There are `at_least` so many.

    The largest of the last five counts is believed. After an outage of Redis, replicas return to the bus one by one,
    and in another outage a count that was too low would give each replica too large a share of the budget.
    """

    def __init__(self, shared: Shared, *, at_least: int) -> None:
        self._redis_client: Final = shared.client
        self._channel: Final = shared.channel
        self._counts: Final = deque([at_least], maxlen=_BELIEVED_COUNTS)
        self._at_least: Final = at_least

    @property
    def current(self) -> int:
        """The number of replicas."""
        return max(self._at_least, *self._counts)

    async def keep_counting(self) -> None:
        """Count until cancelled."""
        while True:
            found = await self._redis_client.execute(
                lambda: count_subscribers(self._redis_client.client, self._channel), read_integer
            )
            if not isinstance(found, RedisFailure):
                self._counts.append(found)
            await asyncio.sleep(_PERIOD_SECONDS)
