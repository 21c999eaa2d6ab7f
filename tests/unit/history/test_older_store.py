"""A store that comes back older than it was: its epoch ends, whether a reader's cursor or a replica's memory tells that."""

import asyncio
from typing import Any

from fakeredis import FakeAsyncRedis, FakeServer

from app.balances.snapshots import Snapshot
from app.history.cursors import CursorTrouble, FeedPosition
from app.history.feed import FeedGone, FeedPage
from app.history.recording import HistoryOptions, Look
from app.history.results import FeedMeta
from tests.support.replica import KEY, Replica, Upstream, run_replicas
from tests.support.virtual_time import unix_ms

HISTORY = HistoryOptions(keep_ms=604_800_000, max_bytes=10**9)


async def look(replica: Replica, amount: int) -> Snapshot:
    await asyncio.sleep(0.01)
    found = Snapshot(KEY, unix_ms(), can_deposit=bool(amount % 2), balances=())
    await replica.tier.store_and_release(found, look=Look(found.as_of - 1))
    return found


async def page_of(replica: Replica, position: FeedPosition | None = None) -> FeedPage:
    page = await replica.feed.read_after(position, 100)
    assert isinstance(page, FeedPage)
    return page


async def take_back(server: FakeServer, dump: dict[Any, Any]) -> None:
    """Give a server the state that `keep` took of it, as an older file or a replica that lagged does."""
    raw = FakeAsyncRedis(server=server)
    await raw.flushall()
    for name, (kind, value) in dump.items():
        if kind == "hash":
            await raw.hset(name, mapping=value)
        else:
            for place, fields in value:
                await raw.xadd(name, fields, id=place)


async def keep(server: FakeServer) -> dict[Any, Any]:
    raw = FakeAsyncRedis(server=server)
    return {
        **{name: ("hash", await raw.hgetall(name)) for name in await raw.keys("*:history")},
        b"t:{feed}:meta": ("hash", await raw.hgetall("t:{feed}:meta")),
        b"t:{feed}": ("stream", await raw.xrange("t:{feed}")),
    }


async def test_a_store_that_comes_back_older_begins_an_epoch_though_new_changes_cover_the_lost_ones(
    server: FakeServer,
) -> None:
    async with run_replicas(Upstream(), server, 2, history=HISTORY) as (one, two):
        await look(one, 1)
        await page_of(one)
        older = await keep(server)
        lost = await look(one, 2)
        cursor = (await page_of(one)).position
        await take_back(server, older)
        again = await look(two, 4)  # `two` never knew a number: it gives the lost one again
        assert (again.sequence, again.epoch) == (lost.sequence, lost.epoch)
        gone = await two.feed.read_after(cursor, 10)
        assert isinstance(gone, FeedGone)
        assert gone.is_other_epoch
        after = [await look(two, amount) for amount in (5, 6)]
        assert [entry.sequence for entry in after] == [0, 1]
        assert {entry.epoch for entry in after} != {lost.epoch}
        assert [entry.sequence for entry in (await page_of(one)).entries] == [0, 1]


async def test_any_replica_notices_a_store_that_comes_back_older_without_a_reader(server: FakeServer) -> None:
    async with run_replicas(Upstream(), server, 1, history=HISTORY) as (one,):
        await look(one, 1)
        before = await one.feed.read_meta()
        older = await keep(server)
        await look(one, 2)
        await one.feed.read_meta()
        await take_back(server, older)
        after = await one.feed.read_meta()
        assert isinstance(before, FeedMeta)
        assert isinstance(after, FeedMeta)
        assert after.epoch != before.epoch
        assert (await look(one, 2)).sequence == 0


async def test_a_store_that_comes_back_whole_keeps_its_epoch(server: FakeServer) -> None:
    async with run_replicas(Upstream(), server, 1, history=HistoryOptions(keep_ms=10**8, max_bytes=1_000)) as (one,):
        first = (await page_of(one)).position
        for amount in range(10):
            await look(one, amount)
        newest = (await page_of(one)).position
        await take_back(server, await keep(server))
        assert (await page_of(one, newest)).entries == ()
        gone = await one.feed.read_after(first, 10)
        assert isinstance(gone, FeedGone)
        assert not gone.is_other_epoch
        assert (await look(one, 10)).sequence == 10


async def test_cursors_of_a_feed_that_comes_back_without_its_key_are_gone(server: FakeServer) -> None:
    async with run_replicas(Upstream(), server, 2, history=HISTORY) as (one, two):
        await look(one, 1)
        older = await keep(server)
        cursor = one.feed.cursors.seal((await page_of(one)).position)
        await take_back(server, older)
        await two.feed.read_meta()  # `two` knows nothing of a key, and makes one
        assert await two.feed.cursors.open(cursor) is CursorTrouble.GONE
        assert await one.feed.cursors.open(cursor) is not CursorTrouble.INVALID
