"""The budget: how often the whole fleet may ask the upstream, and who goes first."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from enum import IntEnum
from heapq import heapify, heappop, heappush
from typing import Final

from msgspec import Struct

from app.cache.turns import Turns
from app.errors import BudgetSpent
from app.telemetry.metrics import Metrics


class Priority(IntEnum):
    """Who goes first: the lower, the earlier."""

    WAITING = 0
    REFRESH = 1
    WARM_UP = 2


class Errand(Struct):
    """What a call is for. It may become more urgent while it waits; `changed` is told then.

    While there is an `advance`, it has a place and a turn already; that is how they would be taken back.
    """

    priority: Priority
    caller: str = ""
    advance: asyncio.TimerHandle | None = None
    changed: Callable[[], None] | None = None

    def serve(self, other: "Errand") -> None:
        """Become as urgent as another errand, for its caller, if it is the more urgent one."""
        if other.priority < self.priority:
            self.priority, self.caller = other.priority, other.caller
            if self.changed is not None:
                self.changed()


class _Waiter(Struct, eq=False):
    errand: Errand
    number: int
    turn: asyncio.Future[bool]

    def give_up(self) -> None:
        """Stop waiting, unless the turn has come."""
        if not self.turn.done():
            self.turn.set_result(False)


class Turn:
    """A turn, held while the context lasts. One is used once."""

    __slots__ = ("_budget", "_errand", "_patience_seconds")

    def __init__(self, budget: "Budget", errand: Errand, patience_seconds: float) -> None:
        self._budget: Final = budget
        self._errand: Final = errand
        self._patience_seconds: Final = patience_seconds

    async def __aenter__(self) -> None:
        await self._budget.wait(self._errand, self._patience_seconds)

    async def __aexit__(self, *_: object) -> None:
        self._budget.give_back()


class Budget:
    """Give out turns as `turns` has them, at most `concurrency` at a time in use.

    First come those with the more urgent errand; among equals the callers take turns, so that one who wants thousands
    does not hold up another who wants one. `per_second` is the whole rate, to tell early who would wait too long.
    """

    def __init__(self, turns: Turns, *, per_second: float, concurrency: int, metrics: Metrics | None = None) -> None:
        self._metrics: Final = metrics or Metrics()
        self._turns: Final = turns
        self._per_second: Final = per_second
        self._waiters: Final[list[_Waiter]] = []
        self._last_served: Final[dict[str, int]] = {}
        self._news: Final = asyncio.Event()
        self._places = concurrency
        self._count = 0

    @property
    def waiting(self) -> int:
        """Tell how many wait for a turn."""
        return len(self._waiters)

    def reserve(self) -> bool:
        """Take a place for a turn that is asked for elsewhere, if nobody waits for one; `give_back` must follow."""
        if self._waiters or self._places <= 0:
            return False
        self._places -= 1
        return True

    def turn(self, errand: Errand, patience_seconds: float) -> "Turn":
        """Give a turn to hold while a call is made. Waiting for it raises `BudgetSpent` where none can come, or came, in time."""
        return Turn(self, errand, patience_seconds)

    async def wait(self, errand: Errand, patience_seconds: float) -> None:
        """Wait for a turn, which `give_back` must follow. Raises `BudgetSpent` where none can come, or came, within the patience."""
        if errand.advance is not None:
            errand.advance.cancel()
            errand.advance = None
            self._metrics.budget_wait.observe(0, errand.priority.name.lower())
            return
        self._refuse_the_hopeless(errand, patience_seconds)
        loop = asyncio.get_running_loop()
        began = loop.time()
        waiter = _Waiter(errand, self._count, loop.create_future())
        self._count += 1
        self._waiters.append(waiter)
        errand.changed = self._news.set
        self._news.set()
        giving_up = loop.call_later(patience_seconds, waiter.give_up)
        try:
            has_come = await waiter.turn
        except asyncio.CancelledError:
            self._leave(waiter)
            raise
        finally:
            giving_up.cancel()
        if not has_come:
            self._leave(waiter)
            self._metrics.budget_refused.add()
            wait = max(self._wait_for(errand), 1 / self._per_second)
            raise BudgetSpent("The upstream's budget is spent.", retry_after_seconds=wait)
        self._metrics.budget_wait.observe(loop.time() - began, errand.priority.name.lower())

    def give_back(self) -> None:
        """Make room for another call."""
        self._places += 1
        self._news.set()

    async def serve(self) -> None:
        """Give out turns until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting() and self._places > 0:
                wait_seconds = await self._give_out()
                if wait_seconds > 0:
                    await self._sleep(wait_seconds)

    async def _give_out(self) -> float:
        """Give out the turns that can be had now, and tell the seconds until there are more."""
        waiting = self._waiting()
        most_urgent = min(waiter.errand.priority for waiter in waiting)
        wanted = sum(waiter.errand.priority == most_urgent for waiter in waiting)
        granted, wait_seconds = await self._turns.take(
            min(wanted, self._places), spare=most_urgent is not Priority.WAITING
        )
        self._serve_next(granted)
        return 0 if granted else wait_seconds

    def _waiting(self) -> list[_Waiter]:
        """Give those who wait, without those who have been cancelled and have not noticed yet."""
        return [waiter for waiter in self._waiters if not waiter.turn.done()]

    def _serve_next(self, count: int) -> None:
        """Serve so many, the most urgent first, in one pass: thousands may wait."""
        served = self._choose(count)
        self._waiters[:] = [waiter for waiter in self._waiters if waiter not in served]
        if not self._waiters:
            self._last_served.clear()
        for waiter in served:
            self._places -= 1
            waiter.turn.set_result(True)

    def _choose(self, count: int) -> set[_Waiter]:
        """Choose who is next: by urgency, then callers in turn, then who came first."""
        lines: dict[tuple[Priority, str], deque[_Waiter]] = {}
        for waiter in self._waiting():
            lines.setdefault((waiter.errand.priority, waiter.errand.caller), deque()).append(waiter)
        heads = [self._head(*place, line) for place, line in lines.items()]
        heapify(heads)
        chosen: set[_Waiter] = set()
        while heads and len(chosen) < count:
            head = heappop(heads)
            priority, _, _, caller = head
            line = lines[priority, caller]
            if head == self._head(priority, caller, line):
                chosen.add(line.popleft())
                self._last_served[caller] = self._count = self._count + 1
            if line:
                heappush(heads, self._head(priority, caller, line))
        return chosen

    def _head(self, priority: Priority, caller: str, line: deque[_Waiter]) -> tuple[Priority, int, int, str]:
        """Tell when a line's first one is to be served, in an order of such tuples."""
        return priority, self._last_served.get(caller, -1), line[0].number, caller

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but no longer than until somebody more urgent may have come."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
                self._news.clear()
        except TimeoutError:
            return

    def _leave(self, waiter: _Waiter) -> None:
        """Take a waiter out of the queue, or its turn back that came at the same moment."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        else:
            self.give_back()

    def _refuse_the_hopeless(self, errand: Errand, patience_seconds: float) -> None:
        if (wait := self._wait_for(errand)) > patience_seconds:
            self._metrics.budget_refused.add()
            raise BudgetSpent("The upstream's budget is spent.", retry_after_seconds=wait)

    def _wait_for(self, errand: Errand) -> float:
        """Estimate the seconds until a turn: those who go before, at the rate that is ours, after what must be waited."""
        if len(self._waiters) <= self._turns.at_once():
            return self._turns.wait_seconds()
        before = Counter(one.errand.caller for one in self._waiters if one.errand.priority <= errand.priority)
        mine = before.pop(errand.caller, 0)
        ahead = mine + sum(min(count, mine + 1) for count in before.values())
        ahead = max(0, ahead - self._turns.at_once())
        return self._turns.wait_seconds() + ahead * self._turns.asking / self._per_second
