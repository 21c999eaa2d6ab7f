"""Watch demand: an account that anybody follows is fetched so often that it is as young as the most eager one wants."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from heapq import heappop, heappush
from typing import Final

from msgspec import Struct

from app.balances.snapshots import AccountId, Entry
from app.budget.budget import PermitRequest, Priority
from app.budget.fleet_rate import FleetRateLimiter
from app.cache.load_results import Loaded, LoadFailed, LoadResult
from app.cache.loads import Loads
from app.errors import BreakerOpen, BudgetSpent, TallygateError, UpstreamBusy
from app.resilience.rate_limiter import RateLimiter
from app.runtime import Runtime
from app.watch.news import AccountNews

_CHUNK: Final = 500
_SPREAD: Final = 0.1
"""How much of an age is left for the fetch itself, and for spreading the fetches."""

_BUSY_MS: Final = 250
_LEAST_PAUSE_MS: Final = 50
_FIRST_PAUSE_MS: Final = 500
_LONGEST_PAUSE_MS: Final = 30_000
_IDLE_SECONDS: Final = 3_600.0


class DemandOptions(Struct, frozen=True, kw_only=True):
    """Calls a second of the fleet, the share of them for watched accounts, and loads at a time."""

    per_second: float
    share: float
    concurrency: int


class DemandSources(Struct, frozen=True, kw_only=True):
    """Where entries are: memory (what it trusts), Redis, and the loads; and the fleet's rate."""

    get: Callable[[AccountId], Entry | None]
    look_up: Callable[[Sequence[AccountId]], Awaitable[Mapping[AccountId, Entry]]]
    loads: Loads
    rate: FleetRateLimiter


class _Watched:
    """A watched account: the ages that its followers want, the newest `as_of`, and when a load is due."""

    __slots__ = ("as_of", "due", "failures", "is_loading", "wanted", "within_ms")

    def __init__(self) -> None:
        self.wanted: Final[dict[int, int]] = {}
        self.within_ms = 0
        self.as_of = 0
        self.due = 0
        self.failures = 0
        self.is_loading = False


