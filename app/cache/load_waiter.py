"""Request coalescing: callers wait for loads of many accounts, each until a result satisfies, within one deadline."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from msgspec import Struct

from app.balances.snapshots import AccountId
from app.budget.budget import PermitRequest
from app.cache.freshness import FreshnessPolicy, RequestDirectives, satisfies
from app.cache.load_results import Loaded, LoadFailed, LoadResult, NoPermit
from app.cache.single_flight import SingleFlight
from app.errors import DeadlinePassed, InternalError

Load = Callable[[AccountId, RequestDirectives, PermitRequest], Coroutine[Any, Any, LoadResult]]


class WaitResult(Struct, frozen=True):
    """A load's result, when it came (Unix milliseconds), and whether the load was already under way."""

    result: LoadResult
    at: int
    was_under_way: bool


class _PendingWait(Struct, eq=False):
    """One caller's wait for `count` accounts. `end` is set when all results are there, or time is up."""

    count: int
    end: asyncio.Future[None]
    results: dict[AccountId, WaitResult]

    def add(self, account_id: AccountId, result: WaitResult) -> None:
        self.results[account_id] = result
        if len(self.results) == self.count:
            self.finish()

    def finish(self) -> None:
        if not self.end.done():
            self.end.set_result(None)


class LoadWaiter:
    """Own the loads, which `load` runs, and let callers wait for them. `now_ms` returns Unix milliseconds."""

    def __init__(self, load: Load, policy: FreshnessPolicy, now_ms: Callable[[], int]) -> None:
        self._load: Final = load
        self._policy: Final = policy
        self._now_ms: Final = now_ms
        self._single_flight: Final[SingleFlight[LoadResult]] = SingleFlight()

    def start_or_join(
        self, account_id: AccountId, directives: RequestDirectives, permit_request: PermitRequest
    ) -> tuple[asyncio.Task[LoadResult], bool]:
        """Return the load of an account, started now if there is none, and whether it was under way."""
        return self._single_flight.join(
            account_id, permit_request, lambda permit_request: self._load(account_id, directives, permit_request)
        )

    def under_way(self, account_id: AccountId) -> asyncio.Task[LoadResult] | None:
        """Return the task that loads an account, None if there is none."""
        return self._single_flight.under_way(account_id)

    async def wait(
        self, wanted: Mapping[AccountId, RequestDirectives], permit_request: PermitRequest, patience_seconds: float
    ) -> dict[AccountId, WaitResult]:
        """Wait for accounts, each with its own directives. A late one fails with `DeadlinePassed`.

        May be cancelled: the loads go on for others, as they do when time is up. Creates no task besides the loads.
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
        """Cancel the loads that are under way."""
        await self._single_flight.close()

    def _join(
        self, pending: _PendingWait, account_id: AccountId, directives: RequestDirectives, permit_request: PermitRequest
    ) -> None:
        task, was_under_way = self.start_or_join(
            account_id, directives, PermitRequest(permit_request.priority, permit_request.caller)
        )

        def on_done(task: asyncio.Task[LoadResult]) -> None:
            if pending.end.done():
                return
            if task.cancelled():
                pending.end.cancel()
            elif (
                task.exception() is not None
            ):  # logged by the flight; a stale answer may cover it, and other parts go on
                crash = LoadFailed(InternalError("Something went wrong here."))
                pending.add(account_id, WaitResult(crash, self._now_ms(), was_under_way))
            elif self._is_acceptable(result := task.result(), directives):
                pending.add(account_id, WaitResult(result, self._now_ms(), was_under_way))
            else:
                self._join(pending, account_id, directives, permit_request)

        task.add_done_callback(on_done)

    def _time_out(self, patience_seconds: float) -> WaitResult:
        late = DeadlinePassed(f"No answer was there within {patience_seconds:g} s.")
        return WaitResult(LoadFailed(late), self._now_ms(), was_under_way=False)

    def _is_acceptable(self, result: LoadResult, directives: RequestDirectives) -> bool:
        """Return whether a result satisfies. A load for laxer directives, begun before the request, or of a sweep may not."""
        if isinstance(result, NoPermit):
            return False
        return not isinstance(result, Loaded) or satisfies(
            result.entry, result.fetch_began_at, self._now_ms(), self._policy, directives
        )
