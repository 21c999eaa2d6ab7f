"""The till of a replica: its budget, and whom it gave turns to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fakeredis import FakeServer

from app.budget.budget import Budget, Errand, Priority
from app.budget.fleet_rate import Turns
from app.resilience.supervision import running
from tests.support.replica import make_link
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import monotonic

PATIENT = 10_000
WAITING, REFRESH, WARM_UP = (Errand(priority) for priority in Priority)


class Till:
    """One replica's budget, and when it gave turns to whom."""

    def __init__(
        self, server: FakeServer, owner: str, *, per_second: float, burst: float, concurrency: int, replicas: int
    ) -> None:
        self.link = make_link(server)
        self.turns = Turns(
            self.link,
            prefix="t",
            owner=owner,
            per_second=per_second,
            burst=burst,
            monotonic=monotonic,
            replicas=lambda: replicas,
        )
        self.budget = Budget(self.turns, per_second=per_second, concurrency=concurrency)
        self.given: list[tuple[float, str]] = []
        self.in_use = self.most_in_use = 0

    async def take(self, errand: Errand, patience: float = PATIENT, *, seconds: float = 0, name: str = "") -> None:
        """Take a turn and hold it for so long."""
        async with self.budget.turn(errand, patience):
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
                await stack.enter_async_context(running(link=till.link.tend, budget=till.budget.serve))
                tills.append(till)
            yield tills
