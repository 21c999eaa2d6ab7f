import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fakeredis import FakeServer
from structlog.testing import capture_logs

from app.fleet.demand import ALWAYS, Demand
from app.resilience.supervision import supervised
from tests.support.replica import make_shared
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import monotonic

SECONDS = 60.0


@asynccontextmanager
async def run_demands(
    server: FakeServer, count: int = 2, seconds: float = SECONDS, share: float | None = None
) -> AsyncIterator[list[Demand]]:
    with virtual_redis_time():
        async with AsyncExitStack() as stack:
            demands = []
            for number in range(count):
                shared = make_shared(server, f"r{number}")
                demand = Demand(shared, seconds, monotonic)
                works = {"demand": lambda demand=demand: demand.keep_current(lambda: share)}
                await stack.enter_async_context(supervised(**works, link=shared.client.probe_while_lost))
                demands.append(demand)
            await asyncio.sleep(0.1)
            yield demands


async def test_demand_at_one_replica_is_known_to_all_and_met_by_one(server: FakeServer) -> None:
    async with run_demands(server, 3) as demands:
        assert not any(demand.is_there for demand in demands)
        demands[1].record()
        await asyncio.sleep(1.1)
        assert all(demand.is_there for demand in demands)
        assert [demand.is_ours for demand in demands] == [False, True, False]


async def test_demand_ends_so_long_after_the_last_request_wherever_it_came(server: FakeServer) -> None:
    async with run_demands(server) as (one, other):
        one.record()
        await asyncio.sleep(30)
        other.record()
        await asyncio.sleep(SECONDS - 1.5)
        assert one.is_there
        assert other.is_there
        await asyncio.sleep(3)
        assert not one.is_there
        assert not other.is_there
        assert not one.is_ours


async def test_the_lease_passes_to_another_when_it_is_given_back(server: FakeServer) -> None:
    async with run_demands(server, seconds=ALWAYS) as demands:
        await asyncio.sleep(1)
        (holder,) = [demand for demand in demands if demand.is_ours]
        (other,) = [demand for demand in demands if not demand.is_ours]
        await holder.release()
        assert not holder.is_ours
        await asyncio.sleep(1.1)
        assert holder.is_ours or other.is_ours


async def test_a_lease_that_is_handed_over_goes_to_another_or_returns_where_there_is_none(server: FakeServer) -> None:
    async with run_demands(server, seconds=ALWAYS) as demands:
        await asyncio.sleep(1)
        (holder,) = [demand for demand in demands if demand.is_ours]
        (other,) = [demand for demand in demands if not demand.is_ours]
        holder.hand_over()
        assert not holder.is_ours
        await asyncio.sleep(5)
        assert [holder.is_ours, other.is_ours] == [False, True]
    async with run_demands(server, 1, seconds=ALWAYS) as (alone,):
        await asyncio.sleep(5)
        alone.hand_over()
        await asyncio.sleep(1.5)
        assert not alone.is_ours
        await asyncio.sleep(2)
        assert alone.is_ours


async def test_without_redis_each_meets_its_own_demand(server: FakeServer) -> None:
    async with run_demands(server) as (one, other):
        one.record()
        await asyncio.sleep(2)
        server.connected = False
        await asyncio.sleep(10)
        other.record()
        await asyncio.sleep(2)
        assert one.is_ours
        assert other.is_ours
        server.connected = True
        await asyncio.sleep(10)
        assert [one.is_ours, other.is_ours].count(True) == 1


async def test_an_outage_before_anything_was_asked_crashes_nothing(server: FakeServer) -> None:
    async with run_demands(server) as demands:
        with capture_logs() as lines:
            server.connected = False
            await asyncio.sleep(10)
            server.connected = True
            await asyncio.sleep(10)
        assert [line for line in lines if line["log_level"] == "error"] == []
        assert not any(demand.is_there for demand in demands)


async def test_what_its_holder_reaches_is_known_to_all(server: FakeServer) -> None:
    async with run_demands(server, seconds=ALWAYS, share=0.5) as demands:
        await asyncio.sleep(3)
        assert [demand.share for demand in demands] == [0.5, 0.5]


async def test_never_means_that_nothing_is_asked_of_redis(server: FakeServer) -> None:
    async with run_demands(server, 1, seconds=0) as (demand,):
        demand.record()
        await asyncio.sleep(100)
        assert not demand.is_there
        assert not server.dbs.get(0)
