"""Expiry of keys: a log line for each caller whose keys end soon, while there is time to make another one."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import structlog

DAY_SECONDS: Final = 86_400
WARNINGS_SECONDS: Final = (14 * DAY_SECONDS, DAY_SECONDS)
EVERY_SECONDS: Final = 60

log = structlog.get_logger()


class KeyExpiryWatcher:
    """Log `key.expiring` once for each of `WARNINGS_SECONDS` that is left of a caller's keys, and `key.expired` at the end.

    `seconds_left` returns the seconds by caller; see `Callers`. Keys with a later end are warned of again.
    """

    def __init__(self, seconds_left: Callable[[], Mapping[str, float]]) -> None:
        self._seconds_left: Final = seconds_left
        self._logged: Final[dict[str, int]] = {}

    async def keep_watching(self) -> None:
        """Watch until cancelled."""
        while True:
            self.check_once()
            await asyncio.sleep(EVERY_SECONDS)

    def check_once(self) -> None:
        """Log what has come nearer since the last check."""
        left = self._seconds_left()
        for name in self._logged.keys() - left.keys():
            del self._logged[name]
        for name, seconds in left.items():
            step = sum(seconds <= bound for bound in (*WARNINGS_SECONDS, 0))
            if step > self._logged.get(name, 0):
                _log(name, seconds)
            self._logged[name] = step


def _log(name: str, seconds: float) -> None:
    if seconds > 0:
        log.warning("key.expiring", caller=name, seconds_left=round(seconds))
    else:
        log.error("key.expired", caller=name)
