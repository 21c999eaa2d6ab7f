"""Heartbeat of a process: one call a second, by which the event loop's lag is measured."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

PERIOD_SECONDS: Final = 1.0
_REMEMBERED: Final = 15


class Heartbeat:
    """Beat once a second, and measure the delay of the latest beats. `monotonic` returns the loop's seconds."""

    def __init__(self, monotonic: Callable[[], float], on_beat: Callable[[], None]) -> None:
        self._monotonic: Final = monotonic
        self._on_beat: Final = on_beat
        self._lags: Final[deque[float]] = deque([0.0], maxlen=_REMEMBERED)

    async def run(self) -> None:
        """Beat now, and then once a second until cancelled."""
        self._on_beat()
        while True:
            due = self._monotonic() + PERIOD_SECONDS
            await asyncio.sleep(PERIOD_SECONDS)
            self._lags.append(max(0.0, self._monotonic() - due))
            self._on_beat()

    def lag_seconds(self) -> float:
        """Return the longest delay of the last 15 s."""
        return max(self._lags)
