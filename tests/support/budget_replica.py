"""The till of a replica: its budget, and whom it gave turns to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fakeredis import FakeServer

from app.budget.budget import Budget, PermitRequest, Priority
from app.budget.fleet_rate import FleetRateLimiter
from app.resilience.supervision import supervised
from tests.support.replica import make_redis_client
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import monotonic

PATIENT = 10_000
WAITING, REFRESH, WARM_UP = (PermitRequest(priority) for priority in Priority)


class Till:
    """One replica's budget, and when it gave turns to whom."""

    def __init__(
        self, server: FakeServer, replica_id: str, *, per_second: float, burst: float, concurrency: int, replicas: int
    ) -> None:
        self.redis_client = make_redis_client(server)
        self.fleet_rate = FleetRateLimiter(
            self.redis_client,
            prefix="t",
            replica_id=replica_id,
            per_second=per_second,
            burst=burst,
            monotonic=monotonic,
            replicas=lambda: replicas,
        )
        self.budget = Budget(self.fleet_rate, per_second=per_second, concurrency=concurrency)
        self.given: list[tuple[float, str]] = []
        self.in_use = self.most_in_use = 0

    async def take(
        self, permit_request: PermitRequest, patience: float = PATIENT, *, seconds: float = 0, name: str = ""
    ) -> None:
        """Take a turn and hold it for so long."""
        async with self.budget.permit(permit_request, patience):
            self.given.append((monotonic(), name))
            self.in_use += 1
            self.most_in_use = max(self.most_in_use, self.in_use)
            try:
                await asyncio.sleep(seconds)
            finally:
                self.in_use -= 1

    @property
    def times(self) -> list[float]:
        return [when for when, _ in self.given]

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.given]


@asynccontextmanager
async def run_tills(
    server: FakeServer, count: int = 1, *, per_second: float = 1000, burst: float = 1000, concurrency: int = 1000
) -> AsyncIterator[list[Till]]:
    with virtual_redis_time():
        async with AsyncExitStack() as stack:
            tills = []
            for number in range(count):
                till = Till(
                    server,
                    f"r{number}",
                    per_second=per_second,
                    burst=burst,
                    concurrency=concurrency,
                    replicas=count,
                )
                await stack.enter_async_context(
                    supervised(redis_client=till.redis_client.probe_while_lost, budget=till.budget.dispatch)
                )
                tills.append(till)
            yield tills
