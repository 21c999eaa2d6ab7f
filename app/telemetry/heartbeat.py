"""The pulse of a process: how late its event loop is, and a beat a second for what else wants one."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

PERIOD_SECONDS: Final = 1.0
_REMEMBERED: Final = 15


class Heartbeat:
    """Beat once a second and tell how late the latest beats came. `monotonic` gives seconds, as the loop has them."""

    def __init__(self, monotonic: Callable[[], float], on_beat: Callable[[], None]) -> None:
        self._monotonic: Final = monotonic
        self._on_beat: Final = on_beat
        self._lags: Final[deque[float]] = deque([0.0], maxlen=_REMEMBERED)

    async def run(self) -> None:
        """Beat at once, and then until cancelled."""
        self._on_beat()
        while True:
            due = self._monotonic() + PERIOD_SECONDS
            await asyncio.sleep(PERIOD_SECONDS)
            self._lags.append(max(0.0, self._monotonic() - due))
            self._on_beat()

    def lag_seconds(self) -> float:
        """Tell the longest delay of the last quarter of a minute."""
        return max(self._lags)
