"""A fleet that sweeps a portfolio, in virtual time: the real cache, budget and sweep over the modelled Redis."""

import asyncio
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from random import Random
from typing import Final

from msgspec import Struct

from app.balances.amounts import Amount
from app.balances.merchants import Directory, Merchant
from app.balances.snapshots import AccountId, Entry, Row, Snapshot
from app.cache.freshness import RequestDirectives
from app.errors import TallygateError, TokenRefused, UpstreamFaulty
from app.fleet.demand import Demand
from app.portfolio.directory import MerchantDirectory
from app.portfolio.sweep import Sweep
from app.portfolio.sweep_figures import SweepOptions
from app.portfolio.sweep_sources import SweepSources
from app.resilience.supervision import supervised
from bench.fleet_figures import Conditions
from bench.fleet_model import Replica
from bench.redis_model import Server
from tests.support.virtual_time import monotonic, unix_ms

DEMAND_SECONDS: Final = 900.0
DIRECTORY_SECONDS: Final = 300.0
_REDIS_WAY_SECONDS: Final = 0.000_15

Packed = tuple[bytes, int, int]


class PortfolioConditions(Struct, frozen=True, kw_only=True):
    """What a fleet goes through: it starts empty. `failing` is the share of merchants whose fetches always fail."""

    merchants: int
    budget: float
    replicas: int = 1
    burst: float | None = None
    upstream_seconds: float = 0.05
    concurrency: int = 16
    failing: float = 0.0
    share: float = 0.8
    stale_seconds: float = 3600
    demand_seconds: float = DEMAND_SECONDS
    seed: int = 1


class PortfolioUpstream:
    """An upstream that names its merchants, answers for each but those that fail, and notes when it did."""

    def __init__(self, conditions: PortfolioConditions, random: Random) -> None:
        self._seconds: Final = conditions.upstream_seconds
        self._random: Final = random
        self.refuses_the_token = False
        self.merchants = [AccountId(str(10_001 + number)) for number in range(conditions.merchants)]
        self.failing: Final = frozenset(random.sample(self.merchants, round(conditions.failing * conditions.merchants)))
        self.began: Final[list[float]] = []
        self.answers: Final[defaultdict[AccountId, list[float]]] = defaultdict(list)

    async def answer(self, account_id: AccountId) -> Entry:
        """Answer for one merchant."""
        self.began.append(monotonic())
        await asyncio.sleep(self._seconds * self._random.lognormvariate(0, 0.3))
        if self.refuses_the_token:
            raise TokenRefused("It refuses the token.")
        if account_id in self.failing:
            raise UpstreamFaulty("It fails.")
        self.answers[account_id].append(monotonic())
        row = Row("BTC", "BTC", "Bitcoin", Amount("1"), Amount("1"), Amount("0"))
        return Snapshot(account_id, unix_ms(), can_deposit=True, balances=(row,))

    async def list_merchants(self) -> Directory:
        """Name the merchants. It costs no permit here, unlike in the service."""
        return Directory(unix_ms(), tuple(Merchant(int(one), None) for one in self.merchants))

    @property
    def healthy(self) -> list[AccountId]:
        """The merchants that do not fail."""
        return [account_id for account_id in self.merchants if account_id not in self.failing]

    @property
    def whole_at(self) -> float:
        """When every merchant that does not fail had answered once; infinite if one has not."""
        return max(self.answers[account_id][0] if self.answers[account_id] else math.inf for account_id in self.healthy)

    def calls_until(self, moment: float) -> int:
        """Count the calls that began until a moment."""
        return sum(at <= moment for at in self.began)

    def oldest_seconds(self, since: float, until: float) -> float:
        """Return the greatest age of any merchant that does not fail, at any moment of a span."""
        return max(self._oldest(account_id, since, until) for account_id in self.healthy)

    def excess(self, per_second: float, burst: float) -> float:
        """Return by how many calls the budget was exceeded at worst, 0 or less if never (a leaky bucket of `burst`)."""
        level = worst = 0.0
        last = -math.inf
        for at in self.began:
            level = max(0.0, level - (at - last) * per_second) + 1
            worst, last = max(worst, level - burst), at
        return worst

    def _oldest(self, account_id: AccountId, since: float, until: float) -> float:
        moments = [at for at in self.answers[account_id] if at < until]
        before = max((at for at in moments if at <= since), default=math.inf)
        inside = [at for at in moments if at > since]
        edges = [before, *inside, until]
        return max(after - earlier for earlier, after in pairwise(edges))


