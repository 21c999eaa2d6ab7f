"""What the front remembers of its own answers: to the same request it gives the same one, as long as all that it rests on stays."""

from typing import Final

from litestar.types import HTTPResponseBodyEvent
from msgspec import Struct

from app.access.callers import Caller
from app.api.replies import RawHeaders
from app.balances.snapshots import Snapshot
from app.telemetry.metrics import HotSeries

MemoKey = tuple[str, bytes, bytes, *tuple[bytes | None, ...]]
"""All of a request that its answer depends on: method, path, query, and every header that matters, None if it did not come."""

RawRequest = tuple[str, bytes, bytes, *tuple[tuple[bytes, bytes], ...]]
"""A request as it came: method, path, query, and every header."""

_MEMO_BYTES: Final = 2_000
"""What CPython takes for a memo besides its body: the request, headers, and a snapshot if it is outdated."""


class Memo(Struct, frozen=True, gc=False):
    """An answer, and what it rests on: this generation of callers, this very snapshot, and a span of time (Unix milliseconds).

    Its age counts from `as_of`: the snapshot's, or what was now if a clock ahead of ours wrote that. From `early` on, whoever
    gets it may be the one for whom a newer snapshot is fetched behind. `rated` is the caller if its requests are counted
    against a rate, `series` where they are counted for us.
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
    """Keep memos of about `capacity_bytes` together, and forget all of them where there are more.

    None is good for longer than a second, so there is little to lose. What was asked lies here as it came, the caller's
    credential included.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes: Final = capacity_bytes
        self._memos: Final[dict[MemoKey, Memo]] = {}
        self._bytes = 0
        self.recall: Final = self._memos.get

    def __len__(self) -> int:
        return len(self._memos)

    def remember(self, asked: MemoKey, memo: Memo) -> None:
        """Keep a memo instead of any other of the same request."""
        outdated = self._memos.get(asked)
        self._bytes += _weigh(memo) - (0 if outdated is None else _weigh(outdated))
        if self._bytes > self._capacity_bytes:
            self._memos.clear()
            self._bytes = _weigh(memo)
        self._memos[asked] = memo


def _weigh(memo: Memo) -> int:
    return _MEMO_BYTES + len(memo.body["body"])


class RawRequestIndex:
    """Keep what `capacity` requests ask, by how they came, and forget all of them where there are more.

    Most programs send the same headers each time: then none of them need be looked at again.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity: Final = capacity
        self._asked: Final[dict[RawRequest, MemoKey]] = {}
        self.recall: Final = self._asked.get

    def __len__(self) -> int:
        return len(self._asked)

    def remember(self, came: RawRequest, asked: MemoKey) -> None:
        """Keep what a request asks. It carries no id, which would be another each time."""
        if len(self._asked) >= self._capacity:
            self._asked.clear()
        self._asked[came] = asked
