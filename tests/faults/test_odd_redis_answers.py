"""Whatever Redis answers to a command, reads go on: from the upstream, within this replica's share of the budget."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from sandbox import Sandbox
from tests.support.gateway import TOKEN
from tests.support.odd_redis import run_odd_redis
from tests.support.polling import ask_until
from tests.support.service import Service, run_service
from tests.support.valkey import Valkey, run_valkey

ANSWERS = {
    "ok": b"+OK\r\n",
    "nil": b"$-1\r\n",
    "nil array": b"*-1\r\n",
    "zero": b":0\r\n",
    "negative": b":-7\r\n",
    "large": b":999999999999999999\r\n",
    "text": b"$3\r\nabc\r\n",
    "no text": b"$0\r\n\r\n",
    "empty": b"*0\r\n",
    "one": b"*1\r\n:1\r\n",
    "nils": b"*2\r\n$-1\r\n$-1\r\n",
    "texts": b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
    "numbers": b"*3\r\n:9\r\n:9\r\n:9\r\n",
    "too many": b"*1\r\n*3\r\n:999999999\r\n:0\r\n:1\r\n",
    "too late": b"*3\r\n:0\r\n:99999999999999999\r\n:1\r\n",
    "nested": b"*1\r\n*1\r\n*1\r\n*0\r\n",
    "batch of nothing": b"*1\r\n*0\r\n",
    "batch of a lease without a time": b"*1\r\n*2\r\n$-1\r\n$1\r\n0\r\n",
    "batch of a lease with an odd permit": b"*1\r\n*5\r\n$-1\r\n:0\r\n:5\r\n:0\r\n:1\r\n",
    "null of version 3": b"_\r\n",
    "truth": b"#t\r\n",
    "double": b",1.5\r\n",
    "map": b"%1\r\n+a\r\n:1\r\n",
    "set": b"~1\r\n:1\r\n",
    "big number": b"(123456789012345678901234567890\r\n",
    "verbatim": b"=7\r\ntxt:abc\r\n",
    "push": b">2\r\n+invalidate\r\n*0\r\n",
    "error": b"-ERR odd\r\n",
    "unknown error": b"-ODD odd\r\n",
    "ask": b"-ASK 1 127.0.0.1:1\r\n",
    "moved": b"-MOVED 1 127.0.0.1:1\r\n",
    "no script": b"-NOSCRIPT odd\r\n",
    "try again": b"-TRYAGAIN odd\r\n",
    "error within": b"*1\r\n-ERR odd\r\n",
    "read-only within": b"*1\r\n-READONLY odd\r\n",
    "loading": b"-LOADING odd\r\n",
    "no protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "no number": b":odd\r\n",
}
NAMES = [
    *(
        "READ_OR_LEASE",
        "READ_OR_LEASE_WITH_PERMIT",
        "STORE_AND_RECORD",
        "READ_FEED",
        "TAKE_PERMITS",
        "SHARED_GET",
        "SHARED_SET",
    ),
    *("START_JOB", "UPDATE_JOB", "MGET", "HSET", "HMGET", "SUBSCRIBE", "PUBSUB", "PING", "CLIENT"),
]
CRASHES = {"task.crashed", "cache.flight_crashed", "cache.store_crashed", "request.crashed"}
SETTINGS: dict[str, Any] = {"redis_timeout_seconds": 0.2, "fresh_seconds": 0, "stale_while_revalidate_seconds": 0}


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Valkey]:
    async with run_valkey() as server:
        yield server


@pytest.fixture(scope="module")
async def small_upstream() -> AsyncIterator[Sandbox]:
    """A world of few merchants, all of which are read again and again."""
    async with Sandbox(scenario="document", token=TOKEN) as sandbox:
        yield sandbox


async def use(service: Service) -> None:
    """Ask for all that has to do with Redis. Balances are there, and fetched: nothing else is acceptable."""
    merchants = service.upstream.world.merchant_ids[:3]
    for merchant in merchants:
        answer = await service.get(f"/v1/merchants/{merchant}/balances")
        assert (answer.status_code, answer.json()["merchantId"]) == (200, merchant)
    answers = await asyncio.gather(
        service.get(f"/v1/balances?merchantId={','.join(map(str, merchants))}"),
        service.get("/v1/portfolio"),
        service.get("/v1/merchants"),
        service.get("/v1/portfolio/merchants?limit=1"),
    )
    assert {answer.status_code for answer in answers} == {200}
    assert (await service.client.post("/v1/portfolio/reconciliation")).status_code in {202, 404, 503}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_reads_go_on_whatever_redis_answers_to_every_command(
    small_upstream: Sandbox, server: Valkey, answer: str
) -> None:
    async with run_odd_redis(server) as odd, run_service(small_upstream, odd.url, **SETTINGS) as service:
        odd.replace = lambda name: None if name == "FLUSHALL" else ANSWERS[answer]
        with capture_logs() as logs:
            await use(service)
            await use(service)
    assert {line["event"] for line in logs} & CRASHES == set()


async def is_available(service: Service) -> bool:
    return bool((await service.get("/health/ready")).json()["redis"] == "available")


@pytest.mark.parametrize("name", NAMES)
async def test_reads_go_on_whatever_redis_answers_to_one_command(
    small_upstream: Sandbox, server: Valkey, name: str
) -> None:
    async with run_odd_redis(server) as odd, run_service(small_upstream, odd.url, **SETTINGS) as service:
        with capture_logs() as logs:
            for answer in ANSWERS.values():
                odd.replace = lambda asked, answer=answer: answer if asked == name else None  # type: ignore[misc]
                await use(service)
                odd.replace = lambda _: None
                await ask_until(lambda: is_available(service), bool)
    assert {line["event"] for line in logs} & CRASHES == set()
