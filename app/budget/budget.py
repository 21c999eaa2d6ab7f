"""The budget: how often the whole fleet may ask the upstream, and who goes first."""

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from msgspec import Struct

from app.budget.fair_queue import FairQueue, QueueKey, Waiter
from app.budget.fleet_rate import FleetRateLimiter
from app.errors import BudgetSpent
from app.telemetry.metrics import Metrics


class Priority(IntEnum):
    """Who goes first: the lower, the earlier."""

    WAITING = 0
    REFRESH = 1
    WARM_UP = 2
    SWEEP = 3


class PermitRequest(Struct):
    """What a call is for. It may become more urgent while it waits; `on_change` is called then.

    While there is a `prefetched`, it has a slot and a permit already; that timer would take them back. `on_permit` is
    called when it gets its permit.
    """

    priority: Priority
    caller: str = ""
    prefetched: asyncio.TimerHandle | None = None
    on_change: Callable[[], None] | None = None
    on_permit: Callable[[], None] | None = None

    @property
    def queue_key(self) -> QueueKey:
        """Tell where it waits."""
        return self.priority, self.caller

    def escalate(self, other: "PermitRequest") -> None:
        """Become as urgent as another errand, for its caller, if it is the more urgent one."""
        if other.priority < self.priority:
            self.priority, self.caller = other.priority, other.caller
            if self.on_change is not None:
                self.on_change()

    def grant(self) -> None:
        """Note that the permit is there."""
        if self.on_permit is not None:
            self.on_permit()


class Permit:
    """A turn, held while the context lasts. One is used once."""

    __slots__ = ("_budget", "_patience_seconds", "_permit_request")

    def __init__(self, budget: "Budget", permit_request: PermitRequest, patience_seconds: float) -> None:
        self._budget: Final = budget
        self._permit_request: Final = permit_request
        self._patience_seconds: Final = patience_seconds

    async def __aenter__(self) -> None:
        await self._budget.acquire(self._permit_request, self._patience_seconds)

    async def __aexit__(self, *_: object) -> None:
        self._budget.release()


class Budget:
    """Give out turns as `turns` has them, at most `concurrency` at a time in use.

    First come those with the more urgent errand; among equals the callers take turns, so that one who wants thousands
    does not hold up another who wants one. `per_second` is the whole rate, to tell early who would wait too long.
    """

    def __init__(self, fleet_rate: FleetRateLimiter, *, per_second: float, concurrency: int, metrics: Metrics) -> None:
        self._metrics: Final = metrics
        self._fleet_rate: Final = fleet_rate
        self._per_second: Final = per_second
        self._queue: Final = FairQueue()
        self._changed: Final = asyncio.Event()
        self._free_slots = concurrency

    @property
    def waiting(self) -> int:
        """Tell how many wait for a turn."""
        return len(self._queue)

    def is_free(self, headroom: int) -> bool:
        """Return whether nobody waits for a permit here, and more than `headroom` slots are free."""
        return not self._queue and self._free_slots > headroom

    def reserve_slot(self) -> bool:
        """Take a place for a turn that is asked for elsewhere, if nobody waits for one; `give_back` must follow."""
        if self._queue or self._free_slots <= 0:
            return False
        self._free_slots -= 1
        return True

    def permit(self, permit_request: PermitRequest, patience_seconds: float) -> "Permit":
        """Give a turn to hold while a call is made. Waiting for it raises `BudgetSpent` where none can come, or came, in time."""
        return Permit(self, permit_request, patience_seconds)

    def lane(self, priority: Priority, caller: str = "") -> Callable[[float], "Permit"]:
        """Give what makes permits of one priority for one caller, each a request of its own; see `permit`."""
        return lambda patience_seconds: self.permit(PermitRequest(priority, caller), patience_seconds)

    async def acquire(self, permit_request: PermitRequest, patience_seconds: float) -> None:
        """Wait for a turn, which `give_back` must follow. Raises `BudgetSpent` where none can come, or came, within the patience."""
        if permit_request.prefetched is not None:
            permit_request.prefetched.cancel()
            permit_request.prefetched = None
            self._metrics.budget_wait.observe(0, permit_request.priority.name.lower())
            return
        self._reject_if_too_late(permit_request, patience_seconds)
        loop = asyncio.get_running_loop()
        began = loop.time()
        waiter = self._queue.join(permit_request.queue_key)
        permit_request.on_change = lambda: self._requeue(waiter, permit_request)
        self._changed.set()
        giving_up = loop.call_later(patience_seconds, waiter.give_up)
        try:
            has_come = await waiter.permit
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise
        finally:
            giving_up.cancel()
            permit_request.on_change = None  # else they would hold each other until the garbage collector comes
        if not has_come:
            self._withdraw(waiter)
            self._metrics.budget_refused.add()
            wait = max(self._wait_for(permit_request), 1 / self._per_second)
            raise BudgetSpent("The upstream's budget is spent.", retry_after_seconds=wait)
        permit_request.grant()
        self._metrics.budget_wait.observe(loop.time() - began, permit_request.priority.name.lower())

    def release(self) -> None:
        """Make room for another call."""
        self._free_slots += 1
        self._changed.set()

    async def dispatch(self) -> None:
        """Give out turns until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._free_slots > 0 and (wanted := self._queue.peek_urgency(self._free_slots))[1]:
                wait_seconds = await self._grant(*wanted)
                if wait_seconds > 0:
                    await self._sleep(wait_seconds)

    async def _grant(self, urgency: int, count: int) -> float:
        """Give out the turns that can be had now for so many, and tell the seconds until there are more."""
        granted, wait_seconds = await self._fleet_rate.take(count, leave_headroom=urgency != Priority.WAITING)
        self._free_slots -= self._queue.grant(granted)
        return 0 if granted else wait_seconds

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but no longer than until somebody more urgent may have come."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
                self._changed.clear()
        except TimeoutError:
            return

    def _withdraw(self, waiter: Waiter) -> None:
        """Take a waiter out of the lines, or its turn back that came at the same moment."""
        if not self._queue.leave(waiter) and waiter.is_granted:
            self.release()

    def _requeue(self, waiter: Waiter, permit_request: PermitRequest) -> None:
        self._queue.move(waiter, permit_request.queue_key)
        self._changed.set()

    def _reject_if_too_late(self, permit_request: PermitRequest, patience_seconds: float) -> None:
        if (wait := self._wait_for(permit_request)) > patience_seconds:
            self._metrics.budget_refused.add()
            raise BudgetSpent("The upstream's budget is spent.", retry_after_seconds=wait)

    def _wait_for(self, permit_request: PermitRequest) -> float:
        """Estimate the seconds until a turn: those who go before, at the rate that is ours, after what must be waited."""
        if len(self._queue) <= self._fleet_rate.available_now():
            return self._fleet_rate.wait_seconds()
        ahead = max(0, sum(self._queue.count_ahead(permit_request.queue_key)) - self._fleet_rate.available_now())
        return self._fleet_rate.wait_seconds() + ahead * self._fleet_rate.active_replicas / self._per_second
