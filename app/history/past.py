"""Past: questions about the history of one account. The caller's rights were checked before."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from app.balances.snapshots import AccountId
from app.errors import FeedEnded, HistoryGone, InvalidRequest, NoHistory, StoreUnavailable
from app.history.changes import Change
from app.history.cursors import Cursors, CursorTrouble
from app.history.feed import FeedReader
from app.history.recording import history_name
from app.history.states import History, Looks, State, read_history
from app.redis import lua_history
from app.redis.batching import ScriptBatcher
from app.redis.client import RedisFailure
from app.redis.scripts import make_script
from app.redis.shared import Shared

_AT_ONCE: Final = 200
_NUMBER_BYTES: Final = 8
_EPOCH_BYTES: Final = 8
_PURPOSE: Final = b"changes"


class PastState(Struct, frozen=True):
    """What is known of an account at a moment: the state, the looks that found it, and when another one was found.

    `is_seen` if looks from before and after the moment found it. Times are Unix milliseconds.
    """

    epoch: str
    state: State
    looks: Looks
    changed_by: int | None
    is_seen: bool


class ChangesPage(Struct, frozen=True):
    """Changes of an account, oldest first, since when they are kept, and the cursor of the next page, if there is one."""

    epoch: str
    kept_from: int
    changes: list[Change]
    next: str | None


class Window(Struct, frozen=True):
    """Which changes are wanted: those found from `since` until before `until` (Unix ms), and those of some assets."""

    since: int | None = None
    until: int | None = None
    assets: frozenset[str] | None = None

    def shows(self, change: Change) -> bool:
        """Check that a change is wanted."""
        if self.since is not None and change.after.since < self.since:
            return False
        if self.assets is None or change.before is None:
            return True
        return any(row.row.asset_id in self.assets for row in change.rows())

    def ends_before(self, change: Change) -> bool:
        """Check that no later change is wanted."""
        return self.until is not None and change.after.since >= self.until


def _without_end() -> int:
    return 0


class Past:
    """Answer questions about the past of an account from its history in Redis.

    `keep_from` gives since when callers see the past (Unix ms). What is from before may still be stored, until someone's
    balances change: to show it would say whether they did.
    """

    def __init__(self, shared: Shared, feed: FeedReader, keep_from: Callable[[], int] = _without_end) -> None:
        self._shared: Final = shared
        self._keep_from: Final = keep_from
        self._feed: Final = feed
        self._cursors: Final[Cursors] = feed.cursors
        self._batcher: Final = ScriptBatcher(shared.client)
        self._read: Final = make_script(lua_history.READ_STATES, read_history)

    async def at(self, account_id: AccountId, moment: int) -> PastState:
        """Return what is known at a moment. Raises `NoHistory`, `HistoryGone`, or `StoreUnavailable`."""
        found = await self.read(account_id, "at", moment, 2)
        state = found.states[0]
        kept_from = max(self._keep_from(), state.since)
        if moment < kept_from:
            raise HistoryGone("The history begins later.", kept_from_ms=kept_from)
        looks = found.looks_of(0)
        if looks is None:
            raise NoHistory("The history of this account cannot be read.")
        return PastState(found.epoch, state, *looks, is_seen=looks[0].looks > 1 and moment <= looks[0].until)

    async def changes(self, account_id: AccountId, window: Window, after: str | None, limit: int) -> ChangesPage:
        """Return up to `limit` changes after a cursor. Raises as `at`, and `FeedEnded` or `InvalidRequest`."""
        keep_from = self._keep_from()
        window = replace(window, since=max(keep_from, window.since or 0))
        found = await self._find_start(account_id, window, after)
        kept_from = max(keep_from, await self._since_when(account_id, found))
        changes: list[Change] = []
        while True:
            for change in _pair_up(found, is_start=not changes and after is None):
                if window.ends_before(change):
                    return ChangesPage(found.epoch, kept_from, changes, None)
                if window.shows(change):
                    if len(changes) == limit:
                        cursor = await self._seal(account_id, found.epoch, changes[-1])
                        return ChangesPage(found.epoch, kept_from, changes, cursor)
                    changes.append(change)
            last = found.states[-1].sequence
            if last >= found.newest:
                return ChangesPage(found.epoch, kept_from, changes, None)
            again = await self.read(account_id, "from", last, _AT_ONCE)
            if again.epoch != found.epoch or again.states[0].sequence != last:
                kept_from = max(keep_from, again.states[0].since)
                raise HistoryGone("The history was dropped meanwhile.", kept_from_ms=kept_from)
            found = again

    async def read(self, account_id: AccountId, how: str, first: int, count: int) -> History:
        """Read some states. Raises `NoHistory` or `StoreUnavailable`."""
        found = await self.find(account_id, how, first, count)
        if found is None:
            raise NoHistory("Nothing is known of the past of this account.")
        return found

    async def find(self, account_id: AccountId, how: str, first: int, count: int) -> History | None:
        """Read some states, None if there are none. Raises `StoreUnavailable`."""
        name = history_name(self._shared, account_id)
        await self._feed.recorded()
        found = await self._batcher.run(self._read, [name], [how, first, count])
        if isinstance(found, RedisFailure):
            raise store_away()
        return found if isinstance(found, History) and found.states else None

    async def close(self) -> None:
        """Wait until all commands that were sent are answered."""
        await self._batcher.close()

    async def _find_start(self, account_id: AccountId, window: Window, after: str | None) -> History:
        if after is None:
            return await self.read(account_id, "at", (window.since or 0) - 1, _AT_ONCE)
        opened = await self._cursors.open_bytes(_PURPOSE, after)
        if isinstance(opened, RedisFailure):
            raise store_away()
        if opened is CursorTrouble.GONE:
            raise feed_ended()
        if not isinstance(opened, bytes) or opened[: 2 * _NUMBER_BYTES][:_NUMBER_BYTES] != _account(account_id):
            raise InvalidRequest("after wants the next of another page of these changes.")
        sequence = int.from_bytes(opened[_NUMBER_BYTES : 2 * _NUMBER_BYTES], "big")
        found = await self.find(account_id, "from", sequence, _AT_ONCE)
        if found is None or _mark(found.epoch) != opened[2 * _NUMBER_BYTES :]:
            raise feed_ended()  # None: lost, or from before this number was given
        keep_from, following = self._keep_from(), found.states[1:2]
        if found.states[0].sequence > sequence or any(state.since < keep_from for state in following):
            kept_from = max(keep_from, await self._since_when(account_id, found))
            raise HistoryGone("What follows this cursor is not kept any more.", kept_from_ms=kept_from)
        return found

    async def _since_when(self, account_id: AccountId, found: History) -> int:
        if found.states[0].sequence == found.oldest:
            return found.states[0].since
        return (await self.read(account_id, "from", found.oldest, 1)).states[0].since

    async def _seal(self, account_id: AccountId, epoch: str, last: Change) -> str:
        if isinstance(await self._feed.read_meta(), RedisFailure):  # which gives the key
            raise store_away()
        number = last.after.sequence.to_bytes(_NUMBER_BYTES, "big")
        return self._cursors.seal_bytes(_PURPOSE, _account(account_id) + number + _mark(epoch))


def no_history() -> NoHistory:
    """Say that no history is kept here."""
    return NoHistory("This service keeps no history.")


def store_away() -> StoreUnavailable:
    """Say that the history is kept in Redis."""
    return StoreUnavailable("The history is kept in Redis, which does not answer or refuses.", retry_after_seconds=2)


def feed_ended() -> FeedEnded:
    """Say that a cursor is of another epoch."""
    return FeedEnded("The history that this cursor belongs to was lost: another one has begun.")


def _pair_up(found: History, *, is_start: bool) -> Iterator[Change]:
    """Pair each state with the one before it. The first one alone is shown where it began its epoch."""
    if is_start and found.states[0].before is None:
        yield Change(None, found.states[0])
    for before, after in zip(found.states, found.states[1:], strict=False):
        yield Change(before, after)


def _account(account_id: AccountId) -> bytes:
    return int(account_id).to_bytes(_NUMBER_BYTES, "big")


def _mark(epoch: str) -> bytes:
    return hashlib.blake2b(epoch.encode(), digest_size=_EPOCH_BYTES).digest()