class WatchDemand:
    """Load what is watched before it is older than wanted, once for the fleet: replicas hear each other's loads.

    The second follower of an account costs neither a command of Redis nor a call. Loads come after those of reads, and
    known accounts get at most a share of the rate. Times are Unix milliseconds, ages milliseconds.
    """

    def __init__(self, sources: DemandSources, news: AccountNews, options: DemandOptions, runtime: Runtime) -> None:
        self._sources: Final = sources
        self._news: Final = news
        self._options: Final = options
        self._now_ms: Final = runtime.unix_ms
        self._monotonic: Final = runtime.monotonic
        self._random: Final = runtime.random
        self._metrics: Final = runtime.metrics.watch
        rate = options.per_second * options.share
        self._pace: Final = RateLimiter(rate, max(1.0, rate))
        self._watched: Final[dict[AccountId, _Watched]] = {}
        self._queue: Final[list[tuple[int, AccountId]]] = []
        self._unread: Final[dict[AccountId, None]] = {}
        self._changed: Final = asyncio.Event()
        self._in_flight = 0
        self._not_before = float("-inf")

    def __len__(self) -> int:
        return len(self._watched)

    def expected_seconds(self, within_seconds: int) -> float:
        """Return the age that watched accounts reach: what is wanted, or more if the rate is too low for them."""
        return max(within_seconds, len(self._watched) / (self._options.per_second * self._options.share))

    def add(self, account_ids: Iterable[AccountId], within_ms: int) -> None:
        """Keep accounts younger than that from now on. `remove` must follow."""
        for account_id in account_ids:
            watched = self._watched.get(account_id)
            if watched is None:
                watched = self._begin(account_id)
            watched.wanted[within_ms] = watched.wanted.get(within_ms, 0) + 1
            self._set_within(account_id, watched)

    def remove(self, account_ids: Iterable[AccountId], within_ms: int) -> None:
        """Undo one `add`."""
        for account_id in account_ids:
            watched = self._watched[account_id]
            watched.wanted[within_ms] -= 1
            if not watched.wanted[within_ms]:
                del watched.wanted[within_ms]
            if watched.wanted:
                self._set_within(account_id, watched)
            else:
                del self._watched[account_id]
                self._unread.pop(account_id, None)
                self._news.unfollow(account_id, self)

    def read_again(self, account_ids: Collection[AccountId] = ()) -> None:
        """Look these and all watched accounts up in Redis: news of them may have been missed."""
        self._unread.update(dict.fromkeys((*self._watched, *account_ids)))
        self._changed.set()

    def on_entry(self, entry: Entry, /) -> None:
        """Note a new entry: the next load is due before it is too old."""
        watched = self._watched[entry.account_id]
        if watched.as_of and watched.as_of < entry.as_of:
            self._metrics.ages.add("kept" if entry.as_of - watched.as_of <= watched.within_ms else "exceeded")
        watched.as_of, watched.failures = entry.as_of, 0
        self._set_due(entry.account_id, watched, self._due_of(watched))

    def on_failure(self, account_id: AccountId, error: TallygateError, /) -> None:
        """Note a failed load: the pause before the next one doubles each time."""
        watched = self._watched[account_id]
        pause = min(_FIRST_PAUSE_MS << min(watched.failures, 16), _LONGEST_PAUSE_MS)
        if not isinstance(error, BudgetSpent | BreakerOpen | UpstreamBusy):
            watched.failures += 1
        self._set_due(account_id, watched, self._now_ms() + pause)

    def on_forgotten(self, account_id: AccountId, /) -> None:
        """Load an account again of which nothing is kept any more."""
        watched = self._watched[account_id]
        watched.as_of = 0
        self._set_due(account_id, watched, self._now_ms())

    async def run(self) -> None:
        """Look up what is new, and load what is due, until cancelled."""
        while True:
            self._changed.clear()
            if self._unread:
                await self._read()
            elif (wait := self._wait_seconds()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
            else:
                self._load_next()

    async def _read(self) -> None:
        chunk = list(self._unread)[:_CHUNK]
        for account_id in chunk:
            del self._unread[account_id]
        await self._sources.look_up(chunk)
        for account_id in chunk:
            watched = self._watched.get(account_id)
            if watched is not None and not watched.due:
                self._set_due(account_id, watched, self._due_of(watched))

    def _begin(self, account_id: AccountId) -> _Watched:
        watched = self._watched[account_id] = _Watched()
        self._news.follow(account_id, self)
        entry = self._sources.get(account_id)
        if entry is None:
            self._unread[account_id] = None
            self._changed.set()
        else:
            watched.as_of = entry.as_of
        return watched

    def _set_within(self, account_id: AccountId, watched: _Watched) -> None:
        within_ms = min(watched.wanted)
        if within_ms != watched.within_ms:
            watched.within_ms = within_ms
            if account_id not in self._unread and not watched.failures:
                self._set_due(account_id, watched, self._due_of(watched))

    def _due_of(self, watched: _Watched) -> int:
        """Return when a load must begin, so that it ends in time. What is unknown is due now."""
        if not watched.as_of:
            return self._now_ms()
        lead = _SPREAD * (1 + self._random()) / 2 * watched.within_ms + self._sources.loads.fetch_ms
        return watched.as_of + round(max(watched.within_ms - lead, watched.within_ms / 2))

    def _set_due(self, account_id: AccountId, watched: _Watched, due: int) -> None:
        """Queue a load. What is queued earlier is found to be outdated then."""
        watched.due = due
        heappush(self._queue, (due, account_id))
        self._changed.set()

    def _wait_seconds(self) -> float:
        """Return the seconds until a load may begin, 0 if it may now. Drop what is outdated at the head of the queue."""
        while self._queue:
            due, account_id = self._queue[0]
            watched = self._watched.get(account_id)
            if watched is not None and watched.due == due and not watched.is_loading:
                if self._in_flight >= max(1, self._options.concurrency // 2):
                    return _IDLE_SECONDS
                return max((due - self._now_ms()) / 1000, self._not_before - self._monotonic())
            heappop(self._queue)
        return _IDLE_SECONDS

    def _load_next(self) -> None:
        _, account_id = self._queue[0]
        watched = self._watched[account_id]
        share = 1.0 if self._sources.rate.is_shared else 1 / self._sources.rate.active_replicas
        if watched.as_of and (wait := self._pace.acquire(self._monotonic(), share=share)) > 0:
            self._not_before = self._monotonic() + wait
            return
        heappop(self._queue)
        oldest = watched.as_of + 1 if watched.as_of else self._now_ms() - watched.within_ms
        task = self._sources.loads.start(account_id, oldest, PermitRequest(Priority.REFRESH))
        if task is None:  # a read's load is under way
            self._set_due(account_id, watched, self._now_ms() + _BUSY_MS)
            return
        self._in_flight += 1
        watched.is_loading = True
        task.add_done_callback(partial(self._on_done, account_id))

    def _on_done(self, account_id: AccountId, task: asyncio.Task[LoadResult]) -> None:
        self._in_flight -= 1
        self._changed.set()
        watched = self._watched.get(account_id)
        if watched is None:
            return
        watched.is_loading = False
        match None if task.cancelled() or task.exception() else task.result():
            case Loaded():
                kept = self._sources.get(account_id)  # nothing, if it was withdrawn meanwhile
                watched.as_of = 0 if kept is None else kept.as_of
                due = max(self._due_of(watched), self._now_ms() + _LEAST_PAUSE_MS)
            case LoadFailed():
                due = max(watched.due, self._now_ms() + _BUSY_MS)  # `on_failure` has set it
            case None:
                due = self._now_ms() + _LONGEST_PAUSE_MS
        self._set_due(account_id, watched, due)
