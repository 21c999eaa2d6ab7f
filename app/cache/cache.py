"""Read-through cache: memory, then Redis, then the upstream. Stale answers are given where allowed, and marked."""

from collections.abc import Callable, Collection, Mapping
from typing import Final, assert_never

from app.balances.snapshots import AccountId, Entry
from app.budget.budget import PermitRequest, Priority
from app.cache.backoff import Backoff
from app.cache.fallback import Plan, ServeInstead, Wait, plan, serve_instead
from app.cache.fleet_loader import FleetLoader
from app.cache.freshness import (
    FreshnessPolicy,
    Refuse,
    RequestDirectives,
    ServeFresh,
    ServeStaleAndRevalidate,
    age_ms,
    decide,
    is_early_refresh_due,
)
from app.cache.load_results import Loaded, LoadFailed
from app.cache.load_waiter import WaitResult
from app.cache.loads import Loads
from app.cache.memory import MemoryTier
from app.cache.served import Served, Source, served_instead, source_of
from app.errors import NotCached, TallygateError
from app.runtime import Runtime

_BATCH_PATIENCE_SHARE: Final = 0.8


class Cache:
    """Answer from memory as `policy` and a request's directives allow, otherwise through the fleet.

    `is_refused` returns whether the upstream refuses all our calls. A caller waits at most `patience_seconds`. `loads`
    is for those who load without an answer to give.
    """

    def __init__(
        self,
        *,
        memory: MemoryTier,
        fleet: FleetLoader,
        backoff: Backoff,
        is_refused: Callable[[], bool],
        policy: FreshnessPolicy,
        patience_seconds: float,
        runtime: Runtime,
    ) -> None:
        self._metrics: Final = runtime.metrics
        self._memory: Final = memory
        self.is_current: Final = memory.is_current  # memory's own method: each hot read calls it
        self.use: Final = memory.use
        self._fleet: Final = fleet
        self._backoff: Final = backoff
        self._is_refused: Final = is_refused
        self._policy: Final = policy
        self._patience_seconds: Final = patience_seconds
        self._now_ms: Final = runtime.unix_ms
        self._random: Final = runtime.random
        self.loads: Final = Loads(fleet, backoff, policy, runtime)

    async def read(
        self,
        account_id: AccountId,
        directives: RequestDirectives,
        caller: str = "",
        priority: Priority = Priority.WAITING,
    ) -> Served:
        """Return an answer that satisfies the directives. A fetch that it needs gets its permit by `priority`.

        May be cancelled: the fetch goes on for others. Raises `NotCached`, `DeadlinePassed`, or the `UpstreamError`
        that prevented an acceptable answer.
        """
        result = await self._read(account_id, directives, PermitRequest(priority, caller))
        self.count([result])
        if isinstance(result, TallygateError):
            raise result
        return result

    async def read_many(
        self,
        account_ids: Collection[AccountId],
        directives: RequestDirectives,
        caller: str = "",
        priority: Priority = Priority.WAITING,
    ) -> dict[AccountId, Served | TallygateError]:
        """Return for each account an answer that satisfies the directives, or why there is none.

        One round trip to Redis looks up all that memory does not answer. Of what must be fetched, what is unknown comes
        first, then the oldest. A part waits at most four fifths of what a single read may, so that the parts that
        arrived are still answered in time.
        """
        results: dict[AccountId, Served | TallygateError] = {}
        now = self._now_ms()
        for account_id in account_ids:
            if served := self._read_memory(account_id, directives, now):
                results[account_id] = served
        missing = [account_id for account_id in account_ids if account_id not in results]
        stored = await self._fleet.look_up(missing) if missing and not directives.no_cache else {}
        missing.sort(
            key=lambda account_id: (
                known.as_of if (known := stored.get(account_id) or self._memory.peek(account_id)) else 0
            )
        )
        plans = {
            account_id: self.plan(account_id, stored.get(account_id), directives, now, self._policy)
            for account_id in missing
        }
        permit_request = PermitRequest(priority, caller)
        results |= await self._follow(plans, now, permit_request, _BATCH_PATIENCE_SHARE * self._patience_seconds)
        self.count(results.values())
        return {account_id: results[account_id] for account_id in account_ids}

    def count(self, results: Collection[Served | TallygateError]) -> None:
        """Count answers, and their ages now."""
        now = self._now_ms()
        for result in results:
            if isinstance(result, TallygateError):
                self._metrics.answers.add("failed")
            else:
                outcome = result.source if result.covered_error is None else "stale"
                self._metrics.answer(outcome, age_ms(result.entry, now))

    def read_now(self, account_id: AccountId, directives: RequestDirectives) -> Served | None:
        """Return memory's answer if it needs no waiting. The caller counts it (`Metrics.hot`)."""
        return self._read_memory(account_id, directives, self._now_ms())

    def refresh_if_due(self, entry: Entry, now: int) -> None:
        """Refresh in the background a fresh entry that is read at `now` (Unix milliseconds) and expires soon."""
        if is_early_refresh_due(entry, now, self._policy, self.loads.fetch_ms, 1 - self._random()):
            self.loads.refresh(entry)

    def plan(
        self,
        account_id: AccountId,
        entry: Entry | None,
        directives: RequestDirectives,
        now: int,
        policy: FreshnessPolicy,
    ) -> Plan:
        """Plan a read at `now` (Unix milliseconds) by a policy, given what is stored. Starts and counts nothing."""
        decision = decide(entry, now, policy, directives)
        if isinstance(decision, ServeFresh):  # as most are: neither failures nor refusals matter
            return decision
        return plan(
            decision,
            self._memory.peek(account_id),
            self._now_ms(),
            policy,
            directives,
            failure=self._backoff.failure(account_id),
            is_refused=self._is_refused() or self._backoff.refusal(account_id) is not None,
        )

    def refusal(self, account_id: AccountId) -> TallygateError | None:
        """Return why the upstream refused an account since its last answer, None if it did not."""
        return self._backoff.refusal(account_id)

    async def close(self) -> None:
        """Cancel the loads that are under way."""
        await self.loads.close()

    async def _read(
        self, account_id: AccountId, directives: RequestDirectives, permit_request: PermitRequest
    ) -> Served | TallygateError:
        now = self._now_ms()
        planned = self.plan(account_id, self._memory.get(account_id), directives, now, self._policy)
        if isinstance(planned, (ServeFresh, ServeStaleAndRevalidate)):
            return self._serve(planned, Source.MEMORY, now)
        if directives.only_if_cached:
            stored = await self._fleet.look_up([account_id])
            now = self._now_ms()
            planned = self.plan(account_id, stored.get(account_id), directives, now, self._policy)
        return (await self._follow({account_id: planned}, now, permit_request, self._patience_seconds))[account_id]

    def _read_memory(self, account_id: AccountId, directives: RequestDirectives, now: int) -> Served | None:
        if (entry := self._memory.get(account_id)) is None:
            return None
        planned = self.plan(account_id, entry, directives, now, self._policy)
        return (
            self._serve(planned, Source.MEMORY, now)
            if isinstance(planned, (ServeFresh, ServeStaleAndRevalidate))
            else None
        )

    def _serve(self, planned: ServeFresh | ServeStaleAndRevalidate, source: Source, now: int) -> Served:
        """Serve what is stored. A background refresh starts if it is stale, or fresh but not for long."""
        if isinstance(planned, ServeFresh):
            self.refresh_if_due(planned.entry, now)
            return Served(planned.entry, source)
        self.loads.refresh(planned.entry)
        return Served(planned.entry, source, is_stale=True)

    async def _follow(
        self, plans: Mapping[AccountId, Plan], now: int, permit_request: PermitRequest, patience_seconds: float
    ) -> dict[AccountId, Served | TallygateError]:
        """Follow plans that were made at `now` of what Redis has, and wait for the fetches among them together."""
        results: dict[AccountId, Served | TallygateError] = {}
        wanted: dict[AccountId, RequestDirectives] = {}
        for account_id, planned in plans.items():
            match planned:
                case ServeFresh() | ServeStaleAndRevalidate():
                    results[account_id] = self._serve(planned, Source.REDIS, now)
                case ServeInstead(entry, error):
                    results[account_id] = served_instead(entry, error)
                case Wait(directives):
                    wanted[account_id] = directives
                case Refuse():
                    results[account_id] = NotCached(
                        "Nothing that is stored is as the request's Cache-Control wants it."
                    )
                case _:
                    assert_never(planned)
        loaded = await self.loads.wait(wanted, permit_request, patience_seconds)
        return results | {
            account_id: self._to_result(account_id, wanted[account_id], result) for account_id, result in loaded.items()
        }

    def _to_result(
        self, account_id: AccountId, directives: RequestDirectives, waited: WaitResult
    ) -> Served | TallygateError:
        match waited.result:
            case Loaded(entry, began_at):
                is_stale = isinstance(decide(entry, waited.at, self._policy, directives), ServeStaleAndRevalidate)
                if is_stale:
                    self.loads.refresh(entry)
                return Served(entry, source_of(began_at, was_under_way=waited.was_under_way), is_stale)
            case LoadFailed(error):
                kept = self._memory.peek(account_id)
                instead = serve_instead(error, kept, self._now_ms(), self._policy, directives)
                return served_instead(instead.entry, error) if instead else error.with_traceback(None)
            case result:
                assert_never(result)
