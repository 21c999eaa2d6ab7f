"""Counters of what reached the upstream."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from sandbox.messages import BALANCES_PATH, Request

_MOST_ARRIVALS = 100_000


class Counters:
    """Count requests as they arrive and leave, and let a test wait for arrivals."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self.in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Begin again from zero; what is in flight stays in flight."""
        self.total = 0
        self.balance_calls = 0
        self.by_path: Counter[str] = Counter()
        self.by_merchant: Counter[int] = Counter()
        self.by_status: Counter[int] = Counter()
        self.connections = 0
        self.arrivals: deque[float] = deque(maxlen=_MOST_ARRIVALS)
        self.max_in_flight = self.in_flight

    def connected(self) -> None:
        """Count a connection opened."""
        self.connections += 1

    def arrived(self, request: Request) -> None:
        """Count a request, at the moment it is whole; it is in flight until `left`."""
        self.total += 1
        self.by_path[request.path] += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        if request.path == BALANCES_PATH:
            self._balances_asked(request.merchant_id)

    def answered(self, status: int) -> None:
        """Count the status line of an answer; a request that gets none is never counted here."""
        self.by_status[status] += 1

    def left(self) -> None:
        """Count a request out, answered or not."""
        self.in_flight -= 1
        self._wake()

    async def calls(self, count: int) -> None:
        """Wait until `count` balance calls have arrived since the last reset."""
        await self._until(lambda: self.balance_calls >= count)

    async def idle(self) -> None:
        """Wait until nothing is in flight."""
        await self._until(lambda: not self.in_flight)

    def as_document(self) -> dict[str, Any]:
        """Write everything counted as the control port shows it."""
        return {
            "total": self.total,
            "byPath": self.by_path,
            "byMerchant": {str(merchant_id): calls for merchant_id, calls in self.by_merchant.items()},
            "byStatus": {str(status): answers for status, answers in self.by_status.items()},
            "inFlight": self.in_flight,
            "maxInFlight": self.max_in_flight,
            "connections": self.connections,
            "arrivals": list(self.arrivals),
        }

    def _balances_asked(self, merchant_id: int | None) -> None:
        self.balance_calls += 1
        self.arrivals.append(self._clock())
        if merchant_id is not None:
            self.by_merchant[merchant_id] += 1
        self._wake()

    async def _until(self, reached: Callable[[], bool]) -> None:
        if reached():
            return
        entry = (reached, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        try:
            await entry[1]
        finally:
            self._waiting.remove(entry)

    def _wake(self) -> None:
        for reached, future in self._waiting:
            if not future.done() and reached():
                future.set_result(None)
