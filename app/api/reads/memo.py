"""Memoised responses, keyed by the exact request bytes they depend on.

An entry is valid while the callers, the snapshot and the displayed age are unchanged.
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from litestar.types import HTTPResponseBodyEvent
from msgspec import Struct

from app.access.callers import Caller
from app.api.reads.account_reads import KnownRead
from app.api.replies import RawHeaders
from app.balances.snapshots import Snapshot
from app.telemetry.metrics import HotSeries

MemoKey = tuple[str, bytes, bytes, *tuple[bytes | None, ...]]
"""All that an answer depends on: method, raw path, query, and each header that matters, None where it is missing."""

_MEMO_BYTES: Final = 2_500
"""What CPython takes for a memo besides URL and body: the rest of the key, what it asks for, headers, and an outdated
snapshot."""

_REQUEST_BYTES: Final = 700
"""What CPython takes for a remembered request besides its bytes: most is its key, which it may share with a memo."""

K = TypeVar("K")
V = TypeVar("V")


class Memo(Struct, gc=False):
    """An answer, and what it depends on: a generation of callers, a snapshot, and a span of Unix milliseconds.

    Age is measured from `as_of`, clamped to now if the writer's clock is ahead. From `early` on, each hit may trigger an
    early background refresh. `rated` is a caller with a rate, else None. `series` counts the answers. As the answer gets
    older, its headers and span change in place. `head` is the status line and the headers as sent, if they were.
    """

    generation: int
    read: KnownRead
    snapshot: Snapshot
    as_of: int
    since: int
    until: int
    early: int
    rated: Caller | None
    status: int
    headers: RawHeaders
    body: HTTPResponseBodyEvent
    series: HotSeries
    head: bytes | None = None


class BoundedTable(Generic[K, V]):
    """Table of up to `capacity`, by the size of each entry. A table that would exceed that is cleared first.

    That suits memos: each is valid for at most a second, so clearing loses little.
    """

    def __init__(self, capacity: int, size_of: Callable[[K, V], int]) -> None:
        self._capacity: Final = capacity
        self._size_of: Final = size_of
        self._values: Final[dict[K, V]] = {}
        self._size = 0
        self.recall: Final = self._values.get

    def __len__(self) -> int:
        return len(self._values)

    def remember(self, key: K, value: V) -> None:
        """Store a value in place of any other under the same key."""
        outdated = self._values.get(key)
        self._size += self._size_of(key, value) - (0 if outdated is None else self._size_of(key, outdated))
        if self._size > self._capacity:
            self._values.clear()
            self._size = self._size_of(key, value)
        self._values[key] = value


def memo_table(capacity_bytes: int) -> BoundedTable[MemoKey, Memo]:
    """Make a table of memos. Its keys contain the callers' credentials."""
    return BoundedTable(
        capacity_bytes, lambda key, memo: _MEMO_BYTES + len(key[1]) + len(key[2]) + len(memo.body["body"])
    )


def request_index(capacity_bytes: int) -> BoundedTable[bytes, MemoKey]:
    """Make an index from requests, each as it came, to memo keys. Most programs send the same bytes each time.

    A request with an id of its own does not belong here, since the next id differs.
    """
    return BoundedTable(capacity_bytes, lambda request, _: _REQUEST_BYTES + len(request))
