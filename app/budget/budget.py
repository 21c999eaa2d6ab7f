"""The budget: how often the whole fleet may ask the upstream, and who goes first."""

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from msgspec import Struct

from app.budget.fair_queue import Lines, Place, Waiter
from app.budget.fleet_rate import Turns
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

    @property
    def place(self) -> Place:
        """Tell where it waits."""
        return self.priority, self.caller

    def serve(self, other: "Errand") -> None:
        """Become as urgent as another errand, for its caller, if it is the more urgent one."""
        if other.priority < self.priority:
            self.priority, self.caller = other.priority, other.caller
            if self.changed is not None:
                self.changed()


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
        self._lines: Final = Lines()
        self._news: Final = asyncio.Event()
        self._places = concurrency

    @property
    def waiting(self) -> int:
        """Tell how many wait for a turn."""
        return len(self._lines)

    def reserve(self) -> bool:
        """Take a place for a turn that is asked for elsewhere, if nobody waits for one; `give_back` must follow."""
        if self._lines or self._places <= 0:
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
        waiter = self._lines.join(errand.place)
        errand.changed = lambda: self._move(waiter, errand)
        self._news.set()
        giving_up = loop.call_later(patience_seconds, waiter.give_up)
        try:
            has_come = await waiter.turn
        except asyncio.CancelledError:
            self._leave(waiter)
            raise
        finally:
            giving_up.cancel()
            errand.changed = None  # else they would hold each other until the garbage collector comes
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
            while self._places > 0 and (wanted := self._lines.most_urgent(self._places))[1]:
                wait_seconds = await self._give_out(*wanted)
                if wait_seconds > 0:
                    await self._sleep(wait_seconds)

    async def _give_out(self, urgency: int, count: int) -> float:
        """Give out the turns that can be had now for so many, and tell the seconds until there are more."""
        granted, wait_seconds = await self._turns.take(count, spare=urgency != Priority.WAITING)
        self._places -= self._lines.serve(granted)
        return 0 if granted else wait_seconds

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but no longer than until somebody more urgent may have come."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
                self._news.clear()
        except TimeoutError:
            return

    def _leave(self, waiter: Waiter) -> None:
        """Take a waiter out of the lines, or its turn back that came at the same moment."""
        if not self._lines.leave(waiter) and waiter.has_come:
            self.give_back()

    def _move(self, waiter: Waiter, errand: Errand) -> None:
        self._lines.move(waiter, errand.place)
        self._news.set()

    def _refuse_the_hopeless(self, errand: Errand, patience_seconds: float) -> None:
        if (wait := self._wait_for(errand)) > patience_seconds:
            self._metrics.budget_refused.add()
            raise BudgetSpent("The upstream's budget is spent.", retry_after_seconds=wait)

    def _wait_for(self, errand: Errand) -> float:
        """Estimate the seconds until a turn: those who go before, at the rate that is ours, after what must be waited."""
        if len(self._lines) <= self._turns.at_once():
            return self._turns.wait_seconds()
        ahead = max(0, sum(self._lines.before(errand.place)) - self._turns.at_once())
        return self._turns.wait_seconds() + ahead * self._turns.asking / self._per_second
