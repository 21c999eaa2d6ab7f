"""Losing the upstream is not an outage while stale answers may stand in, and after that a problem that says so."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from msgspec import Struct

from sandbox import Sandbox
from tests.fleet.conftest import HEADERS, run_fleet
from tests.support.gateway import TOKEN, Gateway
from tests.support.polling import ask_until
from tests.support.valkey import run_valkey

KNOWN = range(10001, 10006)
FRESH_SECONDS = 1
WHY = {"/problems/upstream-unreachable", "/problems/upstream-faulty", "/problems/breaker-open"}


class Outcome(Struct):
    """What matters of an answer here."""

    status: int
    age: int
    is_stale: bool
    problem: str | None


class Fleet(Struct):
    """Two replicas and their upstream."""

    gateways: list[Gateway]
    upstream: Sandbox


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    settings = {"fresh_seconds": FRESH_SECONDS, "stale_while_revalidate_seconds": 0, "stale_if_error_seconds": 3}
    async with (
        Sandbox(merchants=10, token=TOKEN) as upstream,
        run_valkey() as valkey,
        run_fleet(upstream, tmp_path_factory.mktemp("fleet"), valkey.url, 2, **settings) as gateways,
    ):
        yield Fleet(gateways, upstream)


@pytest.mark.parametrize("fault", [{"fault": "close"}, {"fault": "status", "status": 503}], ids=["cut_off", "failing"])
async def test_known_merchants_are_answered_and_marked_then_refused_then_fresh_again(
    fleet: Fleet, fault: dict[str, Any]
) -> None:
    told: list[Outcome] = []

    async def read_on() -> list[Outcome]:
        told.extend(now := await _read_all(fleet))
        return now

    assert {one.status for one in await read_on()} == {200}
    calls = fleet.upstream.counters.balance_calls
    with fleet.upstream.fault(**fault):
        await ask_until(read_on, lambda now: any(one.status != 200 for one in now))
    calls = fleet.upstream.counters.balance_calls - calls
    await ask_until(read_on, lambda now: all(one.status == 200 and not one.is_stale for one in now))

    answered = [one for one in told if one.status == 200]
    problems = [one for one in told if one.status != 200]
    assert any(one.is_stale for one in answered)
    assert all(one.is_stale for one in answered if one.age > FRESH_SECONDS)
    assert {(one.status, one.problem) for one in problems} <= {(503, problem) for problem in WHY}
    assert calls <= 60


async def _read_all(fleet: Fleet) -> list[Outcome]:
    """Read all that is known, at both replicas at once."""

    async def read(session: aiohttp.ClientSession, merchant: int) -> Outcome:
        async with session.get(f"/v1/merchants/{merchant}/balances") as answer:
            document = await answer.json(content_type=None)
            is_stale = "fwd=stale" in answer.headers.get("Cache-Status", "")
            return Outcome(answer.status, int(answer.headers.get("Age", 0)), is_stale, document.get("type"))

    async def read_from(gateway: Gateway) -> list[Outcome]:
        async with aiohttp.ClientSession(gateway.url, headers=HEADERS) as session:
            return await asyncio.gather(*(read(session, merchant) for merchant in KNOWN))

    return [told for part in await asyncio.gather(*map(read_from, fleet.gateways)) for told in part]
