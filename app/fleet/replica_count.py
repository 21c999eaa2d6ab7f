"""How many replicas there are: those that listen on the bus."""

import asyncio
from collections import deque
from typing import Final

from app.redis.client import RedisFailure
from app.redis.connections import count_subscribers
from app.redis.shared import Shared

_PERIOD_SECONDS: Final = 2.0
_BELIEVED_COUNTS: Final = 5


class ReplicaCount:
    """Count the replicas now and then; while Redis is away, the last counts stand. `at_least` are surely there.

    The largest of the last few counts is believed: after Redis has been away, replicas come back to the bus one by one,
    and who took the first for all would keep to too large a share of the budget if Redis went again.
    """

    def __init__(self, shared: Shared, *, at_least: int) -> None:
        self._redis_client: Final = shared.client
        self._channel: Final = shared.channel
        self._counts: Final = deque([at_least], maxlen=_BELIEVED_COUNTS)
        self._at_least: Final = at_least

    @property
    def current(self) -> int:
        """Tell how many there are."""
        return max(self._at_least, *self._counts)

    async def keep_counting(self) -> None:
        """Count until cancelled."""
        while True:
            found = await self._redis_client.execute(
                lambda: count_subscribers(self._redis_client.client, self._channel)
            )
            if not isinstance(found, RedisFailure):
                self._counts.append(found)
            await asyncio.sleep(_PERIOD_SECONDS)
