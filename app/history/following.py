"""Following: the changes of all accounts that one caller may read, in the order recorded, with or without waiting.

What a caller may not read decides nothing here but how much is scanned: no count, no cursor, no end of a wait.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from msgspec import Struct

from app.balances.snapshots import AccountId
from app.errors import HistoryGone, InvalidRequest
from app.history.changes import Change
from app.history.cursors import CursorTrouble, FeedPosition
from app.history.feed import FeedGone, FeedPage, FeedReader
from app.history.kept import has_outdated
from app.history.past import Past, feed_ended, store_away
from app.history.recording import HistoryOptions
from app.history.results import FeedEntry, FeedMeta
from app.history.slices import PAUSES_SECONDS, FeedSlices
from app.redis.client import RedisFailure
from app.runtime import Runtime

_LOOK_SECONDS: Final = 0.25
"""How often one process looks for news while anyone waits."""

Reads = Callable[[AccountId], bool]
"""Whether a caller reads an account: it may, and asked for it."""


class FeedChange(Struct, frozen=True):
    """A change of one account, and the epoch in which it is numbered."""

    account_id: AccountId
    epoch: str
    change: Change


class Followed(Struct, frozen=True):
    """Changes, and the cursor after them. `is_complete` unless some after the cursor before are not kept any more."""

    epoch: str
    kept_from: int
    is_complete: bool
    changes: Sequence[FeedChange]
    next: str


class News:
    """Wake all that wait for changes, by one command each quarter of a second for the whole process.

    Nobody waits while `is_ending`.
    """

    def __init__(self, feed: FeedReader, is_ending: Callable[[], bool]) -> None:
        self._feed: Final = feed
        self._is_ending: Final = is_ending
        self._waiting = 0
        self._latest: FeedPosition | None = None
        self._looked: Final = asyncio.Event()
        self._wanted: Final = asyncio.Event()

    async def wait(self, since: FeedPosition) -> bool:
        """Wait until a look finds another newest change than `since`. Return false if we end. May be cancelled."""
        self._waiting += 1
        self._wanted.set()
        try:
            while not self._is_ending():
                await self._looked.wait()
                if self._latest is not None and self._latest != since:
                    return True
            return False
        finally:
            self._waiting -= 1

    async def keep_looking(self) -> None:
        """Look for the newest change while anyone waits, until cancelled."""
        while True:
            if not self._waiting:
                self._wanted.clear()
                await self._wanted.wait()
            found = await self._feed.latest_position()
            self._latest = found if isinstance(found, FeedPosition) else None
            self._looked.set()
            self._looked.clear()
            await asyncio.sleep(_LOOK_SECONDS)


class Following:
    """Read the feed for callers. No request waits longer than `longest_wait_seconds`: it has a deadline."""

    def __init__(
        self,
        feed: FeedReader,
        past: Past,
        news: News,
        options: HistoryOptions,
        runtime: Runtime,
        longest_wait_seconds: int,
    ) -> None:
        self.longest_wait_seconds: Final = longest_wait_seconds
        self._feed: Final = feed
        self._past: Final = past
        self._news: Final = news
        self._slices: Final = FeedSlices(feed, past, options, runtime)
        self._options: Final = options
        self._unix_ms: Final = runtime.unix_ms
        self._metrics: Final = runtime.metrics

    async def read(
        self, accounts: Sequence[AccountId] | None, reads: Reads, after: str | None, limit: int, wait_seconds: float
    ) -> Followed:
        """Return up to `limit` changes of the accounts that `reads` allows; `accounts` are those, None for all there are.

        Waits up to `wait_seconds` where there is none. Raises `InvalidRequest`, `FeedEnded`, `HistoryGone`,
        `StoreUnavailable`. May be cancelled.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        start = None if after is None else await self._open(after)
        pauses: Sequence[float] = ()
        while True:
            page, entries = await self._scan(accounts, reads, start, limit, pauses)
            pauses = PAUSES_SECONDS
            cursor = self._feed.cursors.seal(page.position)  # now: the epoch may end before all is found
            if entries or (left := until - loop.time()) <= 0:
                break
            start = page.position
            try:
                async with asyncio.timeout(left):
                    if not await self._news.wait(start):
                        break
            except TimeoutError:
                break
        changes = await asyncio.gather(*map(self._find_change, entries))
        if None in changes:
            self._metrics.history_gaps.add()
        return Followed(
            page.meta.epoch,
            await self._kept_from(page.meta, accounts),
            None not in changes,
            [change for change in changes if change is not None],
            cursor,
        )

    async def _open(self, after: str) -> FeedPosition:
        opened = await self._feed.cursors.open(after)
        match opened:
            case RedisFailure():
                raise store_away()
            case CursorTrouble.GONE:
                raise feed_ended()
            case CursorTrouble.INVALID:
                raise InvalidRequest("after wants the next of another answer of this feed.")
            case _:
                return opened

    async def _scan(
        self,
        accounts: Sequence[AccountId] | None,
        reads: Reads,
        start: FeedPosition | None,
        limit: int,
        pauses: Sequence[float],
    ) -> tuple[FeedPage, list[FeedEntry]]:
        """Read on until there are `limit` entries to show, or none is left. The page ends after the last one shown."""
        shown: list[FeedEntry] = []
        keep_from, is_after = self._unix_ms() - self._options.keep_ms, start is not None
        while True:
            page = await self._slices.read(accounts, start, pauses)
            pauses = PAUSES_SECONDS
            if isinstance(page, FeedGone):
                if page.is_other_epoch:
                    raise feed_ended()
                await self._refuse(page.meta, accounts)
            if is_after and has_outdated(page.entries, reads, keep_from):
                await self._refuse(page.meta, accounts)
            for entry in page.entries:
                if entry.as_of >= keep_from and reads(entry.account_id):
                    shown.append(entry)
                    if len(shown) == limit:
                        position = FeedPosition(page.meta.epoch, entry.place)
                        return FeedPage(page.meta, (), position, is_last=False), shown
            if page.is_last:
                return page, shown
            start = page.position

    async def _find_change(self, entry: FeedEntry) -> FeedChange | None:
        """Return what an entry of the feed names, None if it is not kept any more."""
        first = max(0, entry.sequence - 1)
        found = await self._past.find(entry.account_id, "from", first, 2 if entry.sequence else 1)
        if found is None or found.epoch != entry.epoch or found.states[-1].sequence != entry.sequence:
            return None
        if entry.sequence and found.states[0].sequence != first:
            return None
        before = found.states[0] if entry.sequence else None
        return FeedChange(entry.account_id, found.epoch, Change(before, found.states[-1]))

    async def _refuse(self, meta: FeedMeta, accounts: Sequence[AccountId] | None) -> NoReturn:
        kept_from = await self._kept_from(meta, accounts)
        raise HistoryGone("What follows this cursor is not kept any more.", kept_from_ms=kept_from)

    async def _kept_from(self, meta: FeedMeta, accounts: Sequence[AccountId] | None) -> int:
        """Return since when all changes are kept. Of named accounts, only their own history decides that."""
        kept_from = max(meta.began_ms, self._unix_ms() - self._options.keep_ms)
        if meta.cut_ms is None:
            return kept_from
        if accounts is None:
            return max(kept_from, meta.kept_ms or 0)
        found = await asyncio.gather(*(self._past.find(one, "from", 0, 1) for one in accounts))
        return max([kept_from, *(one.states[0].since for one in found if one is not None and one.oldest)])
