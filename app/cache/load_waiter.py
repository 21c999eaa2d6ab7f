"""Waiting for flights: for many keys at once, each until one lands that satisfies, all within one deadline."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from msgspec import Struct

from app.balances.snapshots import AccountId
from app.budget.budget import PermitRequest
from app.cache.fleet_loader import Loaded, LoadFailed, LoadResult
from app.cache.freshness import FreshnessPolicy, RequestDirectives, satisfies
from app.cache.single_flight import SingleFlight
from app.errors import DeadlinePassed

Load = Callable[[AccountId, RequestDirectives, PermitRequest], Coroutine[Any, Any, LoadResult]]


class WaitResult(Struct, frozen=True):
    """What landed for somebody who waited, when (Unix milliseconds), and whether it was under way before."""

    result: LoadResult
    at: int
    was_under_way: bool


class _PendingWait(Struct, eq=False):
    """The keys that one caller waits for: how many, those that arrived, and what ends when all have or time is up."""

    count: int
    end: asyncio.Future[None]
    results: dict[AccountId, WaitResult]

    def add(self, account_id: AccountId, arrival: WaitResult) -> None:
        self.results[account_id] = arrival
        if len(self.results) == self.count:
            self.finish()

    def finish(self) -> None:
        if not self.end.done():
            self.end.set_result(None)


class LoadWaiter:
    """Own the flights, which `fly` flies, and let callers wait for them. `now_ms` is Unix time in milliseconds."""

    def __init__(self, load: Load, policy: FreshnessPolicy, now_ms: Callable[[], int]) -> None:
        self._load: Final = load
        self._policy: Final = policy
        self._now_ms: Final = now_ms
        self._single_flight: Final[SingleFlight[LoadResult]] = SingleFlight()

    def start_or_join(
        self, account_id: AccountId, directives: RequestDirectives, permit_request: PermitRequest
    ) -> tuple[asyncio.Task[LoadResult], bool]:
        """Give the flight of a account_id, begun now if there is none, and tell whether it was under way."""
        return self._single_flight.join(
            account_id, permit_request, lambda permit_request: self._load(account_id, directives, permit_request)
        )

    async def wait(
        self, wanted: Mapping[AccountId, RequestDirectives], permit_request: PermitRequest, patience_seconds: float
    ) -> dict[AccountId, WaitResult]:
        """Wait for keys, each on its own terms; those that did not arrive in time failed with `DeadlinePassed`.

        May be cancelled: the flights go on for others, as they do when the time is up. Makes no task but the flights.
        """
        if not wanted:
            return {}
        loop = asyncio.get_running_loop()
        pending = _PendingWait(len(wanted), loop.create_future(), {})
        for account_id, directives in wanted.items():
            self._join(pending, account_id, directives, permit_request)
        time_is_up = loop.call_later(patience_seconds, pending.finish)
        try:
            await pending.end
        finally:
            time_is_up.cancel()
        return {
            account_id: pending.results.get(account_id) or self._time_out(patience_seconds) for account_id in wanted
        }

    async def close(self) -> None:
        """End the flights that are under way."""
        await self._single_flight.close()

    def _join(
        self, pending: _PendingWait, account_id: AccountId, directives: RequestDirectives, permit_request: PermitRequest
    ) -> None:
        flight, was_under_way = self.start_or_join(
            account_id, directives, PermitRequest(permit_request.priority, permit_request.caller)
        )

        def meet(flight: asyncio.Task[LoadResult]) -> None:
            if pending.end.done():
                return
            if flight.cancelled():
                pending.end.cancel()
            elif (crash := flight.exception()) is not None:
                pending.end.set_exception(crash)
            elif self._is_acceptable(result := flight.result(), directives):
                pending.add(account_id, WaitResult(result, self._now_ms(), was_under_way))
            else:
                self._join(pending, account_id, directives, permit_request)

        flight.add_done_callback(meet)

    def _time_out(self, patience_seconds: float) -> WaitResult:
        late = DeadlinePassed(f"No answer was there within {patience_seconds:g} s.")
        return WaitResult(LoadFailed(late), self._now_ms(), was_under_way=False)

    def _is_acceptable(self, result: LoadResult, directives: RequestDirectives) -> bool:
        """Tell whether somebody may take what landed. One that began before they came, or for laxer terms, may not satisfy."""
        return not isinstance(result, Loaded) or satisfies(
            result.entry, result.fetch_began_at, self._now_ms(), self._policy, directives
        )
