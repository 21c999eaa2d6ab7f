"""Reading through the cache: memory, then the fleet; stale answers where they are allowed, and marked."""

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import Final, assert_never

from msgspec import Struct

from app.balances.snapshots import Entry, Key
from app.budget.budget import Errand, Priority
from app.cache.backoff import Backoff
from app.cache.fleet_loader import Failed, Fleet, Landed, Landing
from app.cache.freshness import (
    Answer,
    AnswerAndRefresh,
    Fetch,
    Policy,
    Refuse,
    Terms,
    age_ms,
    covers,
    is_due_early,
    judge,
    only_fresh,
)
from app.cache.load_waiter import Arrival, Waiting
from app.cache.memory import MemoryTier
from app.errors import NotCached, TallygateError, UpstreamRefusal
from app.telemetry.metrics import Metrics

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
    instead_of: TallygateError | None = None


class Cache:
    """Answer from memory as `policy` and a request's terms allow, and through the fleet otherwise.

    `holds` is memory's own function, since each hot read asks it: would memory still answer with a very entry?
    `is_refused` tells whether the upstream refuses us altogether. `now_ms` is Unix time in milliseconds, `random` gives numbers in [0, 1). A caller waits at most `patience_seconds`.
    """

    def __init__(
        self,
        *,
        memory: MemoryTier,
        fleet: Fleet,
        backoff: Backoff,
        is_refused: Callable[[], bool],
        policy: Policy,
        patience_seconds: float,
        now_ms: Callable[[], int],
        random: Callable[[], float],
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics: Final = metrics or Metrics()
        self._memory: Final = memory
        self.holds: Final = memory.holds
        self._fleet: Final = fleet
        self._backoff: Final = backoff
        self._is_refused: Final = is_refused
        self._policy: Final = policy
        self._patience_seconds: Final = patience_seconds
        self._now_ms: Final = now_ms
        self._random: Final = random
        self._waiting: Final = Waiting(self._fly, policy, now_ms)
        self._fetch_ms = 0.0

    async def read(self, key: Key, terms: Terms, caller: str = "", priority: Priority = Priority.WAITING) -> Served:
        """Give the answer that a request of a caller may have. May be cancelled: what it waited for goes on for others.

        A fetch that this needs has its turn by `priority`.

        Raises `NotCached`, `DeadlinePassed`, or the `UpstreamError` that kept us from an acceptable answer.
        """
        told = await self._read(key, terms, Errand(priority, caller))
        self._count([told])
        if isinstance(told, TallygateError):
            raise told
        return told

    async def read_many(
        self, keys: Collection[Key], terms: Terms, caller: str = ""
    ) -> dict[Key, Served | TallygateError]:
        """Give for each key the answer that a request of a caller may have, or why there is none.

        Redis is asked once for all that memory does not answer. A part waits for at most four fifths of what a single
        read may, so that the parts that are there can still be told in time.
        """
        told: dict[Key, Served | TallygateError] = {}
        now = self._now_ms()
        for key in keys:
            held = self._memory.get(key)
            if held is not None and (served := self._answer_at_once(held, terms, Source.MEMORY, now)):
                told[key] = served
        if not terms.no_cache and (unknown := [key for key in keys if key not in told]):
            for key, entry in (await self._fleet.look(unknown)).items():
                if served := self._answer_at_once(entry, terms, Source.REDIS, now):
                    told[key] = served
        rest = [key for key in keys if key not in told]
        told |= await self._get(rest, terms, Errand(Priority.WAITING, caller), _PART * self._patience_seconds)
        self._count(told.values())
        return {key: told[key] for key in keys}

    def read_at_once(self, key: Key, terms: Terms) -> Served | None:
        """Give the answer that memory has, if no waiting is needed for it. Whoever sends it counts it (`Metrics.hot`)."""
        return self._answer_at_once(self._memory.get(key), terms, Source.MEMORY, self._now_ms())

    def refresh_if_due(self, entry: Entry, now: int) -> None:
        """Fetch a newer entry behind if a fresh one that is read at `now` (Unix milliseconds) will not be fresh for long."""
        if is_due_early(entry, now, self._policy, self._fetch_ms, 1 - self._random()):
            self._refresh(entry)

    async def close(self) -> None:
        """End the loads that are under way."""
        await self._waiting.close()
        await self._fleet.close()

    async def _read(self, key: Key, terms: Terms, errand: Errand) -> Served | TallygateError:
        served = self.read_at_once(key, terms)
        if served is None and terms.only_if_cached:
            stored = await self._fleet.look([key])
            served = self._answer_at_once(stored.get(key), terms, Source.REDIS, self._now_ms())
        return served or (await self._get([key], terms, errand, self._patience_seconds))[key]

    async def _get(
        self, keys: Collection[Key], terms: Terms, errand: Errand, patience_seconds: float
    ) -> dict[Key, Served | TallygateError]:
        """Fetch what is not stored, unless the caller wants no fetch."""
        if terms.only_if_cached:
            return {
                key: NotCached("Nothing that is stored is as the request's Cache-Control wants it.") for key in keys
            }
        return await self._fetch(keys, terms, errand, patience_seconds)

    def _answer_at_once(self, entry: Entry | None, terms: Terms, source: Source, now: int) -> Served | None:
        """Give an entry if it may be answered and hides no refusal; fetch a newer one behind if it is time, or a little earlier."""
        match judge(entry, now, self._policy, terms):
            case Answer(good):
                self.refresh_if_due(good, now)
                return Served(good, source)
            case AnswerAndRefresh(good) if self._hides(good.key):
                return None
            case AnswerAndRefresh(good):
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
                outcome = one.source if one.instead_of is None else "stale"
                self._metrics.answer(outcome, age_ms(one.entry, now))

    def _refresh(self, entry: Entry) -> None:
        """See to it that a newer entry is fetched behind, unless somebody does so already, or it failed just now."""
        if self._backoff.failure(entry.key) is None:
            self._waiting.board(entry.key, Terms(came_at=entry.as_of + 1, max_age_ms=0), Errand(Priority.REFRESH))

    async def _fetch(
        self, keys: Collection[Key], terms: Terms, errand: Errand, patience_seconds: float
    ) -> dict[Key, Served | TallygateError]:
        """Wait for entries that satisfy the terms; where one cannot be had, fall back on a stale one that they allow."""
        told: dict[Key, Served | TallygateError] = {}
        wanted: dict[Key, Terms] = {}
        for key in keys:
            its_terms = only_fresh(terms, self._policy) if self._hides(key) else terms
            known = self._backoff.failure(key)
            if known is not None and (stale := self._stale(key, its_terms, known)):
                told[key] = stale
            else:
                wanted[key] = its_terms
        arrivals = await self._waiting.wait(wanted, errand, patience_seconds)
        return told | {key: self._tell(key, wanted[key], arrival) for key, arrival in arrivals.items()}

    def _tell(self, key: Key, terms: Terms, arrival: Arrival) -> Served | TallygateError:
        match arrival.landing:
            case Landed(entry, began_at):
                is_stale = isinstance(judge(entry, arrival.at, self._policy, terms), AnswerAndRefresh)
                if is_stale:
                    self._refresh(entry)
                return Served(entry, _source(began_at, was_under_way=arrival.was_under_way), is_stale)
            case Failed(error):
                return self._stale(key, terms, error) or error.with_traceback(None)
            case landing:
                assert_never(landing)

    def _stale(self, key: Key, terms: Terms, error: TallygateError) -> Served | None:
        """Give the stale answer that may stand in for an error."""
        entry = self._memory.peek(key)
        if (
            entry is None
            or isinstance(error, UpstreamRefusal)
            or not covers(entry, self._now_ms(), self._policy, terms)
        ):
            return None
        return Served(entry, Source.MEMORY, is_stale=True, instead_of=error)

    def _hides(self, key: Key) -> bool:
        """Tell whether a stale answer would hide that the upstream refuses a key, or everything."""
        return self._is_refused() or self._backoff.is_refused(key)

    async def _fly(self, key: Key, terms: Terms, errand: Errand) -> Landing:
        landing = await self._fleet.fetch(key, terms, errand)
        match landing:
            case Landed(entry, began_at):
                self._backoff.succeeded(key)
                if began_at is not None:
                    self._note_fetch(entry.as_of - began_at)
            case Failed(error):
                self._backoff.failed(key, error)
        return landing

    def _note_fetch(self, took_ms: float) -> None:
        """Remember about how long fetches take."""
        self._fetch_ms += (max(took_ms, 0) - self._fetch_ms) / 8


def _source(fetch_began_at: int | None, *, was_under_way: bool) -> Source:
    if fetch_began_at is None:
        return Source.REDIS
    return Source.COLLAPSED if was_under_way else Source.FETCHED
