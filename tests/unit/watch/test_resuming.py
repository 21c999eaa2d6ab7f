"""Readers that come again: whatever is cut and when, the last event of each account is its newest snapshot."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any, cast

import pytest
from fakeredis import FakeServer

from app.balances.snapshots import AccountId, Row, Snapshot
from app.errors import Unreachable
from app.watch.positions import Position
from tests.support.cuts import HISTORY, Walk
from tests.support.live import LiveReplica, run_live
from tests.support.replica import Upstream
from tests.support.streams import Reader, open_stream
from tests.support.virtual_time import unix_ms
from tests.unit.watch.test_streams import key, steady, total

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


@pytest.mark.parametrize("has_other_cursor", [False, True])
async def test_a_reader_that_was_shown_a_stale_part_is_told_when_that_is_fresh_again(
    upstream: Upstream, has_other_cursor: bool
) -> None:
    steady(upstream, m1="1", m2="2", m3="3")
    async with run_live(upstream, history=HISTORY) as (live,), again(live, None) as other:
        async with again(live, None) as reader:
            await reader.until("heartbeat", 3)
            upstream.crashes[AccountId("1")] = Unreachable("It is away.")
            await reader.until("balances", 4)
            await reader.until("heartbeat", 4 if has_other_cursor else 3)
        assert reader.newest()[1]["status"] == "stale"
        upstream.crashes.clear()
        await other.until("balances", 5)
        async with again(live, reader.events[-1].cursor) as late:
            await late.until("heartbeat")
            assert late.events[0].data["resumed"] == "complete"
            assert late.newest()[1]["status"] == "fresh"


async def test_a_change_that_the_board_has_and_the_feed_not_yet_follows(upstream: Upstream) -> None:
    steady(upstream, m1="1", m2="2", m3="3")
    async with run_live(upstream, history=HISTORY) as (live,), again(live, None):
        async with again(live, None) as reader:
            await reader.until("heartbeat", 3)
        amount = cast("Any", "9")
        row = Row("USDT", "USDT", "USDT", amount, amount, cast("Any", "0"))
        live.replica.memory.put(Snapshot(AccountId("1"), unix_ms(), can_deposit=True, balances=(row,)))
        async with again(live, reader.events[-1].cursor) as late:
            await late.until("synced")
            assert late.events[0].data["resumed"] == "complete"
            assert total(late.newest()[1]) == "9"


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


async def test_a_place_of_an_epoch_that_has_ended_is_sealed_as_none(upstream: Upstream, server: FakeServer) -> None:
    async with run_live(upstream, server=server, history=HISTORY) as (live,), again(live, None) as reader:
        await reader.until("heartbeat", 3)
        assert live.feed is not None
        heard = live.feed.heard()
        assert heard is not None
        assert live.feed.seal(Position(heard, all_fresh=True)) != "0"
        await live.replica.redis_client.client.flushall()
        await live.replica.feed.latest_position()
        assert live.feed.seal(Position(heard, all_fresh=True)) == "0"


async def test_cursors_are_all_alike_whoever_moves(upstream: Upstream) -> None:
    steady(upstream, m1="1", m2="2", m3="3")
    async with run_live(upstream, history=HISTORY) as (live,), again(live, None) as reader:
        await reader.until("heartbeat", 12)
        cursors = [str(event.cursor) for event in reader.named("heartbeat")[2:]]
        assert len(set(cursors)) == len(cursors)
        assert len(set(map(len, cursors))) == 1


@pytest.mark.parametrize(("seed", "has_history"), [(0, True), (1, False)])
async def test_a_random_walk_of_cuts_drains_and_kills_loses_no_newest_snapshot(
    upstream: Upstream, seed: int, has_history: bool
) -> None:
    walk = Walk(upstream, Random(seed), has_history=has_history)
    await walk.run(50)
    assert (walk.done["complete"] > 40) is has_history


async def test_readers_of_one_view_share_its_encoding_whatever_their_merchants_and_their_kind_of_json(
    upstream: Upstream,
) -> None:
    async with run_live(upstream) as (live,), AsyncExitStack() as stack:
        for target in (TARGET, f"{TARGET}&format=jsonl", "/v1/watch?merchantId=1,3&within=5"):
            await stack.enter_async_context(open_stream(live.app, target, key("all")))
        await asyncio.sleep(1)
        boards = {id(stream._scope.board): stream._scope.board for stream in live.streams._open}
        (board,) = boards.values()
        assert board.text(AccountId("1")) is board.text(AccountId("1"))
