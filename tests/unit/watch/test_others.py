"""Streams beside those of others: what a restricted reader is sent is the same, to the byte, whatever others do."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from fakeredis import FakeServer

from app.balances.snapshots import AccountId
from app.history.recording import HistoryOptions
from tests.support.live import LiveReplica, run_live
from tests.support.replica import Upstream
from tests.support.streams import open_stream
from tests.support.virtual_time import unix_ms
from tests.unit.history.test_following import look
from tests.unit.watch.test_streams import key, steady

HISTORY = HistoryOptions(keep_ms=604_800_000, max_bytes=1 << 28)
MINE = "/v1/watch?merchantId=all&within=10"


@asynccontextmanager
async def others(live: LiveReplica, upstream: Upstream, *, move: bool) -> AsyncIterator[None]:
    """Let another caller watch a merchant that moves each second, or nobody and nothing."""

    async def move_on() -> None:
        for amount in range(1000):
            steady(upstream, m3=str(amount))
            await asyncio.sleep(1)

    if not move:
        yield
        return
    async with open_stream(live.app, "/v1/watch?merchantId=3&within=10", key("all")) as reader:
        moving = asyncio.create_task(move_on())
        yield
        moving.cancel()
        assert len(reader.named("balances")) > 3


async def transcript(upstream: Upstream, *, move: bool) -> str:
    """Return all that a reader of two merchants is sent, with times to 5 s since the beginning, and cursors as their length.

    Less may differ: all share the budget of the upstream, and the ticks of a process.
    """
    steady(upstream, m1="1", m2="2", m3="3")
    async with run_live(upstream, server=FakeServer(), merchants=("1", "2", "3"), history=HISTORY) as (live,):
        began = unix_ms()
        async with others(live, upstream, move=move):
            async with open_stream(live.app, MINE, key("some")) as first:
                await first.until("heartbeat", 2)
                steady(upstream, m1="5")
                await first.until("heartbeat", 4)
            cursor = (b"last-event-id", str(first.events[-1].cursor).encode())
            async with open_stream(live.app, MINE, (*key("some"), cursor)) as again:
                await again.until("heartbeat", 2)

    def since(time: re.Match[str]) -> str:
        return f"+{5 * round((datetime.fromisoformat(time[0]).timestamp() - began / 1000) / 5)} s"

    times = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
    cursors = re.compile(r"[0-9a-f]{8}\.[\w-]+")
    return cursors.sub(lambda found: f"<{len(found[0])}>", times.sub(since, first.text + again.text))


async def test_a_stream_shows_nothing_of_merchants_that_its_reader_may_not_read(upstream: Upstream) -> None:
    quiet = await transcript(upstream, move=False)
    assert '"resumed":"complete"' in quiet
    assert await transcript(upstream, move=True) == quiet


async def test_a_stream_resumes_though_changes_of_others_were_dropped_after_its_cursor(upstream: Upstream) -> None:
    small = HistoryOptions(keep_ms=604_800_000, max_bytes=2_000)
    steady(upstream, m1="1", m2="2", m3="3")
    async with run_live(upstream, merchants=("1", "2", "3"), history=small) as (live,):
        async with open_stream(live.app, MINE, key("some")) as first:
            await first.until("heartbeat", 3)
        cursor = (b"last-event-id", str(first.events[-1].cursor).encode())
        async with open_stream(live.app, MINE, key("some")):
            for amount in range(40):
                await look(live.replica, AccountId("3"), amount)
            async with open_stream(live.app, MINE, (*key("some"), cursor)) as again:
                await again.until("synced")
        assert again.events[0].data["resumed"] == "complete"
        assert again.named("balances") == []
        whole = (*key("all"), cursor)
        async with open_stream(live.app, "/v1/watch?merchantId=1,2,3&within=10", whole) as mover:
            await mover.until("synced")
        assert mover.events[0].data["resumed"] == "reset"
