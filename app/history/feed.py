"""The feed of all changes: read after a position, in the order recorded, each change at least once."""

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from msgspec import Struct

from app.history.cursors import Cursors, FeedPosition
from app.history.recording import feed_names
from app.history.results import KEY_BYTES, FeedEntry, FeedMeta, FeedSlice, read_feed
from app.redis import lua_feed
from app.redis.client import RedisClient, RedisFailure
from app.redis.scripts import make_single, run_single
from app.redis.shared import Shared


class FeedPage(Struct, frozen=True):
    """Changes after a position, oldest first, and the position after them. `is_last` if no newer ones were there."""

    meta: FeedMeta
    entries: Sequence[FeedEntry]
    position: FeedPosition
    is_last: bool


class FeedGone(Struct, frozen=True):
    """What follows a position is not kept any more, or its epoch has ended (`is_other_epoch`)."""

    meta: FeedMeta
    is_other_epoch: bool


async def _without_looks() -> None:
    pass


class FeedReader:
    """Read the feed. No method raises errors of Redis, or depends on who may read what: that is the caller's part.

    A position is a `FeedPosition`; `cursors` seals them for callers. The first reader begins an epoch where there is none,
    or where the feed lacks a position that it had: an older state of the store has come back.

    Each read first waits for `recorded`: who was answered by this replica finds that look in the past.
    """

    def __init__(self, shared: Shared, recorded: Callable[[], Awaitable[None]] = _without_looks) -> None:
        self.recorded: Final = recorded
        self.cursors: Final = Cursors(self._load_key)
        self._shared: Final = shared
        self._client: Final[RedisClient] = shared.client
        self._read: Final = make_single(lua_feed.READ_FEED)
        self._newest: FeedPosition | None = None

    async def read_after(self, position: FeedPosition | None, limit: int) -> FeedPage | FeedGone | RedisFailure:
        """Read up to `limit` changes after a position, from the oldest kept one for None.

        Waits for two commands at most. May be cancelled.
        """
        found = await self._read_slice(position, limit)
        if isinstance(found, RedisFailure):
            return found
        meta = found.meta
        if position is not None and position.epoch != meta.epoch:
            return FeedGone(meta, is_other_epoch=True)
        if position is not None and position.place < meta.popped:
            return FeedGone(meta, is_other_epoch=False)
        start = meta.popped if position is None else position.place
        last = found.last or start
        return FeedPage(meta, found.entries, FeedPosition(meta.epoch, last), is_last=last >= found.newest)

    async def latest_position(self) -> FeedPosition | RedisFailure:
        """Return the position after the newest change."""
        found = await self._read_slice(None, 0)
        return found if isinstance(found, RedisFailure) else FeedPosition(found.meta.epoch, found.newest)

    async def read_meta(self) -> FeedMeta | RedisFailure:
        """Return what is known of the feed."""
        found = await self._read_slice(None, 0)
        return found if isinstance(found, RedisFailure) else found.meta

    async def _read_slice(self, after: FeedPosition | None, limit: int) -> FeedSlice | RedisFailure:
        await self.recorded()
        arguments: list[Any] = [self._shared.replica_id, os.urandom(KEY_BYTES), _id_of(after), limit]
        known = self._newest_known(after)
        arguments += ["" if known is None else known.epoch, _id_of(known)]
        found = await self._client.execute(
            lambda: run_single(self._client.client, self._read, feed_names(self._shared), arguments), read_feed
        )
        if not isinstance(found, RedisFailure):
            self.cursors.use(found.meta.epoch, found.meta.key)
            self._newest = self._newest_known(FeedPosition(found.meta.epoch, found.newest))
        return found

    def _newest_known(self, other: FeedPosition | None) -> FeedPosition | None:
        known = self._newest
        if other is None or (known is not None and known.epoch == other.epoch and known.place >= other.place):
            return known
        return other

    async def _load_key(self) -> tuple[str, bytes] | RedisFailure:
        meta = await self.read_meta()
        return meta if isinstance(meta, RedisFailure) else (meta.epoch, meta.key)


def _id_of(position: FeedPosition | None) -> str:
    return "" if position is None else f"{position.place[0]}-{position.place[1]}"
