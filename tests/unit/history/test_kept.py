"""The bound of what is kept: it moves on with time alone, for changes, the feed and the balances at a moment alike."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fakeredis import FakeServer

from app.balances.snapshots import AccountId, Snapshot
from app.errors import HistoryGone
from app.history.following import Followed, Following, News
from app.history.past import Past, Window
from app.history.recording import HistoryOptions, Look
from app.runtime import Runtime
from tests.support.replica import Replica, Upstream, run_replicas
from tests.support.virtual_time import unix_ms

KEPT_MS = 10_000
OPTIONS = HistoryOptions(keep_ms=KEPT_MS, max_bytes=10**9)
MINE, OTHERS = AccountId("5"), AccountId("6")


class Reader:
    """A caller that reads one account."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.past = Past(replica.shared, replica.feed, lambda: unix_ms() - KEPT_MS)
        runtime = Runtime(unix_ms=unix_ms)
        news = News(replica.feed, lambda: False)
        self.following = Following(replica.feed, self.past, news, OPTIONS, runtime, longest_wait_seconds=20)

    async def look(self, amount: int, key: AccountId = MINE) -> int:
        await asyncio.sleep(1)
        found = Snapshot(key, unix_ms(), can_deposit=bool(amount % 2), balances=())
        await self.replica.tier.store_and_release(found, look=Look(found.as_of - 1))
        return found.as_of

    async def follow(self, after: str | None = None) -> Followed:
        return await self.following.read([MINE], {MINE}.__contains__, after, 10, 0)

    async def changes(self, after: str | None = None, limit: int = 10) -> list[int]:
        page = await self.past.changes(MINE, Window(), after, limit)
        assert page.kept_from >= unix_ms() - KEPT_MS
        return [change.after.sequence for change in page.changes]


async def refused(asked: Awaitable[object]) -> int:
    with pytest.raises(HistoryGone) as caught:
        await asked
    return caught.value.kept_from_ms


Others = Callable[[Reader], Awaitable[None]]


async def rest(_: Reader) -> None:
    """Move nothing."""


async def move(reader: Reader) -> None:
    """Move another account as often as it takes to drop all that is due."""
    for amount in range(5):
        now = unix_ms()
        found = Snapshot(OTHERS, now + amount, can_deposit=bool(amount % 2), balances=())
        await reader.replica.tier.store_and_release(found, look=Look(now))


@pytest.mark.parametrize("others", [rest, move])
async def test_what_is_too_old_is_refused_whether_or_not_others_move(server: FakeServer, others: Others) -> None:
    async with run_replicas(Upstream(), server, 1, history=OPTIONS) as (one,):
        reader = Reader(one)
        first = await reader.look(0)
        begun = await reader.follow()
        page = await reader.past.changes(MINE, Window(), None, 1)
        assert await reader.changes() == [0]
        second, third = await reader.look(1), await reader.look(2)
        middle = (await reader.past.changes(MINE, Window(), None, 2)).next
        await asyncio.sleep((second + KEPT_MS - unix_ms()) / 1000)
        await others(reader)  # at this moment the change to the second state is just kept
        assert await reader.changes() == [1, 2]
        assert [change.change.after.sequence for change in (await reader.follow(begun.next)).changes] == [1, 2]
        assert (await reader.past.at(MINE, second)).state.sequence == 1
        assert await refused(reader.past.at(MINE, second - 1)) == second
        assert await refused(reader.past.at(MINE, first)) == second
        await asyncio.sleep(0.001)
        assert await reader.changes() == [2]
        assert [change.change.after.sequence for change in (await reader.follow()).changes] == [2]
        assert await refused(reader.follow(begun.next)) == second + 1
        assert page.next is None
        assert await reader.changes(middle) == [2]
        assert (await reader.past.at(MINE, second + 1)).state.sequence == 1
        await asyncio.sleep((third + KEPT_MS + 1 - unix_ms()) / 1000)
        await others(reader)
        assert await refused(reader.changes(middle)) == third + 1
        assert await reader.changes() == []
        assert (await reader.follow()).kept_from == third + 1


@pytest.mark.parametrize("others", [rest, move])
async def test_an_old_cursor_stays_good_while_nothing_of_the_reader_followed_it(
    server: FakeServer, others: Others
) -> None:
    async with run_replicas(Upstream(), server, 1, history=OPTIONS) as (one,):
        reader = Reader(one)
        for _ in range(10):
            await reader.look(0)
            await asyncio.sleep(6)
        await reader.look(0, OTHERS)
        begun = await reader.follow()
        await reader.look(1, OTHERS)
        await reader.look(0)
        await asyncio.sleep(9)
        await others(reader)
        assert (await reader.follow(begun.next)).changes == []
