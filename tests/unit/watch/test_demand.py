"""Demand of watched accounts in virtual time: which loads it begins, when, and of what age."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.balances.snapshots import AccountId
from app.budget.budget import PermitRequest
from app.cache.load_results import LoadResult
from app.cache.loads import Loads
from app.errors import Unreachable
from app.resilience.supervision import supervised
from app.watch.demand import DemandOptions, DemandSources, WatchDemand
from tests.support.live import LiveReplica, run_live
from tests.support.replica import Upstream
from tests.support.virtual_time import monotonic, unix_ms, virtual_runtime
from tests.unit.watch.test_streams import steady

MINE = AccountId("1")


class NotedLoads(Loads):
    """Loads of a replica, with the moments at which each began, and the least `as_of` that it takes."""

    def __init__(self, live: LiveReplica) -> None:
        self._live = live
        self.fetch_ms = 0.0
        self.moments: list[float] = []
        self.younger_by: list[int] = []
        self.under_way = self.most_under_way = 0

    def start(
        self, account_id: AccountId, received_at: int, permit_request: PermitRequest
    ) -> asyncio.Task[LoadResult] | None:
        known = self._live.replica.memory.peek(account_id)
        self.moments.append(monotonic())
        self.younger_by.append(received_at - (unix_ms() if known is None else known.as_of))
        task = self._live.replica.cache.loads.start(account_id, received_at, permit_request)
        if task is not None:
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            task.add_done_callback(self._note_end)
        return task

    def _note_end(self, _: asyncio.Task[LoadResult]) -> None:
        self.under_way -= 1


@asynccontextmanager
async def run_demand(
    live: LiveReplica, per_second: float = 1000, concurrency: int = 16
) -> AsyncIterator[tuple[WatchDemand, NotedLoads]]:
    loads, replica = NotedLoads(live), live.replica
    sources = DemandSources(get=replica.memory.get, look_up=replica.fleet.look_up, loads=loads, rate=replica.fleet_rate)
    options = DemandOptions(per_second=per_second, share=0.5, concurrency=concurrency)
    demand = WatchDemand(sources, live.news, options, virtual_runtime(lambda: 0.5, metrics=live.metrics))
    async with supervised(demand=demand.run):
        yield demand, loads


async def test_a_load_takes_whatever_is_newer_than_what_is_known(upstream: Upstream) -> None:
    steady(upstream, m1="1")
    async with run_live(upstream) as (live,), run_demand(live) as (demand, loads):
        demand.add([MINE], 10_000)
        await asyncio.sleep(60)
        first, *later = loads.younger_by
        assert (first, len(later) >= 5, set(later)) == (-10_000, True, {1})
        assert live.metrics.watch.ages.counts[("exceeded",)] == 0


async def test_the_pause_after_a_failed_load_doubles_up_to_half_a_minute(upstream: Upstream) -> None:
    upstream.crashes[MINE] = Unreachable("It is away.")
    async with run_live(upstream) as (live,), run_demand(live) as (demand, loads):
        demand.add([MINE], 10_000)
        await asyncio.sleep(150)
        pauses = [later - earlier for earlier, later in zip(loads.moments, loads.moments[1:], strict=False)]
        assert pauses[:8] == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30], abs=0.3)
        upstream.crashes.clear()
        await asyncio.sleep(40)
        assert loads.moments[-1] - loads.moments[-2] < 10
        upstream.crashes[MINE] = Unreachable("It is away again.")
        await asyncio.sleep(12)
        assert loads.moments[-1] - loads.moments[-2] <= 4


async def test_known_accounts_get_their_share_of_the_rate_and_half_of_the_places(upstream: Upstream) -> None:
    ids = [AccountId(str(number)) for number in range(1, 41)]
    steady(upstream, **{f"m{account_id}": "1" for account_id in ids})
    async with run_live(upstream) as (live,), run_demand(live, per_second=4, concurrency=6) as (demand, loads):
        demand.add(ids, 5_000)
        await asyncio.sleep(20)
        assert loads.most_under_way == 3
        began = len(loads.moments)
        await asyncio.sleep(50)
        assert 95 <= len(loads.moments) - began <= 105
        assert demand.expected_seconds(5) == 20
