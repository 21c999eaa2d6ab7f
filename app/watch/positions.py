"""Positions of streams in the feed of changes: what a reader that comes again has missed."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from msgspec import Struct

from app.balances.snapshots import AccountId
from app.errors import StoreUnavailable
from app.history.cursors import FeedPosition
from app.history.slices import FeedSlices
from app.redis.client import RedisFailure

EVERY_SECONDS: Final = 5.0
"""The pause between two looks at the feed. What the earlier one found was heard by the time of the later one."""

_PURPOSE: Final = b"watch"
_NUMBER_BYTES: Final = 8
_UNKNOWN: Final = "0"


class Position(Struct, frozen=True):
    """A place in the feed up to which a reader was shown everything, and whether all of that was fresh then."""

    feed: FeedPosition
    all_fresh: bool


class Positions(Protocol):
    """Where streams are, and what changed after that."""

    def heard(self) -> FeedPosition | None:
        """Return the place up to which this replica has heard all changes, None if that is not known."""

    def seal(self, position: Position | None, /) -> str:
        """Return a cursor: opaque, of one length, and another one each time."""

    async def changed_since(
        self, cursor: str, accounts: Sequence[AccountId] | None, /
    ) -> tuple[Position, Collection[AccountId]] | None:
        """Return the position of a cursor and which of the accounts changed since, None if that cannot be known.

        None for the accounts stands for all there are: the changes of all decide whether it can be known then.
        """


class NoPositions:
    """Positions without a feed: each stream that resumes is shown everything."""

    def heard(self) -> FeedPosition | None:
        """Know no place."""
        return None

    def seal(self, _: Position | None, /) -> str:
        """Return a constant."""
        return _UNKNOWN

    async def changed_since(
        self, _cursor: str, _accounts: Sequence[AccountId] | None, /
    ) -> tuple[Position, Collection[AccountId]] | None:
        """Know nothing."""
        return None


class FeedPositions:
    """Positions in the feed, which one command every five seconds looks up while `is_needed`.

    A place counts as heard once a second look has followed, with the bus connected all the time. So it is five to ten
    seconds old, and a reader that comes again is shown what changed in them once more.
    """

    def __init__(self, slices: FeedSlices, is_connected: Callable[[], bool], is_needed: Callable[[], bool]) -> None:
        self._slices: Final = slices
        self._feed: Final = slices.feed
        self._is_connected: Final = is_connected
        self._is_needed: Final = is_needed
        self._seen: FeedPosition | None = None
        self._heard: FeedPosition | None = None

    def heard(self) -> FeedPosition | None:
        """Return the place up to which this replica has heard all changes, None if that is not known."""
        return self._heard

    def on_subscribed(self) -> None:
        """Begin again: changes may have been missed."""
        self._seen = self._heard = None

    def seal(self, position: Position | None) -> str:
        """Return a cursor. Without a position, or after the end of its epoch, it leads to no place."""
        if position is None or position.feed.epoch != self._feed.cursors.epoch:
            return _UNKNOWN
        content = b"".join(part.to_bytes(_NUMBER_BYTES, "big") for part in position.feed.place)
        return self._feed.cursors.seal_bytes(_PURPOSE, content + bytes([position.all_fresh]))

    async def changed_since(
        self, cursor: str, accounts: Sequence[AccountId] | None
    ) -> tuple[Position, Collection[AccountId]] | None:
        """Return the position of a cursor and which of the accounts changed since, None if that cannot be known."""
        position = await self._open(cursor)
        if position is None:
            return None
        try:
            changed = await self._slices.changed_since(position.feed, accounts)
        except StoreUnavailable:
            return None
        return None if changed is None else (position, changed)

    async def run(self) -> None:
        """Look at the feed while it is needed, until cancelled."""
        while True:
            if self._is_needed():
                await self._look()
            else:
                self._seen = self._heard = None
            await asyncio.sleep(EVERY_SECONDS)

    async def _look(self) -> None:
        seen = self._seen
        found = await self._feed.latest_position()
        if isinstance(found, RedisFailure) or not self._is_connected():
            self._seen = None
            return
        if seen is not None and seen is self._seen:
            self._heard = seen if seen.epoch == found.epoch else None
        self._seen = found

    async def _open(self, cursor: str) -> Position | None:
        opened = await self._feed.cursors.open_bytes(_PURPOSE, cursor)
        if isinstance(opened, bytes) and len(opened) == 2 * _NUMBER_BYTES + 1:
            numbers = opened[:_NUMBER_BYTES], opened[_NUMBER_BYTES:-1]
            milliseconds, number = (int.from_bytes(each, "big") for each in numbers)
            return Position(FeedPosition(self._feed.cursors.epoch, (milliseconds, number)), bool(opened[-1]))
        position = await self._feed.cursors.open(cursor)
        return Position(position, all_fresh=False) if isinstance(position, FeedPosition) else None
