"""The upstream's budget is the fleet's: never more calls than it allows, and nobody takes it all."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec import Struct

from app.access.callers import hash_key
from app.cli.key import format_client
from sandbox import Sandbox
from tests.fleet.conftest import HEADERS, run_fleet
from tests.support.gateway import KEY, TOKEN, Gateway
from tests.support.valkey import Valkey, run_valkey

MODEST = {"Authorization": "Bearer tg_modest"}
RATE = 50
BURST = 50


class Fleet(Struct):
    """Four replicas, their upstream, and merchants that nobody has read yet."""

    gateways: list[Gateway]
    upstream: Sandbox
    cold: Iterator[int]

    def take(self, count: int) -> list[int]:
        """Give so many cold merchants."""
        return list(islice(self.cold, count))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Fleet, Valkey]]:
    folder = tmp_path_factory.mktemp("fleet")
    settings: dict[str, Any] = {"upstream_rate": RATE, "upstream_burst": BURST, "clients_file": _write_clients(folder)}
    async with (
        Sandbox(merchants=1300, token=TOKEN) as upstream,
        run_valkey() as valkey,
        run_fleet(upstream, folder, valkey.url, **settings) as gateways,
    ):
        yield Fleet(gateways, upstream, iter(upstream.world.merchant_ids)), valkey


@pytest.fixture
async def fleet(running: tuple[Fleet, Valkey]) -> Fleet:
    """The fleet with its whole budget before it."""
    fleet, valkey = running
    await valkey.ask("FLUSHALL")
    fleet.upstream.counters.reset()
    return fleet


async def test_a_thousand_cold_keys_keep_to_the_budget(fleet: Fleet) -> None:
    cold = fleet.take(1000)
    began = time.monotonic()
    answers = await asyncio.gather(*(_read_all(gateway, cold[n::4]) for n, gateway in enumerate(fleet.gateways)))
    outcomes = Counter(outcome for part in answers for outcome, _ in part)
    assert outcomes.total() == 1000
    assert outcomes.keys() == {"200", "/problems/budget-spent"}
    assert all(int(wait or 0) >= 1 for part in answers for outcome, wait in part if outcome != "200")
    assert set(fleet.upstream.counters.by_merchant.values()) == {1}
    assert outcomes["200"] == fleet.upstream.counters.balance_calls >= BURST + RATE
    for count, arrival in enumerate(fleet.upstream.counters.arrivals, start=1):
        assert count <= BURST + RATE * (arrival - began)


async def test_a_429_quiets_the_whole_fleet(fleet: Fleet) -> None:
    first, *others = fleet.take(41)
    with fleet.upstream.fault("rate-limited", retry_after_seconds=2, times=1):
        [(refused, wait)] = await _read_all(fleet.gateways[0], [first])
    answers = await asyncio.gather(*(_read_all(gateway, others[n::4]) for n, gateway in enumerate(fleet.gateways)))
    assert (refused, wait) == ("/problems/upstream-busy", "2")
    assert {outcome for part in answers for outcome, _ in part} == {"200"}
    arrivals = fleet.upstream.counters.arrivals
    assert len(arrivals) == 41
    assert arrivals[1] - arrivals[0] >= 2


async def test_who_asks_for_hundreds_does_not_hold_up_who_asks_for_one(fleet: Fleet) -> None:
    greedy = asyncio.create_task(_read_all(fleet.gateways[0], fleet.take(200)))
    await fleet.upstream.calls(BURST + 5)
    asked = fleet.take(2)
    answers = await asyncio.gather(
        *(_read_all(gateway, [merchant], MODEST) for gateway, merchant in zip(fleet.gateways, asked, strict=False))
    )
    assert [outcome for part in answers for outcome, _ in part] == ["200", "200"]
    await greedy
    order = list(fleet.upstream.counters.by_merchant)
    assert len(order) - max(map(order.index, asked)) > RATE


async def _read_all(
    gateway: Gateway, merchants: Iterable[int], headers: dict[str, str] = HEADERS
) -> list[tuple[str, str | None]]:
    """Read these at once, each alone; give for each its status, or the type of its problem, and its `Retry-After`."""

    async def read(session: aiohttp.ClientSession, merchant: int) -> tuple[str, str | None]:
        async with session.get(f"/v1/merchants/{merchant}/balances") as answer:
            document: dict[str, Any] = await answer.json(content_type=None)
            return document.get("type", str(answer.status)), answer.headers.get("Retry-After")

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(gateway.url, headers=headers, connector=connector) as session:
        return await asyncio.gather(*(read(session, merchant) for merchant in merchants))


def _write_clients(folder: Path) -> Path:
    path = folder / "two.toml"
    path.write_text(
        format_client("greedy", hash_key(KEY), "all", portfolio=False)
        + format_client("modest", hash_key("tg_modest"), "all", portfolio=False)
    )
    return path
