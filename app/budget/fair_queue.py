"""Priority and fair queueing: who waits for a permit, by urgency and caller, and who is next."""

import asyncio
from bisect import bisect_left, insort
from collections import Counter
from heapq import heapify, heappop, heappush
from itertools import islice
from operator import attrgetter
from typing import Final

from msgspec import Struct

QueueKey = tuple[int, str]
"""The urgency (the lower, the earlier) and the caller."""

_number: Final = attrgetter("number")


class Waiter(Struct, eq=False):
    """The `number`-th that joined. Its `permit` becomes true when granted, false when given up."""

    queue_key: QueueKey
    number: int
    permit: asyncio.Future[bool]

    @property
    def is_granted(self) -> bool:
        """Whether the permit was granted."""
        return self.permit.done() and not self.permit.cancelled() and self.permit.result()

    def give_up(self) -> None:
        """Stop waiting, unless the permit was granted."""
        if not self.permit.done():
            self.permit.set_result(False)


class FairQueue:
    """Queue waiters: the more urgent first, then callers alternately, then in order of arrival.

    A waiter that has given up, or was cancelled and has not left yet, is granted nothing.
    """

    def __init__(self) -> None:
        self._queues: Final[dict[QueueKey, list[Waiter]]] = {}
        self._last_granted: Final[dict[str, int]] = {}
        self._count = 0

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __bool__(self) -> bool:
        return bool(self._queues)

    def join(self, queue_key: QueueKey) -> Waiter:
        """Append a waiter to a queue."""
        waiter = Waiter(queue_key, self._next(), asyncio.get_running_loop().create_future())
        self._queues.setdefault(queue_key, []).append(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> bool:
        """Remove a waiter. Return whether it was still queued."""
        queue = self._queues.get(waiter.queue_key, [])
        index = bisect_left(queue, waiter.number, key=_number)
        if queue[index : index + 1] != [waiter]:
            return False
        self._pop(waiter.queue_key, index)
        return True

    def move(self, waiter: Waiter, queue_key: QueueKey) -> None:
        """Move a waiter to another queue, before the waiters that joined later."""
        if self.leave(waiter):
            waiter.queue_key = queue_key
            insort(self._queues.setdefault(queue_key, []), waiter, key=_number)

    def peek_urgency(self, limit: int) -> tuple[int, int]:
        """Return the greatest urgency, and how many waiters have it, counted up to `limit`: 0 if none wait."""
        for urgency in sorted({urgency for urgency, _ in self._queues}):
            queues = (queue for key, queue in self._queues.items() if key[0] == urgency)
            if count := sum(
                1 for _ in islice((one for queue in queues for one in queue if not one.permit.done()), limit)
            ):
                return urgency, count
        return 0, 0

    def grant(self, count: int) -> int:
        """Grant `count` permits, or as many as there are waiters. Return how many."""
        granted = 0
        heads = [self._head(queue_key) for queue_key in self._queues]
        heapify(heads)
        while heads and granted < count:
            head = heappop(heads)
            queue_key = head[0], head[-1]
            if head == self._head(queue_key):  # else another queue of this caller was granted a permit meanwhile
                waiter = self._pop(queue_key, 0)
                if not waiter.permit.done():
                    waiter.permit.set_result(True)
                    self._last_granted[queue_key[1]] = self._next()
                    granted += 1
            if queue_key in self._queues:
                heappush(heads, self._head(queue_key))
        if not self._queues:
            self._last_granted.clear()
        return granted

    def count_ahead(self, queue_key: QueueKey) -> tuple[int, int]:
        """Return how many at most would be granted before a newcomer: of the same caller, and of others."""
        urgency, caller = queue_key
        waiting: Counter[str] = Counter()
        for (its_urgency, its_caller), queue in self._queues.items():
            if its_urgency <= urgency:
                waiting[its_caller] += len(queue)
        same = waiting.pop(caller, 0)
        return same, sum(min(count, same + 1) for count in waiting.values())

    def _pop(self, queue_key: QueueKey, index: int) -> Waiter:
        queue = self._queues[queue_key]
        waiter = queue.pop(index)
        if not queue:
            del self._queues[queue_key]
        return waiter

    def _head(self, queue_key: QueueKey) -> tuple[int, int, int, str]:
        """Return the rank of a queue's first waiter: the smallest is granted first."""
        urgency, caller = queue_key
        return urgency, self._last_granted.get(caller, -1), self._queues[queue_key][0].number, caller

    def _next(self) -> int:
        self._count += 1
        return self._count
