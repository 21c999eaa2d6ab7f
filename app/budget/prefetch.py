"""Permit prefetching: a permit comes with the lease, for the call that follows immediately."""

import asyncio
from collections.abc import Callable
from typing import Final, Self

from app.budget.budget import Budget, PermitRequest, Priority
from app.budget.fleet_rate import FleetRateLimiter
from app.redis.results import Permits
from app.redis.scripts import ExtraArguments

_USABLE_SECONDS: Final = 0.25
"""How long a prefetched permit may be used. A call that waits for a token must not hold a slot: the token needs one."""


class PrefetchedPermit:
    """Script arguments that also take a permit, None where that is not possible. `result` is what Redis answered.

    A class of its own, since `contextlib` takes longer than what is done here, and each fetch comes by.
    """

    __slots__ = ("_permit_request", "_prefetcher", "arguments", "result")

    def __init__(
        self, prefetcher: "PermitPrefetcher", permit_request: PermitRequest, arguments: ExtraArguments | None
    ) -> None:
        self._prefetcher: Final = prefetcher
        self._permit_request: Final = permit_request
        self.arguments: Final = arguments
        self.result: Permits | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.arguments is not None:
            self._prefetcher.keep_or_release(self._permit_request, self.result)


class PermitPrefetcher:
    """Take a permit in the same script as a lease, and only with the lease: that saves a read one round trip.

    This happens only while nothing waits for a permit and a slot is free, so that it overtakes nobody. `is_ready`
    returns whether the call would be made then, since an unused permit is lost to the whole fleet.
    """

    def __init__(
        self, budget: Budget, fleet_rate: FleetRateLimiter, is_ready: Callable[[], bool] = lambda: True
    ) -> None:
        self._budget: Final = budget
        self._fleet_rate: Final = fleet_rate
        self._is_ready: Final = is_ready

    def with_lease(self, permit_request: PermitRequest) -> PrefetchedPermit:
        """Reserve a slot now, to be kept after the context if a permit was granted. Enter the context immediately."""
        arguments = (
            self._fleet_rate.script_arguments(leave_headroom=permit_request.priority is not Priority.WAITING)
            if self._is_ready()
            else None
        )
        is_reserved = arguments is not None and self._budget.reserve_slot()
        return PrefetchedPermit(self, permit_request, arguments if is_reserved else None)

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

    def keep_or_release(self, permit_request: PermitRequest, result: Permits | None) -> None:
        """Keep the reserved slot for the request if a permit was granted, or release it."""
        if result is not None and self._fleet_rate.record(*result)[0]:
            self._keep(permit_request)
        else:
            self._budget.release()

    def _is_paused(self) -> bool:
        return self._fleet_rate.pause_seconds() > 0

    def _keep(self, permit_request: PermitRequest) -> None:
        loop = asyncio.get_running_loop()
        permit_request.prefetched = loop.call_later(_USABLE_SECONDS, self._expire, permit_request)
        permit_request.grant()

    def _expire(self, permit_request: PermitRequest) -> None:
        permit_request.prefetched = None
        self._budget.release()
