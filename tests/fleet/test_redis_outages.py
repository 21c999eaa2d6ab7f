"""Losing Redis is not an outage: one fleet lives through all that can befall a real Valkey, and is never restarted."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from msgspec import Struct

from sandbox import Sandbox
from tests.fleet.conftest import hot_reads, most_above, run_fleet
from tests.support.gateway import PATIENCE_SECONDS, TOKEN, Gateway
from tests.support.valkey import Valkey, run_valkey

HOT = range(10001, 10031)
RATE = 20
BURST = 20
MOST_ABOVE = 2 * BURST + RATE / 4
"""A burst before the outage, one after it, and permits that are used a quarter of a second after they were granted."""
LOST_AND_FOUND = {"redis.lost": 1, "redis.found": 1, "bus.lost": 1, "bus.joined": 1}
REFUSED_AND_ACCEPTED = {"redis.refuses": 1, "redis.accepts": 1}


class Fleet(Struct):
    """Three replicas, what they live on, and merchants that nobody has read yet."""

    gateways: list[Gateway]
    upstream: Sandbox
    valkey: Valkey
    cold: Iterator[int]


class Ledger:
    """What each replica logs about Redis, and how often the upstream is asked, from now on."""

    def __init__(self, fleet: Fleet) -> None:
        self._upstream = fleet.upstream
        self._calls = fleet.upstream.counters.balance_calls
        self._begun = {gateway: len(gateway.events) for gateway in fleet.gateways}

    async def logged(self, *events: str) -> None:
        """Wait until each replica has told these."""
        await asyncio.gather(
            *(
                gateway.logged(event, sum(line["event"] == event for line in gateway.events[:begun]) + 1)
                for gateway, begun in self._begun.items()
                for event in events
            )
        )

    def above_rate(self) -> float:
        """Tell by how many the upstream's calls exceeded the rate."""
        return most_above(list(self._upstream.counters.arrivals)[self._calls :], RATE)

    def news(self) -> list[Counter[str]]:
        """Give what each has told so far."""
        return [
            Counter(line["event"] for line in gateway.events[begun:] if line["event"].startswith(("redis.", "bus.")))
            for gateway, begun in self._begun.items()
        ]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    settings: dict[str, Any] = {
        "fresh_seconds": 2,
        "stale_while_revalidate_seconds": 0,
        "upstream_rate": RATE,
        "upstream_burst": BURST,
        "upstream_timeout_seconds": 2,
        "redis_timeout_seconds": 0.5,
    }
    async with (
        Sandbox(merchants=100, token=TOKEN) as upstream,
        run_valkey() as valkey,
        run_fleet(upstream, folder, valkey.url, 3, **settings) as gateways,
    ):
        async with hot_reads(gateways, HOT):
            await upstream.calls(2 * len(HOT) + 1)  # long enough for the replicas to have counted each other
        yield Fleet(gateways, upstream, valkey, iter(range(HOT.stop, 10101)))


async def test_killed_and_started_again_empty(fleet: Fleet) -> None:
    ledger = Ledger(fleet)
    async with hot_reads(fleet.gateways, HOT) as statuses:
        await fleet.valkey.kill()
        await ledger.logged("redis.lost", "bus.lost")
        await _live_on(fleet)
        await fleet.valkey.start()
        await ledger.logged("redis.found", "bus.joined")
    assert set(statuses) == {200}
    assert ledger.news() == [LOST_AND_FOUND] * 3
    assert ledger.above_rate() <= MOST_ABOVE
    await _assert_one_fetch_serves_all(fleet)


async def test_frozen_and_going_on(fleet: Fleet) -> None:
    ledger = Ledger(fleet)
    async with hot_reads(fleet.gateways, HOT) as statuses:
        fleet.valkey.freeze()
        await ledger.logged("redis.lost", "bus.lost")
        await _live_on(fleet)
        fleet.valkey.thaw()
        await ledger.logged("redis.found", "bus.joined")
    assert set(statuses) == {200}
    assert ledger.news() == [LOST_AND_FOUND] * 3
    assert ledger.above_rate() <= MOST_ABOVE
    await _assert_one_fetch_serves_all(fleet)


@pytest.mark.parametrize(
    ("refuse", "accept"),
    [
        pytest.param(
            "CONFIG SET min-replicas-to-write 1",
            "CONFIG SET min-replicas-to-write 0",
            id="without_the_replicas_it_must_have",
        ),
        pytest.param("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", id="replica_of_a_dead_primary"),
        pytest.param(
            "CONFIG SET maxmemory 1mb maxmemory-policy noeviction", "CONFIG SET maxmemory 0", id="full_to_its_limit"
        ),
    ],
)
async def test_refusing_writes(fleet: Fleet, refuse: str, accept: str) -> None:
    ledger = Ledger(fleet)
    async with hot_reads(fleet.gateways, HOT) as statuses:
        await fleet.valkey.ask(*refuse.split())
        await ledger.logged("redis.refuses")
        await _live_on(fleet)
        await fleet.valkey.ask(*accept.split())
        await ledger.logged("redis.accepts")
    assert set(statuses) == {200}
    news = [{event: count for event, count in one.items() if event != "bus.joined"} for one in ledger.news()]
    assert news == [REFUSED_AND_ACCEPTED] * 3  # a refused write renews the connections, the bus with them
    assert ledger.above_rate() <= MOST_ABOVE
    await _assert_one_fetch_serves_all(fleet)


async def _live_on(fleet: Fleet) -> None:
    """Let an outage last until the upstream was asked some more."""
    await fleet.upstream.calls(fleet.upstream.counters.balance_calls + 2 * RATE, PATIENCE_SECONDS)


async def _assert_one_fetch_serves_all(fleet: Fleet) -> None:
    """See that the replicas profit from each other's fetches again."""
    merchant = next(fleet.cold)
    first, *others = fleet.gateways
    answers = [await first.get(f"/v1/merchants/{merchant}/balances")]
    answers += await asyncio.gather(*(gateway.get(f"/v1/merchants/{merchant}/balances") for gateway in others))
    assert [answer.status_code for answer in answers] == [200] * 3
    assert fleet.upstream.counters.by_merchant[merchant] == 1
