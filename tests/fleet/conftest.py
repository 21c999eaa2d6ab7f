"""Real replicas over one real Valkey and one real upstream."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import KEY, PATIENCE_SECONDS, Gateway, run_gateway

HEADERS = {"Authorization": f"Bearer {KEY}"}

LAG_SECONDS = 0.3
"""How much later than it was made a call may be counted, on a machine that is busy with something else."""

_BETWEEN_ROUNDS_SECONDS = 0.1


@asynccontextmanager
async def run_fleet(
    upstream: Sandbox, folder: Path, redis_url: str, count: int = 4, **settings: Any
) -> AsyncIterator[list[Gateway]]:
    """Run so many replicas, each of which has joined the bus."""
    given = {"redis_url": redis_url, "redis_timeout_seconds": 5, **settings}
    async with AsyncExitStack() as stack:
        running = (stack.enter_async_context(run_gateway(upstream, folder, **given)) for _ in range(count))
        gateways = list(await asyncio.gather(*running))
        await asyncio.gather(*(gateway.logged("bus.joined") for gateway in gateways))
        yield gateways


async def storm(gateway: Gateway, count: int, path: str = "/v1/merchants/12345/balances") -> list[int]:
    """Ask so often at once, and give the statuses; -1 for a request that was cut off."""

    async def ask(session: aiohttp.ClientSession) -> int:
        try:
            async with session.get(path) as answer:
                return answer.status
        except aiohttp.ClientError:
            return -1

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(gateway.url, headers=HEADERS, connector=connector) as session:
        return await asyncio.gather(*(ask(session) for _ in range(count)))


@asynccontextmanager
async def hot_reads(gateways: Sequence[Gateway], merchants: Sequence[int]) -> AsyncIterator[Counter[int]]:
    """Read these merchants at all replicas, round after round until the end, and count the statuses that come."""
    statuses: Counter[int] = Counter()
    enough = asyncio.Event()

    async def read(session: aiohttp.ClientSession, merchant: int) -> None:
        async with session.get(f"/v1/merchants/{merchant}/balances") as answer:
            statuses[answer.status] += 1

    async def read_on(gateway: Gateway) -> None:
        async with aiohttp.ClientSession(gateway.url, headers=HEADERS) as session:
            while not enough.is_set():
                await asyncio.gather(*(read(session, merchant) for merchant in merchants))
                with suppress(TimeoutError):
                    await asyncio.wait_for(enough.wait(), _BETWEEN_ROUNDS_SECONDS)

    async with asyncio.timeout(2 * PATIENCE_SECONDS), asyncio.TaskGroup() as group:
        for gateway in gateways:
            group.create_task(read_on(gateway))
        yield statuses
        enough.set()


def most_above(arrivals: Iterable[float], per_second: float) -> float:
    """Tell by how many the calls of any stretch of time exceeded a rate: what a burst has to cover."""
    times = list(arrivals)
    return max(
        (last - first + 1) - per_second * (times[last] - times[first] + LAG_SECONDS)
        for first in range(len(times))
        for last in range(first, len(times))
    )


@pytest.fixture
def valkey() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey() as server:
        yield server
