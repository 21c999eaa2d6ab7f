"""Throttle of a log event that foreign data can cause without end."""

import asyncio
from typing import Final

SECONDS: Final = 60.0


class LogThrottle:
    """Admit an event once a minute, by the clock of the event loop. `unwritten` counts those between the last two."""

    def __init__(self) -> None:
        self._closed_until = float("-inf")
        self._suppressed = 0
        self.unwritten = 0

    def admits(self) -> bool:
        """Return whether an event that happens now is to be written."""
        now = asyncio.get_running_loop().time()
        if now < self._closed_until:
            self._suppressed += 1
            return False
        self._closed_until = now + SECONDS
        self.unwritten, self._suppressed = self._suppressed, 0
        return True
