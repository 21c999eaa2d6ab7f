"""Reads for views of all merchants: they take what is known, and wait only for what can come in time."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from app.balances.snapshots import AccountId, Entry
from app.budget.budget import Budget, Priority
from app.cache.cache import Cache
from app.cache.fallback import Plan, ServeInstead
from app.cache.freshness import FreshnessPolicy, Refuse, RequestDirectives, ServeFresh, ServeStaleAndRevalidate
from app.cache.memory import MemoryTier
from app.cache.served import Served, Source
from app.errors import NotCached, NotKnownYet, TallygateError, TooOld
from app.portfolio.sweep import Sweep
from app.portfolio.sweep_sources import LookUp

_PATIENCE_SHARE: Final = 0.8
"""How much of the time for a call may be spent on waiting for its permit."""

_SOON_SECONDS: Final = 0.25
_CHUNK: Final = 1000

Result = Served | TallygateError


class KnownSources(Struct, frozen=True):
    """Where known entries are, and what fetches the others. `token_refusal` says why the upstream refuses the token."""

    memory: MemoryTier
    look_up: LookUp
    cache: Cache
    budget: Budget
    token_refusal: Callable[[], TallygateError | None] = lambda: None


class KnownReads:
    """Read all merchants. A known one is fresh, or stale up to `portfolio_stale_ms` of the policy, as directives allow.

    What is unknown or too old is waited for if it can come soon, at the rate of the budget, or if the portfolio is so
    small that all of it can come within the patience. Else the answer says when the sweep comes to it. Fetches come
    after those of single reads. Where there is never demand, `Cache.read_many` answers.
    """

    def __init__(
        self,
        sources: KnownSources,
        sweep: Sweep,
        policy: FreshnessPolicy,
        call_seconds: float,
        now_ms: Callable[[], int],
    ) -> None:
        self.sources: Final = sources
        self.sweep: Final = sweep
        self._policy: Final = _widen(policy)
        self.call_seconds: Final = call_seconds
        self._now_ms: Final = now_ms

    async def read(
        self, account_ids: Sequence[AccountId], directives: RequestDirectives, caller: str
    ) -> dict[AccountId, Result]:
        """Return for each merchant, in this order, what is known, or why nothing is."""
        if not self.sweep.demand.is_there:
            return await self.sources.cache.read_many(account_ids, directives, caller)
        now = self._now_ms()
        entries = await self._find(account_ids, directives)
        results: dict[AccountId, Result] = {}
        wanted: list[AccountId] = []
        plan, policy = self.sources.cache.plan, self._policy
        for number, account_id in enumerate(account_ids, 1):
            if number % _CHUNK == 0:
                await asyncio.sleep(0)  # others may go on
            entry, source = entries.get(account_id, _NOTHING)
            result = _serve(plan(account_id, entry, directives, now, policy), source)
            if result is None or (self.sweep.queue.refusal and isinstance(result, Served) and result.is_stale):
                wanted.append(account_id)
            else:
                results[account_id] = result
        self.sources.cache.count(results.values())
        if wanted:
            known = {account_id: entries[account_id][0] for account_id in wanted if account_id in entries}
            results |= await self._get_wanted(wanted, known, directives, caller, len(account_ids))
        return {account_id: results[account_id] for account_id in account_ids}

    async def _find(
        self, account_ids: Sequence[AccountId], directives: RequestDirectives
    ) -> dict[AccountId, tuple[Entry | None, Source]]:
        """Find what memory has, and what Redis has of the others."""
        if directives.no_cache:
            return {}
        get = self.sources.memory.get
        found: dict[AccountId, tuple[Entry | None, Source]] = {}
        for account_id in account_ids:
            if (entry := get(account_id)) is not None:
                found[account_id] = entry, Source.MEMORY
        missing = [account_id for account_id in account_ids if account_id not in found]
        for start in range(0, len(missing), _CHUNK):
            stored = await self.sources.look_up(missing[start : start + _CHUNK])
            found |= {account_id: (entry, Source.REDIS) for account_id, entry in stored.items()}
        return found

    async def _get_wanted(
        self,
        wanted: Collection[AccountId],
        known: Mapping[AccountId, Entry | None],
        directives: RequestDirectives,
        caller: str,
        expected: int,
    ) -> dict[AccountId, Result]:
        """Wait for what is wanted, if it can come soon, or if all that is `expected` can come within the patience."""
        patience = _PATIENCE_SHARE * self.call_seconds
        failed = {} if directives.no_cache else self._find_failures(wanted)
        rest = [account_id for account_id in wanted if account_id not in failed]
        self.sources.cache.count(failed.values())
        if not (directives.no_cache or self._can_come(len(rest), _SOON_SECONDS) or self._can_come(expected, patience)):
            return failed | self._put_off(rest, known)
        read_many = self.sources.cache.read_many
        return failed | await read_many(rest, directives, caller, Priority.REFRESH)

    def _find_failures(self, wanted: Collection[AccountId]) -> dict[AccountId, Result]:
        """Find what is known to fail or to be refused. The sweep tries it again, so the view does not."""
        queue, refusal = self.sweep.queue, self.sources.token_refusal() or self.sweep.queue.refusal
        found: dict[AccountId, Result] = {}
        for account_id in wanted:
            error = refusal or self.sources.cache.refusal(account_id) or queue.last_failure(account_id)
            if error is not None:
                found[account_id] = error
        return found

    def _can_come(self, count: int, seconds: float) -> bool:
        """Return whether so many fetches can come within so many seconds, by the budget and its concurrency."""
        if (fetch_seconds := self.sources.cache.loads.fetch_seconds) > 0:
            concurrency = self.sweep.options.concurrency
            if count > concurrency * max(seconds / fetch_seconds, 1):
                return False
        return count <= self.sources.budget.permits_within(seconds - fetch_seconds)

    def _put_off(
        self, wanted: Collection[AccountId], known: Mapping[AccountId, Entry | None]
    ) -> dict[AccountId, Result]:
        """Say when the sweep will have come to each: first to the unknown, then to the oldest."""
        options, reached = self.sweep.options, self.sweep.reached
        positions, unknown = self.sweep.queue.positions(), self.sweep.queue.unknown
        results: dict[AccountId, Result] = {}
        by_age = sorted(wanted, key=lambda account_id: entry.as_of if (entry := known.get(account_id)) else 0)
        for number, account_id in enumerate(by_age):
            if known.get(account_id) is None:
                seconds = options.round_seconds(positions.get(account_id, number) + 1, reached)
                results[account_id] = NotKnownYet(
                    "Nothing is known of this merchant yet. It is being fetched with all others.",
                    retry_after_seconds=seconds,
                )
            else:
                seconds = options.round_seconds(unknown, reached) + options.oldest_seconds(number + 1, reached)
                results[account_id] = TooOld(
                    "What is known of this merchant is older than accepted.", retry_after_seconds=seconds
                )
        self.sources.cache.count(results.values())
        return results


_NOTHING: Final[tuple[Entry | None, Source]] = (None, Source.MEMORY)


def _widen(policy: FreshnessPolicy) -> FreshnessPolicy:
    """Let a view take what is stale, and believe in an absence, up to the age that is set for views of all."""
    stale_ms = max(policy.portfolio_stale_ms - policy.fresh_ms, 0)
    return replace(
        policy,
        stale_while_revalidate_ms=stale_ms,
        absent_ms=max(policy.portfolio_stale_ms, policy.absent_ms),
        takes_moved=True,
    )


def _serve(planned: Plan, source: Source) -> Result | None:
    """Serve what a plan allows to serve now, None if it wants a fetch."""
    match planned:
        case ServeFresh(entry):
            return Served(entry, source)
        case ServeStaleAndRevalidate(entry):
            return Served(entry, source, is_stale=True)
        case ServeInstead(entry, error):
            return Served(entry, Source.MEMORY, is_stale=True, covered_error=error)
        case Refuse():
            return NotCached("Nothing that is stored is as the request's Cache-Control wants it.")
        case _:
            return None
