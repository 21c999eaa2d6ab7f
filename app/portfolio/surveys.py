"""One look at everything: the aggregate, then every merchant, then the aggregate again, all read afresh."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Final

from msgspec import Struct

from app.balances.reconciliation import Survey
from app.balances.snapshots import AGGREGATE, AccountId, Entry, Snapshot
from app.balances.totals import Totals
from app.cache.freshness import RequestDirectives
from app.errors import TallygateError, UpstreamRefusal

NAMED: Final = 100
_ATTEMPTS: Final = 6
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0

Read = Callable[[AccountId, RequestDirectives], Awaitable[Entry]]
"""Reads an entry on terms. Raises a `TallygateError` that says why there is none."""

Directory = Callable[[], Awaitable[Collection[AccountId]]]
"""Names the merchants that there are now. Raises a `TallygateError` that says why it cannot."""


class Progress(Struct):
    """How far a look has come: which one it is, how many merchants there are, how many were read, how many could not be.

    Of these the first `NAMED` that were found missing are named.
    """

    look: int = 0
    expected: int = 0
    read: int = 0
    missing: int = 0
    missing_merchants: tuple[AccountId, ...] = ()

    def miss(self, key: AccountId) -> None:
        """Note that a merchant could not be read."""
        self.missing += 1
        if len(self.missing_merchants) < NAMED:
            self.missing_merchants = (*self.missing_merchants, key)


class Surveyor:
    """Look, with at most `concurrency` reads at once. `now_ms` is Unix time in milliseconds."""

    def __init__(self, *, read: Read, directory: Directory, concurrency: int, now_ms: Callable[[], int]) -> None:
        self._read: Final = read
        self._directory: Final = directory
        self._concurrency: Final = concurrency
        self._now_ms: Final = now_ms

    async def survey(self, progress: Progress) -> Survey:
        """Look once and keep `progress` up to date. Raises the `TallygateError` that keeps us from the aggregate.

        Takes as long as the budget wants: a merchant that cannot be read is tried again a few times before it is missing.
        """
        merchants = await self._directory()
        progress.look += 1
        progress.expected, progress.read = len(merchants), 0
        progress.missing, progress.missing_merchants = 0, ()
        before = await self._read_aggregate()
        totals = Totals()
        waiting = iter(merchants)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._concurrency, len(merchants))):
                group.create_task(self._read_each(waiting, totals, progress))
        return Survey(before, await self._read_aggregate(), totals.list(), progress.missing)

    async def _read_each(self, waiting: Iterator[AccountId], totals: Totals, progress: Progress) -> None:
        """Read one merchant after another until none is waiting."""
        for key in waiting:
            try:
                entry = await self._read_patiently(key)
            except TallygateError:
                entry = None
            if isinstance(entry, Snapshot):
                totals.add(entry)
                progress.read += 1
            else:
                progress.miss(key)

    async def _read_aggregate(self) -> Snapshot:
        entry = await self._read_patiently(AGGREGATE)
        if not isinstance(entry, Snapshot):
            raise TypeError("the aggregate is never absent")
        return entry

    async def _read_patiently(self, key: AccountId) -> Entry:
        """Read an answer that the upstream began after now; try again after what may pass."""
        directives = RequestDirectives(received_at=self._now_ms(), no_cache=True)
        for attempt in range(_ATTEMPTS - 1):
            try:
                return await self._read(key, directives)
            except UpstreamRefusal:
                raise
            except TallygateError as error:
                pause = max(error.retry_after_seconds or 0, _FIRST_PAUSE_SECONDS * 2**attempt)
                await asyncio.sleep(min(pause, _LONGEST_PAUSE_SECONDS))
        return await self._read(key, directives)
