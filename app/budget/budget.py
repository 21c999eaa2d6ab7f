"""Budget: grants permits for upstream calls to the most urgent request, at the fleet's rate."""

import asyncio
from collections.abc import Callable, Coroutine
from enum import IntEnum
from typing import Any, Final

from msgspec import Struct

from app.budget.fair_queue import FairQueue, QueueKey, Waiter
from app.budget.fleet_rate import FleetRateLimiter
from app.errors import BudgetSpent
from app.telemetry.metrics import Metrics


class Priority(IntEnum):
    """The urgency of a call: the lower, the earlier."""

    WAITING = 0
    REFRESH = 1
    WARM_UP = 2
    SWEEP = 3


_NAMES: Final = {priority: priority.name.lower() for priority in Priority}
"""The priorities in metrics."""


class PermitRequest(Struct):
    """The purpose of a call. It may become more urgent while it waits; `on_change` is called then.

    With `prefetched`, it already has a slot and a permit, which that timer releases. `on_permit` is called when it gets
    its permit.
    """

    priority: Priority
    caller: str = ""
    prefetched: asyncio.TimerHandle | None = None
    on_change: Callable[[], None] | None = None
    on_permit: Callable[[], None] | None = None

    @property
    def queue_key(self) -> QueueKey:
        """The queue in which it waits."""
        return self.priority, self.caller

    def escalate(self, other: "PermitRequest") -> None:
        """Take over urgency and caller of another request if that is more urgent."""
        if other.priority < self.priority:
            self.priority, self.caller = other.priority, other.caller
            if self.on_change is not None:
                self.on_change()

    def grant(self) -> None:
        """Note that the permit is there."""
        if self.on_permit is not None:
            self.on_permit()


class Permit:
    """A permit, held while the context lasts. Use it once."""

    __slots__ = ("_budget", "_patience_seconds", "_permit_request")

    def __init__(self, budget: "Budget", permit_request: PermitRequest, patience_seconds: float) -> None:
        self._budget: Final = budget
        self._permit_request: Final = permit_request
        self._patience_seconds: Final = patience_seconds

    def __aenter__(self) -> Coroutine[Any, Any, None]:
        return self._budget.acquire(self._permit_request, self._patience_seconds)

    async def __aexit__(self, *_: object) -> None:
        self._budget.release()


class Budget:
    """Grant permits as `fleet_rate` has them, at most `concurrency` in use at a time.

    The more urgent request comes first. Callers of equal urgency alternate, so that one with thousands of requests
    does not delay another with one. `per_second` is the fleet's rate, by which hopeless requests are rejected early.
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
        """The number of requests that wait."""
        return len(self._queue)

    def permits_within(self, seconds: float) -> float:
        """Return how many permits may come here within so many seconds, as last heard, if nobody else takes them.

        The half of a burst that is left to single reads does not count.
        """
        rate = self._per_second / (1 if self._fleet_rate.is_shared else self._fleet_rate.active_replicas)
        wait = self._fleet_rate.wait_seconds()
        return self._fleet_rate.available_now() / 2 + max(seconds - wait, 0) * rate - len(self._queue)

    def is_free(self, headroom: int) -> bool:
        """Return whether nobody waits for a permit here, and more than `headroom` slots are free."""
        return not self._queue and self._free_slots > headroom

    def reserve_slot(self) -> bool:
        """Take a slot for a permit that is requested elsewhere, if nothing waits; `release` must follow."""
        if self._queue or self._free_slots <= 0:
            return False
        self._free_slots -= 1
        return True

    def permit(self, permit_request: PermitRequest, patience_seconds: float) -> "Permit":
        """Return a permit to hold during a call. Entering it raises `BudgetSpent`, as `acquire` does."""
        return Permit(self, permit_request, patience_seconds)

    def lane(self, priority: Priority, caller: str = "") -> Callable[[float], "Permit"]:
        """Return what makes permits of one priority for one caller, each a request of its own; see `permit`."""
        return lambda patience_seconds: self.permit(PermitRequest(priority, caller), patience_seconds)

    async def acquire(self, permit_request: PermitRequest, patience_seconds: float) -> None:
        """Wait for a permit; `release` must follow. Raises `BudgetSpent` if none can come, or came, in time."""
        if permit_request.prefetched is not None:
            permit_request.prefetched.cancel()
            permit_request.prefetched = None
            self._metrics.budget_wait.observe(0, _NAMES[permit_request.priority])
            return
        self._reject_if_too_late(permit_request, patience_seconds)
        loop = asyncio.get_running_loop()
        began = loop.time()
        waiter = self._queue.join(permit_request.queue_key)
        permit_request.on_change = lambda: self._requeue(waiter, permit_request)
        self._changed.set()
        timeout = loop.call_later(patience_seconds, waiter.give_up)
        try:
            is_granted = await waiter.permit
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise
        finally:
            timeout.cancel()
            permit_request.on_change = None  # breaks a reference cycle, which only the garbage collector would end
        if not is_granted:
            self._withdraw(waiter)
            self._metrics.budget_refused.add()
            wait = max(self._wait_for(permit_request), 1 / self._per_second)
            raise BudgetSpent("The upstream's budget is spent.", retry_after_seconds=wait)
        permit_request.grant()
        self._metrics.budget_wait.observe(loop.time() - began, _NAMES[permit_request.priority])

    def release(self) -> None:
        """Free a slot for another call."""
        self._free_slots += 1
        if self._queue:
            self._changed.set()

    async def dispatch(self) -> None:
        """Grant permits until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._free_slots > 0 and (wanted := self._queue.peek_urgency(self._free_slots))[1]:
                wait_seconds = await self._grant(*wanted)
                if wait_seconds > 0:
                    await self._sleep(wait_seconds)

    async def _grant(self, urgency: int, count: int) -> float:
        """Grant up to `count` permits. Return the seconds to wait if there is none now."""
        granted, wait_seconds = await self._fleet_rate.take(count, leave_headroom=urgency != Priority.WAITING)
        self._free_slots -= self._queue.grant(granted)
        return 0 if granted else wait_seconds

    async def _sleep(self, seconds: float) -> None:
        """Sleep, at most until a more urgent request may have come."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
                self._changed.clear()
        except TimeoutError:
            return

    def _withdraw(self, waiter: Waiter) -> None:
        """Remove a waiter from the queue, or release a permit that it was granted at the same moment."""
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
        """Estimate the seconds until a permit: the requests ahead at our share of the rate, after the known wait."""
        if len(self._queue) <= self._fleet_rate.available_now():
            return self._fleet_rate.wait_seconds()
        ahead = max(0, sum(self._queue.count_ahead(permit_request.queue_key)) - self._fleet_rate.available_now())
        return self._fleet_rate.wait_seconds() + ahead * self._fleet_rate.active_replicas / self._per_second
