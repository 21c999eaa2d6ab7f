"""Memoised responses, keyed by the exact request bytes they depend on.

An entry is valid while the callers, the snapshot and the displayed age are unchanged.
"""

from typing import Final

from litestar.types import HTTPResponseBodyEvent
from msgspec import Struct

from app.access.callers import Caller
from app.api.replies import RawHeaders
from app.balances.snapshots import Snapshot
from app.telemetry.metrics import HotSeries

MemoKey = tuple[str, bytes, bytes, *tuple[bytes | None, ...]]
"""All that an answer depends on: method, raw path, query, and each header that matters, None where it is missing."""

RawRequest = tuple[str, bytes, bytes, *tuple[tuple[bytes, bytes], ...]]
"""A request as received: method, raw path, query, and every header."""

_MEMO_BYTES: Final = 2_000
"""What CPython takes for a memo besides its body: the key, headers, and an outdated snapshot."""


class Memo(Struct, frozen=True, gc=False):
    """An answer, and what it depends on: a generation of callers, a snapshot, and a span of Unix milliseconds.

    Age is measured from `as_of`, clamped to now if the writer's clock is ahead. From `early` on, each hit may trigger an
    early background refresh. `rated` is a caller with a rate, else None. `series` counts the answers.
    """

    generation: int
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


class MemoTable:
    """Keep memos of about `capacity_bytes` together. A table that is full is cleared.

    A memo is valid for at most a second, so clearing loses little. Keys contain the callers' credentials.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes: Final = capacity_bytes
        self._memos: Final[dict[MemoKey, Memo]] = {}
        self._bytes = 0
        self.recall: Final = self._memos.get

    def __len__(self) -> int:
        return len(self._memos)

    def remember(self, key: MemoKey, memo: Memo) -> None:
        """Store a memo in place of any other under the same key."""
        outdated = self._memos.get(key)
        self._bytes += _size_of(memo) - (0 if outdated is None else _size_of(outdated))
        if self._bytes > self._capacity_bytes:
            self._memos.clear()
            self._bytes = _size_of(memo)
        self._memos[key] = memo


def _size_of(memo: Memo) -> int:
    return _MEMO_BYTES + len(memo.body["body"])


class RawRequestIndex:
    """Index of the memo keys of `capacity` raw requests. An index that is full is cleared.

    Most programs send the same headers each time. The index saves parsing them again.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity: Final = capacity
        self._keys: Final[dict[RawRequest, MemoKey]] = {}
        self.recall: Final = self._keys.get

    def __len__(self) -> int:
        return len(self._keys)

    def remember(self, raw: RawRequest, key: MemoKey) -> None:
        """Store the key of a raw request. A request with an id of its own does not belong here: the next id differs."""
        if len(self._keys) >= self._capacity:
            self._keys.clear()
        self._keys[raw] = key
