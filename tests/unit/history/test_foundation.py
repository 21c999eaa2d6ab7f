"""Sequences, epochs, the feed and its cursors, over replicas in virtual time."""

import asyncio
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from app.balances.snapshots import AGGREGATE, AccountId, Snapshot
from app.history.cursors import CursorTrouble, FeedPosition
from app.history.feed import FeedGone, FeedPage
from app.history.past import Past
from app.history.recording import HistoryOptions, Look
from app.history.slices import FeedSlices
from app.redis.client import RedisFailure
from app.runtime import Runtime
from tests.support.replica import KEY, Replica, Upstream, directives, run_replicas
from tests.support.virtual_time import unix_ms

OTHER, LATER = AccountId("7"), AccountId("8")
HISTORY = HistoryOptions(keep_ms=604_800_000, max_bytes=10**9)


def content(amount: int, key: AccountId = KEY) -> Snapshot:
    return Snapshot(key, unix_ms(), can_deposit=bool(amount % 2), balances=())


async def look(replica: Replica, amount: int, key: AccountId = KEY) -> Snapshot:
    await asyncio.sleep(0.01)
    found = content(amount, key)
    await replica.tier.store_and_release(found, look=Look(found.as_of - 1))
    return found


async def page_of(replica: Replica, position: FeedPosition | None = None, limit: int = 100) -> FeedPage:
    page = await replica.feed.read_after(position, limit)
    assert isinstance(page, FeedPage)
    return page


def slices(replica: Replica) -> FeedSlices:
    return FeedSlices(replica.feed, Past(replica.shared, replica.feed), HISTORY, Runtime(unix_ms=unix_ms))


async def size_of_feed(raw: FakeAsyncRedis) -> int:
    found: list[Any] = await raw.xrange("t:{feed}") or []
    return sum(int(fields.get(b"b", 0)) for _, fields in found)


def number(replica: Replica) -> object:
    kept = replica.memory.peek(KEY)
    return kept and kept.sequence


async def test_what_differs_gets_the_next_number_at_every_replica_and_what_is_the_same_keeps_it(
    server: FakeServer,
) -> None:
    upstream = Upstream()
    async with run_replicas(upstream, server, 2, history=HISTORY) as (one, two):
        first = (await one.cache.read(KEY, directives(), "c")).entry
        await asyncio.sleep(0.01)
        heard = two.memory.peek(KEY)
        assert heard is not None
        assert first == heard
        assert (first.sequence, first.epoch) == (0, heard.epoch)
        assert one.memory.get(KEY) is first
        await two.cache.read(KEY, directives(no_cache=True), "c")
        await asyncio.sleep(0.01)
        assert {number(replica) for replica in (one, two)} == {1}
        same = await look(one, 1)
        assert (await look(two, 1)).sequence == same.sequence == 2
        newest = await look(one, 1)
        assert await two.tier.get_many([KEY]) == {KEY: newest}


async def test_the_feed_has_each_change_once_in_the_order_recorded(server: FakeServer) -> None:
    async with run_replicas(Upstream(), server, 2, history=HISTORY) as (one, two):
        for replica, amount, key in ((one, 1, KEY), (two, 1, OTHER), (two, 1, KEY), (one, 2, KEY), (one, 2, AGGREGATE)):
            await look(replica, amount, key)
        page = await page_of(two)
        assert [(one.account_id, one.sequence) for one in page.entries] == [
            *((KEY, 0), (OTHER, 0), (KEY, 1), (AGGREGATE, 0)),
        ]
        assert page.is_last
        assert page.position == await one.feed.latest_position()
        first = await page_of(one, None, 1)
        assert not first.is_last
        assert (await page_of(one, first.position)).entries == page.entries[1:]
        assert await slices(one).changed_since(first.position, None) == {KEY, OTHER, AGGREGATE}
        assert await slices(one).changed_since(first.position, [OTHER, LATER]) == {OTHER}
        assert await slices(one).changed_since(page.position, None) == set()


