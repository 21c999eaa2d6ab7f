"""A fleet that hears of moves, in virtual time: the real cache, marks and chases over the modelled Redis."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from random import Random
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from app.balances.amounts import Amount
from app.balances.snapshots import AGGREGATE, AccountId, Entry, Row, Snapshot
from app.cache.freshness import RequestDirectives
from app.moved.chases import Chases
from app.moved.notices import Notices
from app.resilience.supervision import supervised
from bench.fleet_figures import Conditions
from bench.fleet_model import POLICY, Replica
from bench.redis_model import Server
from tests.support.virtual_time import VirtualLoop, monotonic, unix_ms

_UPSTREAM_SECONDS: Final = 0.05
_REDIS_WAY_SECONDS: Final = 0.000_15


class MovedConditions(Struct, frozen=True, kw_only=True):
    """What a fleet goes through. Each merchant, and the aggregate, is read once a second on average.

    An event comes `event_seconds` after its move and the upstream shows the move after `shows_seconds`, on average. A share
    of the events is lost, another comes twice.
    """

    fresh_seconds: int
    has_events: bool
    merchants: int = 20
    replicas: int = 2
    seconds: float = 3600
    moves_an_hour: float = 6
    event_seconds: float = 1.0
    shows_seconds: float = 1.0
    lost: float = 0.01
    twice: float = 0.05
    seed: int = 1


class MovedFigures(Struct):
    """What came of it: upstream calls, reads, and those that differed from what the upstream showed at that moment."""

    calls: int = 0
    reads: int = 0
    wrong: int = 0

    @property
    def wrong_share(self) -> float:
        """The share of time in which answers differed, as the reads sampled it."""
        return self.wrong / self.reads


class _Fleet:
    """Replicas, merchants that move, readers, and events."""

    def __init__(self, conditions: MovedConditions) -> None:
        self._conditions: Final = conditions
        self._random: Final = Random(conditions.seed)
        self._shown: Final[Counter[AccountId]] = Counter()
        self._merchants: Final = [AccountId(str(10_001 + number)) for number in range(conditions.merchants)]
        self.figures: Final = MovedFigures()
        server = Server(_unix_us, lambda: _REDIS_WAY_SECONDS)
        policy = replace(POLICY, fresh_ms=conditions.fresh_seconds * 1000)
        limits = Conditions(merchants=conditions.merchants, budget=1000, replicas=conditions.replicas)
        self.replicas: Final = [
            Replica(f"r{number}", limits, server, self._answer, self._random, policy)
            for number in range(conditions.replicas)
        ]
        self._chases: Final = [Chases(one.parts, one.shared, one.runtime) for one in self.replicas]
        self._notices: Final = [
            Notices(one.parts.loader.moves, chases) for one, chases in zip(self.replicas, self._chases, strict=True)
        ]

    async def live(self) -> MovedFigures:
        """Live through the conditions."""
        works = [
            {
                "budget": one.budget.permits.dispatch,
                "leases": one.parts.tier.renew_leases,
                "chases": chases.renew_leases,
            }
            for one, chases in zip(self.replicas, self._chases, strict=True)
        ]
        async with AsyncExitStack() as stack:
            for work in works:
                await stack.enter_async_context(supervised(**work))
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._read(account)) for account in [*self._merchants, AGGREGATE]]
                tasks.append(group.create_task(self._move(group)))
                await asyncio.sleep(self._conditions.seconds)
                for task in tasks:
                    task.cancel()
            for one, chases in zip(self.replicas, self._chases, strict=True):
                await chases.close()
                await one.parts.cache.close()
        return self.figures

    async def _answer(self, account: AccountId) -> Entry:
        self.figures.calls += 1
        amount = self._amount(account)
        await asyncio.sleep(_UPSTREAM_SECONDS)
        row = Row("USDT", "USDT", "Tether", amount, amount, Amount("0"))
        return Snapshot(account, unix_ms(), can_deposit=True, balances=(row,))

    def _amount(self, account: AccountId) -> Amount:
        return Amount(str(self._shown[account]))

    async def _read(self, account: AccountId) -> None:
        while True:
            await asyncio.sleep(self._random.expovariate(1))
            replica = self._random.choice(self.replicas)
            served = await replica.parts.cache.read(account, RequestDirectives(received_at=unix_ms()), "one")
            if not isinstance(served.entry, Snapshot):
                raise TypeError("the upstream knows every account")
            self.figures.reads += 1
            self.figures.wrong += served.entry.balances[0].total != self._amount(account)

    async def _move(self, group: asyncio.TaskGroup) -> None:
        per_second = self._conditions.moves_an_hour * self._conditions.merchants / 3600
        while True:
            await asyncio.sleep(self._random.expovariate(per_second))
            merchant = self._random.choice(self._merchants)
            group.create_task(self._show(merchant))
            if self._conditions.has_events and self._random.random() >= self._conditions.lost:
                for _ in range(1 + (self._random.random() < self._conditions.twice)):
                    group.create_task(self._report(merchant))

    async def _show(self, merchant: AccountId) -> None:
        await asyncio.sleep(self._random.expovariate(1 / self._conditions.shows_seconds))
        self._shown.update([merchant, AGGREGATE])

    async def _report(self, merchant: AccountId) -> None:
        await asyncio.sleep(self._random.expovariate(1 / self._conditions.event_seconds))
        await self._random.choice(self._notices).take([merchant])


def run_moved(conditions: MovedConditions) -> MovedFigures:
    """Run a fleet under the conditions. The same conditions give the same figures."""

    async def live() -> MovedFigures:
        return await _Fleet(conditions).live()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(live())


def _unix_us() -> int:
    return 1_000_000_000_000_000 + round(monotonic() * 1_000_000)
