"""Readers of the feed: what others do, or the loss of the store, changes no answer of theirs."""

import asyncio
import itertools

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from app.balances.snapshots import AccountId, Snapshot
from app.errors import FeedEnded, HistoryGone, StoreUnavailable
from app.history.cursors import FeedPosition
from app.history.feed import FeedGone, FeedPage, FeedReader
from app.history.following import Following, News
from app.history.past import Past
from app.history.recording import HistoryOptions, Look
from app.redis.client import RedisFailure
from app.redis.shared import Shared
from app.runtime import Runtime
from tests.support.replica import Replica, Upstream, run_replicas
from tests.support.virtual_time import unix_ms

MINE, OTHERS = AccountId("5"), AccountId("6")
OPTIONS = HistoryOptions(keep_ms=604_800_000, max_bytes=2_000)


def follow(replica: Replica, feed: FeedReader | None = None) -> tuple[Following, News]:
    news = News(replica.feed, lambda: False)
    runtime = Runtime(unix_ms=unix_ms)
    past = Past(replica.shared, replica.feed)
    return Following(feed or replica.feed, past, news, OPTIONS, runtime, longest_wait_seconds=20), news


class SlowFeed(FeedReader):
    """A feed whose store fails to answer the reads with these numbers."""

    def __init__(self, shared: Shared, *fails: int) -> None:
        super().__init__(shared)
        self._numbers = itertools.count(1)
        self._fails = fails

    async def read_after(self, position: FeedPosition | None, limit: int) -> FeedPage | FeedGone | RedisFailure:
        if next(self._numbers) in self._fails:
            return RedisFailure.UNAVAILABLE
        return await super().read_after(position, limit)


async def look(replica: Replica, key: AccountId, amount: int) -> None:
    await asyncio.sleep(0.01)
    found = Snapshot(key, unix_ms(), can_deposit=bool(amount % 2), balances=())
    await replica.tier.store_and_release(found, look=Look(found.as_of - 1))


async def test_a_cursor_stays_good_while_only_changes_of_others_are_dropped(server: FakeServer) -> None:
    async with run_replicas(Upstream(), server, 1, history=OPTIONS) as (one,):
        following, _ = follow(one)
        await look(one, MINE, 1)
        begun = await following.read([MINE], {MINE}.__contains__, None, 10, 0)
        await asyncio.sleep(100)
        for amount in range(40):
            await look(one, OTHERS, amount)
        quiet = await following.read([MINE], {MINE}.__contains__, begun.next, 10, 0)
        assert (list(quiet.changes), quiet.is_complete) == ([], True)
        await look(one, MINE, 2)
        found = await following.read([MINE], {MINE}.__contains__, begun.next, 10, 0)
        assert [change.change.after.sequence for change in found.changes] == [1]
        with pytest.raises(HistoryGone):
            await following.read([OTHERS], {OTHERS}.__contains__, begun.next, 10, 0)
        with pytest.raises(HistoryGone):
            await following.read(None, lambda _: True, begun.next, 10, 0)


async def test_a_cursor_is_gone_once_a_change_of_its_own_was_dropped(server: FakeServer) -> None:
    async with run_replicas(Upstream(), server, 1, history=OPTIONS) as (one,):
        following, _ = follow(one)
        await look(one, MINE, 1)
        begun = await following.read([MINE], {MINE}.__contains__, None, 10, 0)
        await asyncio.sleep(100)
        await look(one, MINE, 2)
        for amount in range(40):
            await look(one, OTHERS, amount)
        with pytest.raises(HistoryGone):
            await following.read([MINE], {MINE}.__contains__, begun.next, 10, 0)


async def test_who_reads_while_another_reader_finds_the_next_epoch_gets_an_answer(server: FakeServer) -> None:
    async with run_replicas(Upstream(), server, 1, history=OPTIONS) as (one,):
        following, _ = follow(one)
        await look(one, MINE, 1)

        def reads(_: AccountId) -> bool:
            asyncio.get_running_loop().call_soon(one.feed.cursors.use, "1-another", bytes(32))
            return True

        found = await following.read(None, reads, None, 10, 0)
        assert [change.account_id for change in found.changes] == [MINE]


async def test_a_reader_who_waits_is_spared_a_short_failure_while_others_move(server: FakeServer) -> None:
    async with run_replicas(Upstream(), server, 1, history=OPTIONS) as (one,):
        following, _ = follow(one)
        await look(one, MINE, 1)
        begun = await following.read([MINE], {MINE}.__contains__, None, 10, 0)
        following, news = follow(one, SlowFeed(one.shared, 2, 3))
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(news.keep_looking())
            reading = tasks.create_task(following.read([MINE], {MINE}.__contains__, begun.next, 10, 10))
            await asyncio.sleep(1)
            await look(one, OTHERS, 1)
            await asyncio.sleep(3)
            await look(one, MINE, 2)
            found = await reading
            looking.cancel()
        assert [change.change.after.sequence for change in found.changes] == [1]


@pytest.mark.parametrize("fails", [(1,), (2, 3, 4)])
async def test_a_store_that_stays_away_is_told(server: FakeServer, fails: tuple[int, ...]) -> None:
    async with run_replicas(Upstream(), server, 1, history=OPTIONS) as (one,):
        await look(one, MINE, 1)
        following, news = follow(one, SlowFeed(one.shared, *fails))
        looking = asyncio.create_task(news.keep_looking())
        reading = asyncio.create_task(following.read([OTHERS], {OTHERS}.__contains__, None, 10, 10))
        await asyncio.sleep(1)
        await look(one, MINE, 2)
        with pytest.raises(StoreUnavailable):
            await reading
        looking.cancel()


async def test_who_waits_while_the_store_is_lost_gets_the_end_of_the_feed(server: FakeServer) -> None:
    async with run_replicas(Upstream(), server, 1, history=OPTIONS) as (one,):
        following, news = follow(one)
        looking = asyncio.create_task(news.keep_looking())
        begun = await following.read([MINE], {MINE}.__contains__, None, 10, 0)
        waiting = asyncio.create_task(following.read([MINE], {MINE}.__contains__, begun.next, 10, 5))
        await asyncio.sleep(1)
        await FakeAsyncRedis(server=server).flushall()
        with pytest.raises(FeedEnded):
            await waiting
        looking.cancel()
