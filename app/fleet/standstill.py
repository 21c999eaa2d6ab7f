"""Standstills of this process: it was stopped, or its machine was, and nobody knows what arrived meanwhile, or when."""

import asyncio
from typing import Final

LEAST_SECONDS: Final = 1.0
"""A shorter one counts as none. A lease lasts three times as long."""

_TICK_SECONDS: Final = 0.25


class Standstills:
    """Find standstills by what else runs regularly. Moments are those of the event loop, in seconds.

    Before the first tick nothing is known, and nothing doubted.
    """

    def __init__(self) -> None:
        self._ticked_at: float | None = None
        self._began_at = self._ended_at = float("-inf")

    async def watch(self) -> None:
        """Tick until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self.tick(loop.time())
            await asyncio.sleep(_TICK_SECONDS)

    def tick(self, now: float) -> None:
        """Take note that the process runs."""
        if self._stands_since(now):
            self._began_at, self._ended_at = self._ticked_at or now, now
        self._ticked_at = now

    def seconds_doubted(self, since: float, now: float) -> float:
        """Return how much earlier than `now` something may have arrived that was asked for at `since`: 0 as a rule."""
        if self._stands_since(now):
            return now - max(since, self._ticked_at or now)
        return now - max(since, self._began_at) if self._ended_at > since else 0.0

    def _stands_since(self, now: float) -> bool:
        return self._ticked_at is not None and now - self._ticked_at > LEAST_SECONDS
