"""The tally: the totals of all merchants in memory, kept up to date as their snapshots change."""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from app.balances.snapshots import AGGREGATE, Entry, Key, Snapshot
from app.balances.totals import Totals

_RECOUNT_SECONDS: Final = 300.0
_AT_ONCE: Final = 500

log = structlog.get_logger()


class Tally:
    """Hear what memory takes and drops, and know the sum of what it holds. The aggregate is no part of it."""

    def __init__(self) -> None:
        self._counted: Final[dict[Key, Snapshot]] = {}
        self._totals = Totals()
        self._recounted = Totals()

    def take(self, entry: Entry) -> None:
        """Count an entry in instead of the one before. Costs their rows, however many others there are."""
        if entry.key == AGGREGATE:
            return
        self.drop(entry.key)
        if isinstance(entry, Snapshot):
            self._counted[entry.key] = entry
            self._totals.add(entry)
            self._recounted.add(entry)

    def drop(self, key: Key) -> None:
        """Count out what was counted of a key."""
        before = self._counted.pop(key, None)
        if before is not None:
            self._totals.remove(before)
            self._recounted.remove(before)

    def add_up(self, parts: Mapping[Key, Snapshot]) -> Totals:
        """Give the exact totals of any snapshots of merchants. Costs the rows of those that memory holds otherwise."""
        gone = [counted for key, counted in self._counted.items() if parts.get(key) is not counted]
        come = [part for key, part in parts.items() if self._counted.get(key) is not part]
        if len(gone) + len(come) >= len(parts):
            return Totals(parts.values())
        totals = self._totals.copy()
        for snapshot in gone:
            totals.remove(snapshot)
        for snapshot in come:
            totals.add(snapshot)
        return totals

    async def keep_recounting(self) -> None:
        """Recount now and then, until cancelled."""
        while True:
            await asyncio.sleep(_RECOUNT_SECONDS)
            await self.recount()

    async def recount(self) -> None:
        """Add up anew, a little at a time; a difference is a fault of ours: it is logged and mended.

        What changes meanwhile is counted in both sums: as adding and taking out commute, it does not matter when.
        """
        snapshots = list(self._counted.values())
        self._recounted = Totals()
        for place, snapshot in enumerate(snapshots, 1):
            self._recounted.add(snapshot)
            if place % _AT_ONCE == 0:
                await asyncio.sleep(0)
        if self._recounted != self._totals:
            log.error("totals.drifted", merchants=len(snapshots))
            self._totals = self._recounted.copy()
