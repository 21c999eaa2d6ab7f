"""Refresh groups: background refreshes that follow one another closely start together.

A fetch among hot reads finds the processor's caches full of other things, and takes twice the CPU of one that follows
another (docs/decisions/0040-groups-of-refreshes-and-early-answers.md).
"""

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Final

from app.balances.snapshots import AccountId
from app.cache.freshness import RequestDirectives

GROUP: Final = 4
"""More at a time would delay the hot reads that come meanwhile by more than a fetch does."""

_LONGEST_SECONDS: Final = 0.05
_SHARE_OF_LIFETIME: Final = 0.01


class Refreshes:
    """Start the first refresh immediately, and gather those that follow: until there are `GROUP`, or time is up.

    A gathered refresh is late by at most a hundredth of `fresh_ms`, the lifetime of an entry, and by at most 50 ms. Each
    starts in the context of its own reader, whose request its log lines name.
    """

    def __init__(self, start: Callable[[AccountId, RequestDirectives], None], fresh_ms: int) -> None:
        self._start: Final = start
        self._seconds: Final = min(_LONGEST_SECONDS, _SHARE_OF_LIFETIME * fresh_ms / 1000)
        self._gathered: Final[dict[AccountId, tuple[RequestDirectives, Context]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def add(self, account_id: AccountId, directives: RequestDirectives) -> None:
        """Start a refresh, or gather it. One that is gathered already stays as it is."""
        if self._is_closed:
            return
        if account_id not in self._gathered:
            self._gathered[account_id] = directives, copy_context()
        if self._timer is None or len(self._gathered) >= GROUP:
            self._start_gathered()

    def close(self) -> None:
        """Forget the refreshes that were gathered, and start no more."""
        self._is_closed = True
        self._gathered.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _start_gathered(self) -> None:
        """Start what was gathered, and gather for a while again if there was something."""
        if self._timer is not None:
            self._timer.cancel()
        gathered = [*self._gathered.items()]
        self._gathered.clear()
        self._timer = None
        if gathered:
            later = asyncio.get_running_loop().call_later
            self._timer = later(self._seconds, self._start_gathered, context=Context())
        for account_id, (directives, context) in gathered:
            context.run(self._start, account_id, directives)
