"""Advances: a turn of the budget that comes with a lease, for the call that follows at once."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from app.budget.budget import Budget, Errand, Priority
from app.budget.fleet_rate import Turns
from app.redis.scripts import Extra

_GOOD_SECONDS: Final = 0.25
"""How late a turn may be used that was given in advance. What waits for a token meanwhile may hold up no place: the token wants one."""


class Advance(Struct):
    """How to ask for a turn besides a lease, None where it is not to be had like this; `told` is what was said of it."""

    extra: Extra | None
    told: tuple[int, ...] = ()


class Advances:
    """Let a turn be taken at the same stroke as a lease, and not without one: that saves a read a round trip.

    Only where it changes nobody's place in the line: while none waits for a turn, and a call could be made. `is_ready` tells
    whether it would be made then: a turn that nobody uses is lost to the whole fleet.
    """

    def __init__(self, budget: Budget, turns: Turns, is_ready: Callable[[], bool] = lambda: True) -> None:
        self._budget: Final = budget
        self._turns: Final = turns
        self._is_ready: Final = is_ready

    @contextmanager
    def asking(self, errand: Errand) -> Iterator[Advance]:
        """Keep a place while the context lasts, and for the errand after it if a turn was granted."""
        extra = self._turns.extra(spare=errand.priority is not Priority.WAITING) if self._is_ready() else None
        advance = Advance(extra if extra is not None and self._budget.reserve() else None)
        try:
            yield advance
        finally:
            if advance.extra is not None:
                self._settle(errand, advance.told)

    def _settle(self, errand: Errand, told: tuple[int, ...]) -> None:
        if told and self._turns.note(*told)[0]:
            errand.advance = asyncio.get_running_loop().call_later(_GOOD_SECONDS, self._take_back, errand)
        else:
            self._budget.give_back()

    def _take_back(self, errand: Errand) -> None:
        errand.advance = None
        self._budget.give_back()
