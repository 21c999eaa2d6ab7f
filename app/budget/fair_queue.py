"""Lines: those who wait for a turn, by urgency and caller, and who of them is next, however many they are."""

import asyncio
from bisect import bisect_left, insort
from collections import Counter
from heapq import heapify, heappop, heappush
from itertools import islice
from operator import attrgetter
from typing import Final

from msgspec import Struct

QueueKey = tuple[int, str]
"""How urgent something is (the lower, the earlier), and for which caller."""

_number: Final = attrgetter("number")


class Waiter(Struct, eq=False):
    """Somebody in a line: the `number`-th who came. `turn` tells that their turn has come, or that none will."""

    queue_key: QueueKey
    number: int
    permit: asyncio.Future[bool]

    @property
    def is_granted(self) -> bool:
        """Tell whether their turn has come."""
        return self.permit.done() and not self.permit.cancelled() and self.permit.result()

    def give_up(self) -> None:
        """Stop waiting, unless the turn has come."""
        if not self.permit.done():
            self.permit.set_result(False)


class FairQueue:
    """Keep who waits. First come the more urgent, among equals callers in turn, of each caller those who came first.

    Who has given up, or was cancelled and has not noticed yet, is not served.
    """

    def __init__(self) -> None:
        self._queues: Final[dict[QueueKey, list[Waiter]]] = {}
        self._last_granted: Final[dict[str, int]] = {}
        self._count = 0

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def join(self, queue_key: QueueKey) -> Waiter:
        """Let somebody wait, behind all others of their place."""
        waiter = Waiter(queue_key, self._next(), asyncio.get_running_loop().create_future())
        self._queues.setdefault(queue_key, []).append(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> bool:
        """Let somebody wait no more, and tell whether they did."""
        line = self._queues.get(waiter.queue_key, [])
        index = bisect_left(line, waiter.number, key=_number)
        if line[index : index + 1] != [waiter]:
            return False
        self._pop(waiter.queue_key, index)
        return True

    def move(self, waiter: Waiter, queue_key: QueueKey) -> None:
        """Let somebody who waits do so at another place, before those there who came later."""
        if self.leave(waiter):
            waiter.queue_key = queue_key
            insort(self._queues.setdefault(queue_key, []), waiter, key=_number)

    def peek_urgency(self, limit: int) -> tuple[int, int]:
        """Give the greatest urgency of those who wait, and how many have it, counted up to `most`; none have it if none wait."""
        for urgency in sorted({urgency for urgency, _ in self._queues}):
            lines = (line for place, line in self._queues.items() if place[0] == urgency)
            if count := sum(1 for _ in islice((one for line in lines for one in line if not one.permit.done()), limit)):
                return urgency, count
        return 0, 0

    def grant(self, count: int) -> int:
        """Tell so many, or all there are, that their turn has come; give how many."""
        served = 0
        heads = [self._head(place) for place in self._queues]
        heapify(heads)
        while heads and served < count:
            head = heappop(heads)
            place = head[0], head[-1]
            if head == self._head(place):  # else another line of this caller was served meanwhile
                waiter = self._pop(place, 0)
                if not waiter.permit.done():
                    waiter.permit.set_result(True)
                    self._last_granted[place[1]] = self._next()
                    served += 1
            if place in self._queues:
                heappush(heads, self._head(place))
        if not self._queues:
            self._last_granted.clear()
        return served

    def count_ahead(self, queue_key: QueueKey) -> tuple[int, int]:
        """Tell how many go before somebody who would come to a place now, at most: of the same caller, and of others."""
        urgency, caller = queue_key
        waiting: Counter[str] = Counter()
        for (its_urgency, its_caller), line in self._queues.items():
            if its_urgency <= urgency:
                waiting[its_caller] += len(line)
        mine = waiting.pop(caller, 0)
        return mine, sum(min(count, mine + 1) for count in waiting.values())

    def _pop(self, queue_key: QueueKey, index: int) -> Waiter:
        line = self._queues[queue_key]
        waiter = line.pop(index)
        if not line:
            del self._queues[queue_key]
        return waiter

    def _head(self, queue_key: QueueKey) -> tuple[int, int, int, str]:
        """Tell when a line's first one is to be served, in an order of such tuples."""
        urgency, caller = queue_key
        return urgency, self._last_granted.get(caller, -1), self._queues[queue_key][0].number, caller

    def _next(self) -> int:
        self._count += 1
        return self._count
