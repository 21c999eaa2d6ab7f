"""Slices of the feed for some accounts: what was dropped of others is skipped, however much that is."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

from app.balances.snapshots import AccountId
from app.history.cursors import FeedPosition
from app.history.feed import FeedGone, FeedPage, FeedReader
from app.history.kept import may_lack
from app.history.past import Past, store_away
from app.history.recording import HistoryOptions
from app.redis.client import RedisFailure
from app.runtime import Runtime

PAUSES_SECONDS: Final = (0.25, 0.5)
"""How long a scan that was begun waits before it asks a store that failed again: longer than a command may take."""

_AT_ONCE: Final = 500
_MOST_OF_ALL: Final = 20_000
"""How many changes of all accounts `changed_since` reads: after more, all is as good as changed."""

_SKEW_MS: Final = 60_000
"""How much earlier by a replica's clock a look may have arrived than Redis wrote it down."""


class FeedSlices:
    """Read the feed for named accounts, or for all there are. What changes of others do to it shows nowhere."""

    def __init__(self, feed: FeedReader, past: Past, options: HistoryOptions, runtime: Runtime) -> None:
        self.feed: Final = feed
        self._past: Final = past
        self._options: Final = options
        self._unix_ms: Final = runtime.unix_ms

    async def read(
        self, accounts: Sequence[AccountId] | None, start: FeedPosition | None, pauses: Sequence[float]
    ) -> FeedPage | FeedGone:
        """Read what follows a position, of all accounts. It is gone only if a change of these may be; None stands for all.

        Reads again after each of the pauses while the store fails. The first slice of a request has no pauses. Later ones
        have: how many there are is the doing of others, and one slow command of hundreds would lose all that was scanned.
        Raises `StoreUnavailable`. May be cancelled.
        """
        while True:
            page = await self._read_after(start, pauses)
            if isinstance(page, FeedPage) or page.is_other_epoch or start is None or accounts is None:
                return page
            if await self._has_dropped(accounts, start):
                return page
            start = FeedPosition(page.meta.epoch, page.meta.popped)

    async def changed_since(
        self, position: FeedPosition, accounts: Sequence[AccountId] | None
    ) -> Collection[AccountId] | None:
        """Return which of the accounts changed since a position; None for the accounts stands for all.

        Returns None if that cannot be known: too long ago, or another epoch. Raises `StoreUnavailable`. May be cancelled.
        """
        changed, skipped, scanned = set[AccountId](), False, 0
        pauses: Sequence[float] = ()
        while accounts is not None or scanned < _MOST_OF_ALL:
            page = await self.read(accounts, position, pauses)
            if isinstance(page, FeedGone):
                return None
            skipped = skipped or position.place < page.meta.popped
            changed.update(entry.account_id for entry in page.entries)
            if page.is_last:
                if accounts is None:
                    return changed
                return changed.intersection(accounts) | (await self._lost(accounts) if skipped else set())
            position, pauses, scanned = page.position, PAUSES_SECONDS, scanned + _AT_ONCE
        return None

    async def _read_after(self, start: FeedPosition | None, pauses: Sequence[float]) -> FeedPage | FeedGone:
        page = await self.feed.read_after(start, _AT_ONCE)
        for pause in pauses:
            if not isinstance(page, RedisFailure):
                break
            await asyncio.sleep(pause)
            page = await self.feed.read_after(start, _AT_ONCE)
        if isinstance(page, RedisFailure):
            raise store_away()
        return page

    async def _has_dropped(self, accounts: Sequence[AccountId], start: FeedPosition) -> bool:
        """Check whether a change of these accounts may have been dropped that came after a position."""
        began, keep_from = start.place[0] - _SKEW_MS, self._unix_ms() - self._options.keep_ms
        found = await asyncio.gather(*(self._past.find(one, "at", keep_from - 1, 1) for one in accounts))
        return any(may_lack(one, began, keep_from) for one in found)

    async def _lost(self, accounts: Sequence[AccountId]) -> set[AccountId]:
        """Return the accounts without a history: it may have been evicted, and the changes that it had dropped."""
        found = await asyncio.gather(*(self._past.find(one, "from", 0, 1) for one in accounts))
        return {account_id for account_id, one in zip(accounts, found, strict=True) if one is None}