async def test_a_cursor_is_opened_at_every_replica_and_says_nothing(server: FakeServer) -> None:
    async with run_replicas(Upstream(), server, 2, history=HISTORY) as (one, two):
        position = (await page_of(one)).position
        await look(one, 1)
        later = (await page_of(one)).position
        sealed = {one.feed.cursors.seal(at) for at in (position, position, later)}
        assert len(sealed) == 3
        assert len({len(text) for text in sealed}) == 1
        assert await two.feed.cursors.open(one.feed.cursors.seal(later)) == later
        good = one.feed.cursors.seal(later)
        assert await two.feed.cursors.open(good[:-2] + ("AA" if good[-2:] != "AA" else "BB")) is CursorTrouble.INVALID
        for wrong in ("", "x", "1", good[:9], f"0{good}"):
            assert await two.feed.cursors.open(wrong) is CursorTrouble.INVALID


async def test_with_the_store_the_epoch_ends_and_nothing_is_invented(server: FakeServer) -> None:
    async with run_replicas(Upstream(), server, 2, history=HISTORY) as (one, two):
        before = await look(one, 1)
        position = (await page_of(one)).position
        cursor = one.feed.cursors.seal(position)
        await FakeAsyncRedis(server=server).flushall()
        after = await look(two, 2)
        assert (after.sequence, after.epoch == before.epoch) == (0, False)
        assert await slices(one).changed_since(position, [KEY]) is None
        gone = await one.feed.read_after(position, 10)
        assert isinstance(gone, FeedGone)
        assert gone.is_other_epoch
        assert await one.feed.cursors.open(cursor) is CursorTrouble.GONE
        with pytest.raises(ValueError, match="ended"):
            one.feed.cursors.seal(position)


async def test_an_account_whose_history_is_lost_begins_again_and_the_feed_goes_on(server: FakeServer) -> None:
    async with run_replicas(Upstream(), server, 1, history=HISTORY) as (one,):
        before = await look(one, 1)
        await one.tier.withdraw(KEY)
        after = await look(one, 1)
        assert (after.sequence, after.epoch == before.epoch) == (0, False)
        assert [entry.epoch for entry in (await page_of(one)).entries] == [before.epoch, after.epoch]


@pytest.mark.parametrize("lost", ["t:{feed}", "t:{feed}:meta"])
async def test_half_a_feed_is_none(server: FakeServer, lost: str) -> None:
    async with run_replicas(Upstream(), server, 1, history=HISTORY) as (one,):
        await look(one, 1)
        position = (await page_of(one)).position
        await FakeAsyncRedis(server=server).delete(lost)
        assert (await look(one, 2)).sequence == 1
        assert isinstance(await one.feed.read_after(position, 1), FeedGone)
        assert [entry.sequence for entry in (await page_of(one)).entries] == [1]


async def test_what_is_dropped_is_gone_and_said(server: FakeServer) -> None:
    async with run_replicas(Upstream(), server, 1, history=HistoryOptions(keep_ms=10**8, max_bytes=1_000)) as (one,):
        position = (await page_of(one)).position
        for amount in range(20):
            await look(one, amount)
        gone = await one.feed.read_after(position, 10)
        assert isinstance(gone, FeedGone)
        assert not gone.is_other_epoch
        assert gone.meta.bytes == await size_of_feed(FakeAsyncRedis(server=server)) <= 1_000
        assert gone.meta.kept_ms
        assert gone.meta.cut_ms
        kept = [entry.sequence for entry in (await page_of(one)).entries]
        assert kept == list(range(kept[0], 20))
        assert len(kept) > 1
        fields = await FakeAsyncRedis(server=server).hkeys(f"t:{{{KEY}}}:history")
        assert sorted(int(name[1:]) for name in fields if name[1:].isdigit()) == list(range(kept[0] - 1, 20))


async def test_changes_are_kept_for_their_time(server: FakeServer) -> None:
    async with run_replicas(Upstream(), server, 1, history=HistoryOptions(keep_ms=10_000, max_bytes=10**9)) as (one,):
        for amount in range(20):
            await look(one, amount)
            await asyncio.sleep(1)
        page = await page_of(one)
        assert page.entries[0].as_of > unix_ms() - 12_000
        assert not page.meta.cut_ms


