"""Moves of accounts: what is known from before a move is marked, at every replica, and never served as fresh again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from app.balances.snapshots import AccountId, Entry
from app.cache.freshness import latest_plausible_as_of
from app.cache.memory import MemoryTier
from app.cache.redis_tier import RedisTier
from app.fleet.bus import Move
from app.redis.client import RedisFailure

MAX_UNSHARED: Final = 10_000
_SHARE_SECONDS: Final = 1.0


class Moves:
    """Mark what one replica knows, and what it is just being answered. `now_ms` gives Unix milliseconds.

    No clock decides what is older than a move: what was stored or under way when the move was heard of is older.
    """

    def __init__(self, memory: MemoryTier, redis: RedisTier, now_ms: Callable[[], int]) -> None:
        self._memory: Final = memory
        self._redis: Final = redis
        self._now_ms: Final = now_ms
        self._calls: Final[dict[AccountId, int]] = {}  # under way, and when the account moved meanwhile (0: it did not)
        self._watched: Final[dict[AccountId, bool]] = {}
        self._unshared: Final[set[AccountId]] = set()

    async def mark(self, account_id: AccountId) -> Move:
        """Mark what every replica knows of an account that has just moved.

        Without Redis it marks what this replica knows, and `keep_sharing` marks the rest later.
        """
        move = Move(account_id, self._now_ms())
        self.hear(move)
        return await self._share(move)

    async def keep_sharing(self) -> None:
        """Mark again, until cancelled, what moved while Redis was away: at most `MAX_UNSHARED` accounts."""
        while True:
            await asyncio.sleep(_SHARE_SECONDS)
            for account_id in list(self._unshared):
                await self._share(Move(account_id, self._now_ms()))
                if account_id in self._unshared:
                    break

    def begin_store(self, account_id: AccountId) -> None:
        """Note from now on whether an account moves, for `store`."""
        self._calls[account_id] = 0

    async def store(self, entry: Entry, send: Callable[[Entry], Awaitable[None]]) -> None:
        """Store an answer, marked if the account has moved since `begin_store`.

        It may replace a mark that is made from now on, so a later move is marked again.
        """
        entry = _mark(entry, self.end_call(entry.account_id))
        self.begin_store(entry.account_id)
        try:
            await send(entry)
        finally:
            moved_at = self.end_call(entry.account_id)
        if moved_at:
            await self.mark(entry.account_id)

    def hear(self, move: Move) -> None:
        """Mark what this replica knows of an account that moved, and what it is being answered."""
        latest = latest_plausible_as_of(self._now_ms())
        moved_at = min(move.at, latest)
        kept = self._memory.peek(move.account_id)
        if kept is not None and kept.as_of <= latest:
            self._memory.mark_moved(move.account_id, max(moved_at, kept.as_of))
        if move.account_id in self._calls:
            self._calls[move.account_id] = moved_at
        if move.account_id in self._watched:
            self._watched[move.account_id] = True

    def watch(self, account_id: AccountId) -> None:
        """Note from now on whether an account moves, for its chase."""
        self._watched[account_id] = False

    def unwatch(self, account_id: AccountId) -> bool:
        """Return whether an account has moved since `watch`."""
        return self._watched.pop(account_id, False)

    def begin_call(self, account_id: AccountId) -> Entry | None:
        """Begin a call of the upstream, and return what is known before it."""
        self._calls[account_id] = 0
        return self._memory.peek(account_id)

    def doubt(self, account_id: AccountId, moved_at: int | None) -> None:
        """Mark an account that moved; forget one of which nothing known may be served any more (None)."""
        if moved_at is None:
            self._memory.forget(account_id)
        else:
            self.hear(Move(account_id, moved_at))

    def end_call(self, account_id: AccountId) -> int:
        """End a call of the upstream. Return when the account moved since it began (Unix milliseconds), 0 if it did not."""
        return self._calls.pop(account_id, 0)

    async def _share(self, move: Move) -> Move:
        """Mark the entry in Redis, and tell every replica. Return the move as it counts there."""
        if len(self._unshared) < MAX_UNSHARED:
            self._unshared.add(move.account_id)  # also if this is cancelled
        moved_at = await self._redis.mark_moved(move, latest_as_of=latest_plausible_as_of(self._now_ms()))
        if isinstance(moved_at, RedisFailure):
            return move
        self._unshared.discard(move.account_id)
        self.hear(shared := Move(move.account_id, moved_at))
        return shared


def order(entry: Entry, known: Entry | None, moved_at: int) -> Entry:
    """Order an answer after what was known at its call, whatever the clocks say.

    A move at `moved_at`, during the call, may be in the answer or not, so the answer counts as from before it.
    """
    if known is not None:
        newest = known.as_of if known.moved_at is UNSET else known.moved_at
        if entry.as_of <= newest:
            entry = replace(entry, as_of=newest + 1)
    return _mark(entry, moved_at)


def _mark(entry: Entry, moved_at: int) -> Entry:
    return replace(entry, moved_at=max(moved_at, entry.as_of)) if moved_at else entry
