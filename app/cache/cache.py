"""Reading through the cache: memory, then the fleet; stale answers where they are allowed, and marked."""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Final, assert_never

from msgspec import Struct

from app.balances.snapshots import Entry, Key
from app.cache.backoff import Backoff
from app.cache.budget import Errand, Priority
from app.cache.fleet import Failed, Fleet, Landed, Landing
from app.cache.flights import Flights
from app.cache.freshness import (
    Answer,
    AnswerAndRefresh,
    Fetch,
    Policy,
    Refuse,
    Terms,
    Verdict,
    age_ms,
    covers,
    is_due_early,
    judge,
    satisfies,
)
from app.cache.memory import MemoryTier
from app.errors import DeadlinePassed, NotCached, TallygateError, UpstreamRefusal
from app.telemetry.metrics import Metrics


class Source(StrEnum):
    """Where an answer came from."""

    MEMORY = "memory"
    REDIS = "redis"
    FETCHED = "fetched"
    COLLAPSED = "collapsed"


class Served(Struct, frozen=True):
    """An answer: the entry, where it came from, and the failure that a stale one stands in for."""

    entry: Entry
    source: Source
    instead_of: TallygateError | None = None


class Cache:
    """Answer from memory as `policy` and a request's terms allow, and through the fleet otherwise.

    `now_ms` is Unix time in milliseconds, `random` gives numbers in [0, 1). A caller waits at most `patience_seconds`.
    """

    def __init__(
        self,
        *,
        memory: MemoryTier,
        fleet: Fleet,
        backoff: Backoff,
        policy: Policy,
        patience_seconds: float,
        now_ms: Callable[[], int],
        random: Callable[[], float],
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics: Final = metrics or Metrics()
        self._memory: Final = memory
        self._fleet: Final = fleet
        self._backoff: Final = backoff
        self._policy: Final = policy
        self._patience_seconds: Final = patience_seconds
        self._now_ms: Final = now_ms
        self._random: Final = random
        self._flights: Final[Flights[Landing]] = Flights()
        self._fetch_ms = 0.0

    async def read(self, key: Key, terms: Terms, caller: str = "", priority: Priority = Priority.WAITING) -> Served:
        """Give the answer that a request of a caller may have. May be cancelled: what it waited for goes on for others.

        A fetch that this needs has its turn by `priority`.

        Raises `NotCached`, `DeadlinePassed`, or the `UpstreamError` that kept us from an acceptable answer.
        """
        try:
            served = await self._read(key, terms, Errand(priority, caller))
        except TallygateError:
            self._metrics.answers.add("failed")
            raise
        outcome = served.source if served.instead_of is None else "stale"
        self._metrics.answer(outcome, age_ms(served.entry, self._now_ms()))
        return served

    async def _read(self, key: Key, terms: Terms, errand: Errand) -> Served:
        source = Source.MEMORY
        verdict = self._judge(self._memory.get(key), terms)
        if isinstance(verdict, Refuse):
            source = Source.REDIS
            verdict = self._judge(await self._fleet.look(key), terms)
        match verdict:
            case Answer(entry):
                self._refresh_early(entry)
                return Served(entry, source)
            case AnswerAndRefresh(entry):
                self._refresh(entry)
                return Served(entry, source)
            case Fetch():
                return await self._fetch(key, terms, errand)
            case Refuse():
                raise NotCached("Nothing that is stored is as the request's Cache-Control wants it.")
            case _:
                assert_never(verdict)

    async def close(self) -> None:
        """End the loads that are under way."""
        await self._flights.close()

    def _judge(self, entry: Entry | None, terms: Terms) -> Verdict:
        return judge(entry, self._now_ms(), self._policy, terms)

    def _refresh_early(self, entry: Entry) -> None:
        if is_due_early(entry, self._now_ms(), self._policy, self._fetch_ms, 1 - self._random()):
            self._refresh(entry)

    def _refresh(self, entry: Entry) -> None:
        """See to it that a newer entry is fetched behind, unless somebody does so already, or it failed just now."""
        if self._backoff.failure(entry.key) is None:
            self._board(entry.key, Terms(came_at=entry.as_of + 1, max_age_ms=0), Errand(Priority.REFRESH))

    async def _fetch(self, key: Key, terms: Terms, errand: Errand) -> Served:
        """Wait for an entry that satisfies the terms; when it cannot be had, fall back on a stale one that they allow."""
        known = self._backoff.failure(key)
        if known is not None and (stale := self._stale(key, terms, known)):
            return stale
        try:
            async with asyncio.timeout(self._patience_seconds):
                landing, source = await self._await_landing(key, terms, errand)
        except TimeoutError:
            landing = Failed(DeadlinePassed(f"No answer was there within {self._patience_seconds:g} s."))
        match landing:
            case Landed(entry):
                if isinstance(self._judge(entry, terms), AnswerAndRefresh):
                    self._refresh(entry)
                return Served(entry, source)
            case Failed(error):
                if stale := self._stale(key, terms, error):
                    return stale
                raise error.with_traceback(None)
            case _:
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
        return Served(entry, Source.MEMORY, instead_of=error)

    async def _await_landing(self, key: Key, terms: Terms, errand: Errand) -> tuple[Landing, Source]:
        """Take flights until one satisfies: one that began before we came, or for laxer terms, may not."""
        while True:
            flight, was_under_way = self._board(key, terms, Errand(errand.priority, errand.caller))
            landing = await asyncio.shield(flight)
            match landing:
                case Failed():
                    return landing, Source.FETCHED
                case Landed(entry, began_at) if satisfies(entry, began_at, self._now_ms(), self._policy, terms):
                    return landing, _source(began_at, was_under_way=was_under_way)

    def _board(self, key: Key, terms: Terms, errand: Errand) -> tuple[asyncio.Task[Landing], bool]:
        return self._flights.board(key, errand, lambda errand: self._fly(key, terms, errand))

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
