"""A survey reads everything from the upstream: the aggregate, then every merchant, then the aggregate again."""

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
"""Reads an entry that satisfies directives. Raises the `TallygateError` that prevents it."""

Directory = Callable[[], Awaitable[Collection[AccountId]]]
"""Lists the merchants that there are now. Raises the `TallygateError` that prevents it."""


Peek = Callable[[AccountId], Entry | None]
"""Returns memory's entry of an account."""


class Progress(Struct):
    """The progress of a survey: its number, and how many merchants there are, were read, and are missing.

    One of which a row is unreadable is missing, too. The first `NAMED` missing ones are named.
    """

    look: int = 0
    expected: int = 0
    read: int = 0
    missing: int = 0
    missing_merchants: tuple[AccountId, ...] = ()

    def miss(self, key: AccountId) -> None:
        """Record that a merchant could not be read."""
        self.missing += 1
        if len(self.missing_merchants) < NAMED:
            self.missing_merchants = (*self.missing_merchants, key)


class Surveyor:
    """Survey with at most `concurrency` simultaneous reads. `now_ms` returns Unix milliseconds.

    It makes no call that the sweep made since it began: it takes memory's entry (`peek`) if the call for that began
    later, as a call takes at most `call_seconds`. It reads the youngest first, since the sweep fetches the oldest.
    """

    def __init__(
        self,
        *,
        read: Read,
        directory: Directory,
        peek: Peek,
        call_seconds: float,
        concurrency: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._read: Final = read
        self._peek: Final = peek
        self._call_ms: Final = round(call_seconds * 1000)
        self._directory: Final = directory
        self._concurrency: Final = concurrency
        self._now_ms: Final = now_ms

    async def survey(self, progress: Progress) -> Survey:
        """Survey once, and update `progress`. Raises the `TallygateError` that prevents a read of the aggregate.

        Takes as long as the budget needs. An unreadable merchant is retried a few times before it counts as missing.
        """
        merchants = sorted(await self._directory(), key=self._as_of, reverse=True)
        progress.look += 1
        progress.expected, progress.read = len(merchants), 0
        progress.missing, progress.missing_merchants = 0, ()
        since = self._now_ms()
        before = await self._read_aggregate()
        totals = Totals()
        waiting = iter(merchants)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._concurrency, len(merchants))):
                group.create_task(self._read_each(waiting, since, totals, progress))
        return Survey(before, await self._read_aggregate(), totals.list(), progress.missing)

    async def _read_each(self, waiting: Iterator[AccountId], since: int, totals: Totals, progress: Progress) -> None:
        """Read one merchant after another until none is left."""
        for key in waiting:
            try:
                entry = self._find_swept(key, since) or await self._read_patiently(key)
            except TallygateError:
                entry = None
            if isinstance(entry, Snapshot):
                totals.add(entry)
            if isinstance(entry, Snapshot) and entry.is_whole:
                progress.read += 1
            else:
                progress.miss(key)

    def _as_of(self, key: AccountId) -> int:
        entry = self._peek(key)
        return 0 if entry is None else entry.as_of

    def _find_swept(self, key: AccountId, since: int) -> Entry | None:
        """Return memory's entry if it is of a call that began at `since` or later."""
        entry = self._peek(key)
        return entry if entry is not None and entry.as_of >= since + self._call_ms else None

    async def _read_aggregate(self) -> Snapshot:
        entry = await self._read_patiently(AGGREGATE)
        if not isinstance(entry, Snapshot):
            raise TypeError("the aggregate is never absent")
        return entry

    async def _read_patiently(self, key: AccountId) -> Entry:
        """Read an answer to a call that begins after now. Retry after transient errors."""
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