class SweepingReplica(Replica):
    """One replica that sweeps, too."""

    def __init__(self, name: str, conditions: PortfolioConditions, world: "PortfolioFleet") -> None:
        fleet = Conditions(
            merchants=conditions.merchants,
            budget=conditions.budget,
            replicas=conditions.replicas,
            concurrency=conditions.concurrency,
            way_seconds=_REDIS_WAY_SECONDS,
        )
        super().__init__(name, fleet, world.server, world.upstream.answer, world.random)
        self._stop: Final = asyncio.Event()
        self.pause_seconds = 0.0
        self.directory: Final = MerchantDirectory(
            merchants=None,
            fetch=world.upstream.list_merchants,
            share=world.share_directory,
            refresh_seconds=DIRECTORY_SECONDS,
            runtime=self.runtime,
        )
        options = SweepOptions(
            per_second=conditions.budget,
            share=conditions.share,
            concurrency=conditions.concurrency,
            stale_seconds=conditions.stale_seconds,
        )
        parts = self.parts
        self.sweep: Final = Sweep(
            demand=Demand(self.shared, conditions.demand_seconds, monotonic),
            sources=SweepSources(
                self.directory,
                parts.loader.look_up,
                parts.memory.peek,
                parts.cache,
                lambda: self.pause_seconds,
            ),
            queue=self.queue,
            budget=self.budget,
            options=options,
            runtime=self.runtime,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run it."""
        works = {
            "budget": self.budget.permits.dispatch,
            "leases": self.parts.tier.renew_leases,
            "link": self.shared.client.probe_while_lost,
            "directory": self.directory.keep_fresh,
            **self.sweep.tasks,
        }
        async with supervised(**works):
            yield
        await self.parts.cache.close()

    async def kill(self) -> None:
        """End it as a crash does: nothing is given back."""
        self.client.is_cut_off = True
        self._stop.set()
        await asyncio.sleep(0)

    async def live(self) -> None:
        """Run until it is killed."""
        async with self.running():
            await self._stop.wait()

    async def read(self, account_id: AccountId) -> float:
        """Read one merchant afresh, and return the seconds that it took."""
        began = monotonic()
        await self.parts.cache.read(account_id, RequestDirectives(received_at=unix_ms(), no_cache=True), "one")
        return monotonic() - began


class PortfolioFleet:
    """Replicas, their Redis, and their upstream."""

    def __init__(self, conditions: PortfolioConditions) -> None:
        self.random: Final = Random(conditions.seed)
        self.server: Final = Server(_unix_us, lambda: _REDIS_WAY_SECONDS)
        self.upstream: Final = PortfolioUpstream(conditions, self.random)
        self._listing = b""
        self.replicas: Final = [
            SweepingReplica(f"r{number}", conditions, self) for number in range(conditions.replicas)
        ]

    @property
    def sweeping(self) -> list[SweepingReplica]:
        """The replicas that sweep now."""
        return [replica for replica in self.replicas if replica.sweep.demand.is_ours]

    async def share_directory(self, unwanted: bytes, make: Callable[[], Awaitable[Packed]]) -> tuple[bytes, int]:
        """Share the list of merchants."""
        if self._listing in {b"", unwanted}:
            self._listing, _, _ = await make()
        return self._listing, 1000

    async def ask(self, seconds: float, every_seconds: float = 10) -> None:
        """Ask for all merchants now and then, at any replica."""
        until = monotonic() + seconds
        while (now := monotonic()) < until:
            self.random.choice(self.replicas).sweep.demand.record()
            await asyncio.sleep(min(every_seconds, until - now))

    async def read(self, seconds: float, per_second: float) -> list[float]:
        """Let callers read merchants afresh, and return how long each read took. Failing merchants are left out."""
        until, merchants, waits = monotonic() + seconds, self.upstream.healthy, list[float]()
        async with asyncio.TaskGroup() as group:
            while monotonic() < until:
                await asyncio.sleep(self.random.expovariate(per_second))
                group.create_task(self._read(self.random.choice(merchants), waits))
        return waits

    async def restart_redis(self, seconds: float) -> None:
        """Stop Redis for a while: it keeps what it has, and nothing is heard of it meanwhile."""
        self.server.is_up = False
        for replica in self.replicas:
            replica.parts.bus.connected = False
        await asyncio.sleep(seconds)
        self.server.is_up = True
        for replica in self.replicas:
            replica.parts.bus.connected = True
            replica.parts.memory.distrust()

    async def _read(self, account_id: AccountId, waits: list[float]) -> None:
        try:
            waits.append(await self.random.choice(self.replicas).read(account_id))
        except TallygateError:
            waits.append(math.inf)


@asynccontextmanager
async def run_portfolio(conditions: PortfolioConditions) -> AsyncIterator[PortfolioFleet]:
    """Run a fleet under conditions, in virtual time."""
    fleet = PortfolioFleet(conditions)
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        lives = [group.create_task(replica.live()) for replica in fleet.replicas]
        yield fleet
        for replica in fleet.replicas:
            replica._stop.set()  # noqa: SLF001
        await asyncio.gather(*lives)


def _unix_us() -> int:
    return 1_000_000_000_000_000 + round(monotonic() * 1_000_000)
