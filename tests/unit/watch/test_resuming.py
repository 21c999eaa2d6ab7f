"""Readers that come again: whatever is cut and when, the last event of each account is its newest snapshot."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import pytest
from fakeredis import FakeServer

from app.balances.snapshots import AccountId
from app.history.recording import HistoryOptions
from tests.support.live import LiveReplica, run_live
from tests.support.replica import Upstream
from tests.support.streams import Reader, open_stream
from tests.unit.watch.test_streams import key, steady, total

HISTORY = HistoryOptions(keep_ms=604_800_000, max_bytes=1 << 28)
TARGET = "/v1/watch?merchantId=1,2,3&within=5"


@asynccontextmanager
async def again(live: LiveReplica, cursor: str | None) -> AsyncIterator[Reader]:
    headers = () if cursor is None else ((b"last-event-id", cursor.encode()),)
    async with open_stream(live.app, TARGET, (*key("all"), *headers)) as reader:
        yield reader


async def test_a_reader_that_comes_again_gets_what_changed_and_nothing_else(upstream: Upstream) -> None:
    steady(upstream, m1="1", m2="2", m3="3")
    async with run_live(upstream, 2, history=HISTORY) as (one, other):
        async with again(one, None) as reader:
            await reader.until("heartbeat", 3)
        cursor = reader.events[-1].cursor
        async with again(other, cursor) as reader:
            await reader.until("synced")
            assert reader.events[0].data["resumed"] == "complete"
            assert reader.named("balances") == []
        steady(upstream, m2="9")
        async with open_stream(other.app, "/v1/watch?merchantId=2&within=5", key("all")) as meanwhile:
            await meanwhile.until("balances", 2)
        async with again(one, cursor) as reader:
            await reader.until("synced")
            assert [(data, total(reader.newest()[data])) for data in reader.newest()] == [(2, "9")]


async def test_what_is_not_fresh_follows_though_its_content_is_the_same(upstream: Upstream) -> None:
    steady(upstream, m1="1", m2="2", m3="3")
    async with run_live(upstream, history=HISTORY) as (live,):
        async with again(live, None) as reader:
            await reader.until("heartbeat", 3)
        await asyncio.sleep(20)
        async with again(live, reader.events[-1].cursor) as late:
            await late.until("heartbeat")
            assert late.events[0].data["resumed"] == "complete"
            assert [event.data["status"] for event in late.named("balances")] == ["stale"] * 3 + ["fresh"] * 3


async def test_without_a_history_or_with_a_strange_cursor_everything_follows(upstream: Upstream) -> None:
    async with run_live(upstream) as (live,):
        for cursor in ("0", "x" * 100, "deadbeef.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"):
            async with again(live, cursor) as reader:
                await reader.until("synced")
                assert reader.events[0].data["resumed"] == "reset"
                assert set(reader.newest()) == {1, 2, 3}


async def test_the_end_of_an_epoch_is_said(upstream: Upstream, server: FakeServer) -> None:
    async with run_live(upstream, server=server, history=HISTORY) as (live,):
        async with again(live, None) as reader:
            await reader.until("heartbeat", 3)
        await live.replica.redis_client.client.flushall()
        async with again(live, reader.events[-1].cursor) as reader:
            await reader.until("synced")
            assert reader.events[0].data["resumed"] == "reset"
            assert set(reader.newest()) == {1, 2, 3}


async def test_cursors_are_all_alike_whoever_moves(upstream: Upstream) -> None:
    steady(upstream, m1="1", m2="2", m3="3")
    async with run_live(upstream, history=HISTORY) as (live,), again(live, None) as reader:
        await reader.until("heartbeat", 12)
        cursors = [str(event.cursor) for event in reader.named("heartbeat")[2:]]
        assert len(set(cursors)) == len(cursors)
        assert len(set(map(len, cursors))) == 1


@pytest.mark.parametrize("seed", range(6))
async def test_a_random_walk_of_cuts_drains_and_changes_loses_no_newest_snapshot(upstream: Upstream, seed: int) -> None:
    random, newest = Random(seed), dict[int, Any]()
    cursor: str | None = None
    steady(upstream, m1="1", m2="2", m3="3")
    async with run_live(upstream, 2, history=HISTORY if seed % 2 else None) as lives:
        for _ in range(60):
            async with again(random.choice(lives), cursor) as reader:
                for _ in range(random.randrange(4)):
                    merchant = random.randrange(1, 4)
                    steady(upstream, **{f"m{merchant}": str(random.randrange(10**6))})
                    if random.random() < 0.2:
                        upstream.crashes[AccountId(str(merchant))] = RuntimeError("It is away.")
                    else:
                        upstream.crashes.clear()
                    if random.random() < 0.3:
                        reader.stop()
                    await asyncio.sleep(random.choice([0.01, 0.3, 3, 12]))
            newest |= reader.newest()
            cursor = next((event.cursor for event in reversed(reader.events) if event.cursor), cursor)
        upstream.crashes.clear()
        async with again(lives[0], cursor) as reader:
            await asyncio.sleep(60)
            newest |= reader.newest()
        assert {merchant: total(data) for merchant, data in newest.items()} == {
            int(account_id): amount for account_id, amount in upstream.amounts.items()
        }
        assert {data["status"] for data in newest.values()} == {"fresh"}


async def test_readers_of_one_view_share_its_encoding(upstream: Upstream) -> None:
    async with run_live(upstream) as (live,), AsyncExitStack() as stack:
        for _ in range(20):
            reader = await stack.enter_async_context(again(live, None))
            await reader.until("synced")
        boards = {id(stream._scope.board): stream._scope.board for stream in live.streams._open}
        (board,) = boards.values()
        assert board.text(AccountId("1")) is board.text(AccountId("1"))
