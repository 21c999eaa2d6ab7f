"""The budget of a replica, and the permits that it granted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fakeredis import FakeServer

from app.budget.budget import PermitRequest, Priority
from app.budget.fleet_budget import BudgetOptions, build_budget
from app.redis.shared import Shared
from app.resilience.supervision import supervised
from tests.support.replica import make_shared
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import monotonic, virtual_runtime

PATIENT = 10_000
WAITING, REFRESH, WARM_UP, SWEEP = (PermitRequest(priority) for priority in Priority)


class BudgetReplica:
    """One replica's budget, and when it granted permits to whom."""

    def __init__(self, shared: Shared, options: BudgetOptions) -> None:
        self.shared = shared
        self.redis_client = shared.client
        self.parts = build_budget(shared, options, virtual_runtime())
        self.fleet_rate, self.budget = self.parts.rate, self.parts.permits
        self.given: list[tuple[float, str]] = []
        self.in_use = self.most_in_use = 0

    async def take(
        self, permit_request: PermitRequest, patience: float = PATIENT, *, seconds: float = 0, name: str = ""
    ) -> None:
        """Take a permit and hold it for so many seconds."""
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
async def run_budget_replicas(
    server: FakeServer, count: int = 1, *, per_second: float = 1000, burst: float = 1000, concurrency: int = 1000
) -> AsyncIterator[list[BudgetReplica]]:
    options = BudgetOptions(per_second=per_second, burst=burst, concurrency=concurrency, least_replicas=count)
    with virtual_redis_time():
        async with AsyncExitStack() as stack:
            tills = [BudgetReplica(make_shared(server, f"r{number}"), options) for number in range(count)]
            for till in tills:
                tasks = {"link": till.redis_client.probe_while_lost, "budget": till.budget.dispatch}
                await stack.enter_async_context(supervised(**tasks))
            yield tills
