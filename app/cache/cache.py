"""Reading through the cache: memory, then the fleet; stale answers where they are allowed, and marked."""

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import Final, assert_never

from msgspec import Struct

from app.balances.snapshots import AccountId, Entry
from app.budget.budget import PermitRequest, Priority
from app.cache.backoff import Backoff
from app.cache.fleet_loader import FleetLoader, Loaded, LoadFailed, LoadResult
from app.cache.freshness import (
    Fetch,
    FreshnessPolicy,
    Refuse,
    RequestDirectives,
    ServeFresh,
    ServeStaleAndRevalidate,
    age_ms,
    allows_stale_if_error,
    decide,
    is_early_refresh_due,
    without_stale,
)
from app.cache.load_waiter import LoadWaiter, WaitResult
from app.cache.memory import MemoryTier
from app.errors import NotCached, TallygateError, UpstreamRefusal
from app.runtime import Runtime

_PART: Final = 0.8


class Source(StrEnum):
    """Where an answer came from."""

    MEMORY = "memory"
    REDIS = "redis"
    FETCHED = "fetched"
    COLLAPSED = "collapsed"


class Served(Struct, frozen=True, gc=False):
    """An answer: the entry, where it came from, whether it is older than fresh, and what failure it stands in for.

    The garbage collector need not look into it: nothing that it leads to leads back to it.
    """

    entry: Entry
    source: Source
    is_stale: bool = False
    covered_error: TallygateError | None = None


