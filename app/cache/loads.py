"""Loads of entries, each by one task for its account: in the foreground, in the background, and of what is in doubt."""

import asyncio
from collections.abc import Mapping
from typing import Final

from app.balances.snapshots import AccountId, Entry
from app.budget.budget import PermitRequest, Priority
from app.cache.backoff import Backoff
from app.cache.fleet_loader import FleetLoader
from app.cache.freshness import FreshnessPolicy, RequestDirectives
from app.cache.load_results import Loaded, LoadFailed, LoadResult, NoPermit
from app.cache.load_waiter import LoadWaiter, WaitResult
from app.cache.refreshes import Refreshes
from app.runtime import Runtime


class Loads:
    """Load through the fleet, and remember which accounts failed and how long fetches take."""

    def __init__(self, fleet: FleetLoader, backoff: Backoff, policy: FreshnessPolicy, runtime: Runtime) -> None:
        self._fleet: Final = fleet
        self._backoff: Final = backoff
        self._now_ms: Final = runtime.unix_ms
        self._waiter: Final = LoadWaiter(self._load, policy, runtime.unix_ms)
        self._refreshes: Final = Refreshes(self._start_refresh, policy.fresh_ms)
        self._withdrawals: Final[set[asyncio.Task[None]]] = set()
        self.fetch_ms = 0.0

    @property
    def fetch_seconds(self) -> float:
        """How long a fetch takes on average, 0 before the first."""
        return self.fetch_ms / 1000

    async def wait(
        self, wanted: Mapping[AccountId, RequestDirectives], permit_request: PermitRequest, patience_seconds: float
    ) -> dict[AccountId, WaitResult]:
        """Wait for accounts, as `LoadWaiter.wait` does."""
        return await self._waiter.wait(wanted, permit_request, patience_seconds)

    def start(
        self, account_id: AccountId, received_at: int, permit_request: PermitRequest
    ) -> asyncio.Task[LoadResult] | None:
        """Start a load that nobody waits for, of an entry from `received_at` (Unix milliseconds) on.

        Return None if a load of the account is under way. Cancelling the task harms those who joined it.
        """
        if self._waiter.under_way(account_id) is not None:
            return None
        directives = RequestDirectives(received_at=received_at, max_age_ms=0)
        return self._waiter.start_or_join(account_id, directives, permit_request)[0]

    def refresh(self, entry: Entry) -> None:
        """Fetch a newer entry in the background, unless that failed a moment ago. A load under way becomes as urgent."""
        if self._backoff.failure(entry.account_id) is None:
            directives = RequestDirectives(received_at=entry.as_of + 1, max_age_ms=0)
            if self._waiter.under_way(entry.account_id) is None:
                self._refreshes.add(entry.account_id, directives)
            else:
                self._start_refresh(entry.account_id, directives)

    def withdraw(self, account_id: AccountId) -> None:
        """Remove at every replica what is known of an account and may be another's, and fetch it again."""
        task = asyncio.create_task(self._withdraw(account_id), name=f"withdrawal:{account_id}")
        self._withdrawals.add(task)
        task.add_done_callback(self._withdrawals.discard)

    async def close(self) -> None:
        """Cancel the loads that are under way, and wait until what was loaded is stored."""
        self._refreshes.close()
        for task in self._withdrawals:
            task.cancel()
        await asyncio.gather(*self._withdrawals, return_exceptions=True)
        await self._waiter.close()
        await self._fleet.close()

    def _start_refresh(self, account_id: AccountId, directives: RequestDirectives) -> None:
        if self._backoff.failure(account_id) is None:  # it may have failed since it was gathered
            self._waiter.start_or_join(account_id, directives, PermitRequest(Priority.REFRESH))

    async def _withdraw(self, account_id: AccountId) -> None:
        before = self._waiter.under_way(account_id)
        await self._fleet.withdraw(account_id)
        loading = self._waiter.under_way(account_id) or before
        if loading is not None:  # what is in doubt may just be on its way to Redis, though the load has ended meanwhile
            await asyncio.wait([loading])
            await self._fleet.withdraw(account_id)
        directives = RequestDirectives(received_at=self._now_ms(), no_cache=True)
        self._waiter.start_or_join(account_id, directives, PermitRequest(Priority.WAITING))

    async def _load(
        self, account_id: AccountId, directives: RequestDirectives, permit_request: PermitRequest
    ) -> LoadResult:
        result = await self._fleet.load(account_id, directives, permit_request)
        match result:
            case Loaded(entry, began_at):
                self._backoff.record_success(account_id)
                if began_at is not None:  # an average in which the latest one weighs an eighth
                    self.fetch_ms += (max(entry.as_of - began_at, 0) - self.fetch_ms) / 8
            case NoPermit():
                pass
            case LoadFailed(error):
                self._backoff.record_failure(account_id, error)
        return result