async def test_what_is_due_is_looked_for_once_it_is_late_by_a_64th_of_its_time(server: FakeServer) -> None:
    raw = FakeAsyncRedis(server=server)
    async with run_replicas(Upstream(), server, 1, history=HistoryOptions(keep_ms=64_000, max_bytes=10**9)) as (one,):
        await look(one, 0)
        await asyncio.sleep(64.7)
        await look(one, 1)
        assert len(await raw.xrange("t:{feed}") or []) == 3  # the mark at its beginning, and both changes
        await asyncio.sleep(0.3)
        await look(one, 2)
        assert len((await page_of(one)).entries) == 2


@pytest.mark.parametrize(
    "bound", [HistoryOptions(keep_ms=2_000, max_bytes=10**9), HistoryOptions(keep_ms=10**8, max_bytes=1_000)]
)
async def test_a_feed_that_an_earlier_version_kept_is_bounded_too(server: FakeServer, bound: HistoryOptions) -> None:
    raw = FakeAsyncRedis(server=server)
    async with run_replicas(Upstream(), server, 1, history=HISTORY) as (one,):
        for amount in range(10):
            await look(one, amount)
            await asyncio.sleep(0.3)
        await raw.hdel("t:{feed}:meta", "first")
    async with run_replicas(Upstream(), server, 1, history=bound) as (one,):
        for amount in range(3):
            await look(one, amount)
        page = await page_of(one)
        assert page.meta.bytes == await size_of_feed(raw)
        assert page.meta.bytes <= bound.max_bytes
        assert page.entries[0].as_of > unix_ms() - bound.keep_ms - 100


async def test_the_time_of_a_history_is_renewed_once_a_period(server: FakeServer) -> None:
    keep_ms, period_ms = 64_000, 1_000
    raw, left, periods = FakeAsyncRedis(server=server), list[int](), set[int]()
    async with run_replicas(Upstream(), server, 1, history=HistoryOptions(keep_ms=keep_ms, max_bytes=10**9)) as (one,):
        for number in range(20):
            periods.add((await look(one, number // 2)).as_of // period_ms)
            left.append(await raw.pttl(f"t:{{{KEY}}}:history"))
            await asyncio.sleep(0.25)
    assert all(keep_ms < each <= keep_ms + period_ms for each in left)
    assert sum(each == keep_ms + period_ms for each in left) == len(periods)


async def test_without_redis_reads_go_on_and_the_feed_says_so(server: FakeServer) -> None:
    async with run_replicas(Upstream(), server, 1, history=HISTORY) as (one,):
        server.connected = False
        assert (await one.cache.read(KEY, directives(), "c")).entry.account_id == KEY
        assert await one.feed.latest_position() is RedisFailure.UNAVAILABLE
        server.connected = True


async def test_a_look_from_before_the_last_one_is_not_counted(server: FakeServer) -> None:
    async with run_replicas(Upstream(), server, 1, history=HISTORY) as (one,):
        newest = await look(one, 1)
        await FakeAsyncRedis(server=server).delete(f"t:{{{KEY}}}")
        late = Snapshot(KEY, newest.as_of - 5, can_deposit=False, balances=())
        await one.tier.store_and_release(late, look=Look(newest.as_of - 6))
        assert await one.tier.get_many([KEY]) == {KEY: Snapshot(KEY, late.as_of, can_deposit=False, balances=())}
        assert len((await page_of(one)).entries) == 1


async def test_a_history_that_a_failover_set_back_begins_again_before_it_gives_a_number_twice(
    server: FakeServer,
) -> None:
    raw, name = FakeAsyncRedis(server=server), f"t:{{{KEY}}}:history"
    async with run_replicas(Upstream(), server, 1, history=HISTORY) as (one,):
        await one.cache.read(KEY, directives(no_cache=True), "c")
        await one.settle()
        before = await raw.hgetall(name)
        await one.cache.read(KEY, directives(no_cache=True), "c")
        await one.settle()
        await raw.delete(name)
        await raw.hset(name, mapping=before)  # type: ignore[arg-type]
        await one.cache.read(KEY, directives(no_cache=True), "c")
        await one.settle()
        numbers = [(entry.epoch, entry.sequence) for entry in (await page_of(one)).entries]
        assert [number for _, number in numbers] == [0, 1, 0]
        assert len(set(numbers)) == 3