class Cache:
    """Answer from memory as `policy` and a request's terms allow, and through the fleet otherwise.

    `holds` is memory's own function, since each hot read asks it: would memory still answer with a very entry?
    `is_refused` tells whether the upstream refuses us altogether. A caller waits at most `patience_seconds`.
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
        self.is_current: Final = memory.holds
        self._fleet: Final = fleet
        self._backoff: Final = backoff
        self._is_refused: Final = is_refused
        self._policy: Final = policy
        self._patience_seconds: Final = patience_seconds
        self._now_ms: Final = runtime.unix_ms
        self._random: Final = runtime.random
        self._load_waiter: Final = LoadWaiter(self._load, policy, runtime.unix_ms)
        self._fetch_ms = 0.0

    async def read(
        self,
        account_id: AccountId,
        directives: RequestDirectives,
        caller: str = "",
        priority: Priority = Priority.WAITING,
    ) -> Served:
        """Give the answer that a request of a caller may have. May be cancelled: what it waited for goes on for others.

        A fetch that this needs has its turn by `priority`.

        Raises `NotCached`, `DeadlinePassed`, or the `UpstreamError` that kept us from an acceptable answer.
        """
        told = await self._read(account_id, directives, PermitRequest(priority, caller))
        self._count([told])
        if isinstance(told, TallygateError):
            raise told
        return told

    async def read_many(
        self, account_ids: Collection[AccountId], directives: RequestDirectives, caller: str = ""
    ) -> dict[AccountId, Served | TallygateError]:
        """Give for each key the answer that a request of a caller may have, or why there is none.

        Redis is asked once for all that memory does not answer. A part waits for at most four fifths of what a single
        read may, so that the parts that are there can still be told in time.
        """
        told: dict[AccountId, Served | TallygateError] = {}
        now = self._now_ms()
        for key in account_ids:
            held = self._memory.get(key)
            if held is not None and (served := self._serve_now(held, directives, Source.MEMORY, now)):
                told[key] = served
        if not directives.no_cache and (unknown := [key for key in account_ids if key not in told]):
            for key, entry in (await self._fleet.look_up(unknown)).items():
                if served := self._serve_now(entry, directives, Source.REDIS, now):
                    told[key] = served
        rest = [key for key in account_ids if key not in told]
        told |= await self._get(
            rest, directives, PermitRequest(Priority.WAITING, caller), _PART * self._patience_seconds
        )
        self._count(told.values())
        return {key: told[key] for key in account_ids}

    def read_now(self, account_id: AccountId, directives: RequestDirectives) -> Served | None:
        """Give the answer that memory has, if no waiting is needed for it. Whoever sends it counts it (`Metrics.hot`)."""
        return self._serve_now(self._memory.get(account_id), directives, Source.MEMORY, self._now_ms())

    def refresh_if_due(self, entry: Entry, now: int) -> None:
        """Fetch a newer entry behind if a fresh one that is read at `now` (Unix milliseconds) will not be fresh for long."""
        if is_early_refresh_due(entry, now, self._policy, self._fetch_ms, 1 - self._random()):
            self._refresh(entry)

    async def close(self) -> None:
        """End the loads that are under way."""
        await self._load_waiter.close()
        await self._fleet.close()

    async def _read(
        self, key: AccountId, directives: RequestDirectives, permit_request: PermitRequest
    ) -> Served | TallygateError:
        served = self.read_now(key, directives)
        if served is None and directives.only_if_cached:
            stored = await self._fleet.look_up([key])
            served = self._serve_now(stored.get(key), directives, Source.REDIS, self._now_ms())
        return served or (await self._get([key], directives, permit_request, self._patience_seconds))[key]

    async def _get(
        self,
        keys: Collection[AccountId],
        directives: RequestDirectives,
        permit_request: PermitRequest,
        patience_seconds: float,
    ) -> dict[AccountId, Served | TallygateError]:
        """Fetch what is not stored, unless the caller wants no fetch."""
        if directives.only_if_cached:
            return {
                key: NotCached("Nothing that is stored is as the request's Cache-Control wants it.") for key in keys
            }
        return await self._fetch(keys, directives, permit_request, patience_seconds)

    def _serve_now(self, entry: Entry | None, directives: RequestDirectives, source: Source, now: int) -> Served | None:
        """Give an entry if it may be answered and hides no refusal; fetch a newer one behind if it is time, or a little earlier."""
        match decide(entry, now, self._policy, directives):
            case ServeFresh(good):
                self.refresh_if_due(good, now)
                return Served(good, source)
            case ServeStaleAndRevalidate(good) if self._would_hide_refusal(good.account_id):
                return None
            case ServeStaleAndRevalidate(good):
                self._refresh(good)
                return Served(good, source, is_stale=True)
            case Fetch() | Refuse():
                return None
            case verdict:
                assert_never(verdict)

    def _count(self, told: Collection[Served | TallygateError]) -> None:
        now = self._now_ms()
        for one in told:
            if isinstance(one, TallygateError):
                self._metrics.answers.add("failed")
            else:
                outcome = one.source if one.covered_error is None else "stale"
                self._metrics.answer(outcome, age_ms(one.entry, now))

    def _refresh(self, entry: Entry) -> None:
        """See to it that a newer entry is fetched behind, unless somebody does so already, or it failed just now."""
        if self._backoff.failure(entry.account_id) is None:
            self._load_waiter.start_or_join(
                entry.account_id,
                RequestDirectives(received_at=entry.as_of + 1, max_age_ms=0),
                PermitRequest(Priority.REFRESH),
            )

    async def _fetch(
        self,
        keys: Collection[AccountId],
        directives: RequestDirectives,
        permit_request: PermitRequest,
        patience_seconds: float,
    ) -> dict[AccountId, Served | TallygateError]:
        """Wait for entries that satisfy the terms; where one cannot be had, fall back on a stale one that they allow."""
        told: dict[AccountId, Served | TallygateError] = {}
        wanted: dict[AccountId, RequestDirectives] = {}
        for key in keys:
            its_directives = without_stale(directives, self._policy) if self._would_hide_refusal(key) else directives
            known = self._backoff.failure(key)
            if known is not None and (stale := self._serve_stale(key, its_directives, known)):
                told[key] = stale
            else:
                wanted[key] = its_directives
        arrivals = await self._load_waiter.wait(wanted, permit_request, patience_seconds)
        return told | {key: self._to_result(key, wanted[key], arrival) for key, arrival in arrivals.items()}

    def _to_result(self, key: AccountId, directives: RequestDirectives, arrival: WaitResult) -> Served | TallygateError:
        match arrival.result:
            case Loaded(entry, began_at):
                is_stale = isinstance(decide(entry, arrival.at, self._policy, directives), ServeStaleAndRevalidate)
                if is_stale:
                    self._refresh(entry)
                return Served(entry, _source(began_at, was_under_way=arrival.was_under_way), is_stale)
            case LoadFailed(error):
                return self._serve_stale(key, directives, error) or error.with_traceback(None)
            case result:
                assert_never(result)

    def _serve_stale(self, key: AccountId, directives: RequestDirectives, error: TallygateError) -> Served | None:
        """Give the stale answer that may stand in for an error."""
        entry = self._memory.peek(key)
        if (
            entry is None
            or isinstance(error, UpstreamRefusal)
            or not allows_stale_if_error(entry, self._now_ms(), self._policy, directives)
        ):
            return None
        return Served(entry, Source.MEMORY, is_stale=True, covered_error=error)

    def _would_hide_refusal(self, key: AccountId) -> bool:
        """Tell whether a stale answer would hide that the upstream refuses a key, or everything."""
        return self._is_refused() or self._backoff.is_refused(key)

    async def _load(self, key: AccountId, directives: RequestDirectives, permit_request: PermitRequest) -> LoadResult:
        result = await self._fleet.load(key, directives, permit_request)
        match result:
            case Loaded(entry, began_at):
                self._backoff.succeeded(key)
                if began_at is not None:
                    self._record_fetch_time(entry.as_of - began_at)
            case LoadFailed(error):
                self._backoff.failed(key, error)
        return result

    def _record_fetch_time(self, took_ms: float) -> None:
        """Remember about how long fetches take."""
        self._fetch_ms += (max(took_ms, 0) - self._fetch_ms) / 8


def _source(fetch_began_at: int | None, *, was_under_way: bool) -> Source:
    if fetch_began_at is None:
        return Source.REDIS
    return Source.COLLAPSED if was_under_way else Source.FETCHED
