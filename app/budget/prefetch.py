"""Advances: a turn of the budget that comes with a lease, for the call that follows at once."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from app.budget.budget import Budget, PermitRequest, Priority
from app.budget.fleet_rate import FleetRateLimiter
from app.redis.scripts import ExtraArguments

_USABLE_SECONDS: Final = 0.25
"""How late a turn may be used that was given in advance. What waits for a token meanwhile may hold up no place: the token wants one."""


class PrefetchedPermit(Struct):
    """How to ask for a turn besides a lease, None where it is not to be had like this; `told` is what was said of it."""

    arguments: ExtraArguments | None
    result: tuple[int, ...] = ()


class PermitPrefetcher:
    """Let a turn be taken at the same stroke as a lease, and not without one: that saves a read a round trip.

    Only where it changes nobody's place in the line: while none waits for a turn, and a call could be made. `is_ready` tells
    whether it would be made then: a turn that nobody uses is lost to the whole fleet.
    """

    def __init__(
        self, budget: Budget, fleet_rate: FleetRateLimiter, is_ready: Callable[[], bool] = lambda: True
    ) -> None:
        self._budget: Final = budget
        self._fleet_rate: Final = fleet_rate
        self._is_ready: Final = is_ready

    @contextmanager
    def with_lease(self, permit_request: PermitRequest) -> Iterator[PrefetchedPermit]:
        """Keep a place while the context lasts, and for the errand after it if a turn was granted."""
        extra = (
            self._fleet_rate.script_arguments(leave_headroom=permit_request.priority is not Priority.WAITING)
            if self._is_ready()
            else None
        )
        advance = PrefetchedPermit(extra if extra is not None and self._budget.reserve_slot() else None)
        try:
            yield advance
        finally:
            if advance.arguments is not None:
                self._keep_or_release(permit_request, advance.result)

    async def secure(self, permit_request: PermitRequest) -> bool:
        """Return whether a call that has its lease may go on: it has a permit, or may wait for one with the lease.

        A sweep may not wait: a caller at another replica would wait with it. Where lease and permit cannot come
        together, a permit that is free now is taken.
        """
        if permit_request.priority is not Priority.SWEEP or permit_request.prefetched is not None:
            return True
        if not self._is_ready() or self._fleet_rate.script_arguments(leave_headroom=True) or self._is_paused():
            return False
        if not self._budget.reserve_slot():
            return False
        granted, _ = await self._fleet_rate.take(1, leave_headroom=True)
        if granted:
            self._keep(permit_request)
        else:
            self._budget.release()
        return bool(granted)

    def seconds_to_permit(self) -> float:
        """Return the seconds until there may be a permit again, as last heard."""
        return self._fleet_rate.wait_seconds()

    def _is_paused(self) -> bool:
        return self._fleet_rate.pause_seconds() > 0

    def _keep_or_release(self, permit_request: PermitRequest, result: tuple[int, ...]) -> None:
        if result and self._fleet_rate.record(*result)[0]:
            self._keep(permit_request)
        else:
            self._budget.release()

    def _keep(self, permit_request: PermitRequest) -> None:
        loop = asyncio.get_running_loop()
        permit_request.prefetched = loop.call_later(_USABLE_SECONDS, self._expire, permit_request)
        permit_request.grant()

    def _expire(self, permit_request: PermitRequest) -> None:
        permit_request.prefetched = None
        self._budget.release()
