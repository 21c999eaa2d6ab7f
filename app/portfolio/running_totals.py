"""Running totals of all merchants in memory, updated as their snapshots change."""

import asyncio
from collections.abc import Mapping
from operator import is_
from typing import Final

import structlog

from app.balances.snapshots import AGGREGATE, AccountId, Entry, Snapshot
from app.balances.totals import Total, Totals

_RECOUNT_SECONDS: Final = 300.0
_AT_ONCE: Final = 500

log = structlog.get_logger()


class RunningTotals:
    """Listen to memory, and keep the sum of its snapshots, without the aggregate.

    A change is only recorded, and counted when totals are requested. So reads of balances never wait for it, and what
    changes twice is counted once.
    """

    def __init__(self) -> None:
        self._counted: Final[dict[AccountId, Snapshot]] = {}
        self._changed: Final[dict[AccountId, Snapshot | None]] = {}
        self._totals = Totals()
        self._recounted = Totals()

    def on_put(self, entry: Entry) -> None:
        """Record an entry that replaces the one before."""
        if entry.account_id != AGGREGATE:
            self._changed[entry.account_id] = entry if isinstance(entry, Snapshot) else None

    def on_drop(self, key: AccountId) -> None:
        """Record that an account has nothing to count any more."""
        self._changed[key] = None

    def total_of(self, parts: Mapping[AccountId, Snapshot]) -> tuple[Total, ...]:
        """Return the exact totals of any snapshots of merchants, sorted by asset.

        The time is proportional to the rows that changed since the last call, and to those that differ from memory's.
        """
        self._catch_up()
        same = sum(map(is_, parts.values(), map(self._counted.get, parts)))
        if same == len(parts) == len(self._counted):
            return self._totals.list()
        if len(parts) + len(self._counted) - 2 * same >= len(parts):
            return Totals(parts.values()).list()
        totals = self._totals.copy()
        for key, counted in self._counted.items():
            if parts.get(key) is not counted:
                totals.remove(counted)
        for key, part in parts.items():
            if self._counted.get(key) is not part:
                totals.add(part)
        return totals.list()

    def _catch_up(self) -> None:
        """Apply the changes: remove the old snapshots, add the new ones."""
        for key, snapshot in self._changed.items():
            before = self._counted.pop(key, None)
            if before is not None:
                self._totals.remove(before)
                self._recounted.remove(before)
            if snapshot is not None:
                self._counted[key] = snapshot
                self._totals.add(snapshot)
                self._recounted.add(snapshot)
        self._changed.clear()

    async def keep_recounting(self) -> None:
        """Recount periodically, until cancelled."""
        while True:
            await asyncio.sleep(_RECOUNT_SECONDS)
            await self.recount()

    async def recount(self) -> None:
        """Recompute the totals in small steps. A difference is our fault: it is logged and repaired.

        Changes meanwhile are counted in both sums, since adding and removing commute.
        """
        self._catch_up()
        snapshots = list(self._counted.values())
        self._recounted = Totals()
        for place, snapshot in enumerate(snapshots, 1):
            self._recounted.add(snapshot)
            if place % _AT_ONCE == 0:
                await asyncio.sleep(0)
        self._catch_up()
        if self._recounted != self._totals:
            log.error("totals.drifted", merchants=len(snapshots))
            self._totals = self._recounted.copy()
