"""Reconcilers over one fake Redis, and a world of balances that moves when it is told to."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence

from fakeredis import FakeServer

from app.balances.amounts import Amount
from app.balances.snapshots import AGGREGATE, Absence, AccountId, Entry, Snapshot
from app.balances.totals import Totals
from app.cache.freshness import RequestDirectives
from app.fleet.jobs import Jobs
from app.portfolio.reconciler import Reconciler
from app.portfolio.surveys import Surveyor
from tests.support.amounts import make_row, make_snapshot
from tests.support.replica import make_shared
from tests.support.virtual_time import unix_ms, virtual_runtime


class World:
    """Merchants with one asset each, read at 10 ms a piece, and an aggregate that is off by `discrepancy`."""

    def __init__(self, count: int = 20) -> None:
        self.held = {AccountId(str(number)): Amount(str(number)) for number in range(1, count + 1)}
        self.discrepancy = Amount("0")
        self.errors: dict[AccountId, Exception] = {}
        self.asked: list[tuple[AccountId, RequestDirectives]] = []
        self.hold: Callable[[AccountId], Awaitable[None]] | None = None
        self.at_once = self.most_at_once = 0
        self.swept: dict[AccountId, Entry] = {}

    async def read(self, key: AccountId, directives: RequestDirectives) -> Entry:
        self.asked.append((key, directives))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0.01)
            if self.hold is not None:
                await self.hold(key)
        finally:
            self.at_once -= 1
        if key in self.errors:
            raise self.errors[key]
        return self._answer(key)

    async def directory(self) -> Sequence[AccountId]:
        return list(self.held)

    def _answer(self, key: AccountId) -> Entry:
        if key == AGGREGATE:
            parts = (self._snapshot(AccountId(str(number)), amount) for number, amount in enumerate(self._amounts(), 1))
            (total,) = Totals(parts).list()
            return self._snapshot(AGGREGATE, total.total)
        return self._snapshot(key, self.held[key]) if key in self.held else Absence(key, unix_ms())

    def _amounts(self) -> list[Amount]:
        return [*self.held.values(), self.discrepancy]

    def _snapshot(self, key: AccountId, amount: Amount) -> Snapshot:
        return make_snapshot(key, [make_row("BTC", amount)], unix_ms())


def make_reconciler(
    world: World, server: FakeServer, name: str = "r", *, every_seconds: float = 0, concurrency: int = 4
) -> Reconciler:
    """Make a reconciler as one replica has it."""
    ids = (f"{name}{number}" for number in itertools.count(1))
    return Reconciler(
        jobs=Jobs(make_shared(server), "reconciliation"),
        surveyor=Surveyor(
            read=world.read,
            directory=world.directory,
            concurrency=concurrency,
            now_ms=unix_ms,
            peek=world.swept.get,
            call_seconds=5,
        ),
        every_seconds=every_seconds,
        make_id=lambda: next(ids),
        runtime=virtual_runtime(),
    )
