"""Background sweep: while there is demand, one replica keeps all merchants as young as the budget allows."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from app.balances.snapshots import AccountId
from app.budget.budget import PermitRequest, Priority
from app.budget.fleet_budget import FleetBudget
from app.cache.load_results import Loaded, LoadFailed, LoadResult, NoPermit
from app.errors import AccessRefused, BreakerOpen, BudgetSpent, TallygateError, TokenRefused, UpstreamBusy
from app.fleet.demand import Demand
from app.portfolio.sweep_figures import Outage, ReachedShare, SweepOptions, SweepStatus
from app.portfolio.sweep_log import SweepLog
from app.portfolio.sweep_queue import UNKNOWN, Need, SweepQueue
from app.portfolio.sweep_sources import SweepSources
from app.resilience.rate_limiter import RateLimiter
from app.resilience.supervision import Task
from app.runtime import Runtime

_PERIOD_SECONDS: Final = 1.0
_CHUNK: Final = 500
_BLOCKED_SECONDS: Final = 0.02
_REFUSED_SECONDS: Final = 5.0
_LEAST_PAUSE_SECONDS: Final = 0.05
_BUSY_MS: Final = 250


class Sweep:
    """Fetch all merchants in order of need while there is demand, if this replica has the lease for it.

    A fetch joins the single flight of its account, at the lowest priority. It starts only when a permit seems free and
    slots are left for callers, so no caller waits for a sweep. Every replica knows the ages, for `status`.
    """

    def __init__(
        self,
        *,
        demand: Demand,
        sources: SweepSources,
        queue: SweepQueue,
        budget: FleetBudget,
        options: SweepOptions,
        runtime: Runtime,
    ) -> None:
        self.demand: Final = demand
        self.queue: Final = queue
        self.options: Final = options
        self._sources: Final = sources
        self._budget: Final = budget
        self.now_ms: Final = runtime.unix_ms
        self._monotonic: Final = runtime.monotonic
        rate = options.per_second * options.share
        self._refreshes: Final = RateLimiter(rate, max(1.0, rate))
        self._reached: Final = ReachedShare()
        self._outage: Final = Outage()
        self._log: Final = SweepLog(options)
        self._changed: Final = asyncio.Event()
        self._asked: Final = asyncio.Event()
        self._in_flight = 0
        self._not_before = float("-inf")
        self._is_informed = False
        self._names: Mapping[AccountId, str] | None = None

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Exchange demand, learn what is known of whom, and fetch."""
        return {
            "demand": partial(self.demand.keep_current, lambda: self._reached.value),
            "sweep_ages": self.keep_informed,
            "sweep": self.run,
        }

    @property
    def reached(self) -> float:
        """The share of the rate that the sweep reaches, 1 as long as that is not known."""
        own = self._reached.value if self.demand.is_ours else None
        return own or self.demand.share or 1.0

    def ask(self) -> None:
        """Record demand, and begin now if there was none."""
        self.demand.record()
        if not self._is_informed:
            self._asked.set()

    def set_merchants(self, names: Mapping[AccountId, str]) -> bool:
        """Replace the merchants by those of the directory, and return whether they changed."""
        if names is self._names:  # as nearly always: to compare 100,000 takes milliseconds
            return False
        self._names = names
        changed = self.queue.set_merchants(names.keys(), self._sources.peek)
        if changed:
            self._is_informed = False
            self._asked.set()
        return changed

    def status(self) -> SweepStatus:
        """Return how the sweep is, from what this replica knows."""
        return self.options.judge(
            merchants=len(self.queue),
            unknown=self.queue.unknown - self.queue.failing,
            reached=self.reached,
            demanded=self.demand.is_there,
        )

    async def keep_informed(self) -> None:
        """While there is demand, learn who the merchants are and what Redis has of the new ones, until cancelled."""
        if (configured := self._sources.directory.configured) is not None:
            self._log.note_size(configured)
        while True:
            self._asked.clear()
            if self.demand.is_there:
                await self._inform()
            else:
                self._is_informed = False
            self._log.note_starvation(len(self.queue), self.reached, demanded=self.demand.is_ours)
            await self._wait_for(self._asked, _PERIOD_SECONDS)

    async def run(self) -> None:
        """Fetch one merchant after another while it is this replica's turn, until cancelled."""
        while True:
            if (wait := self._wait_seconds()) > 0:
                await self._pause(wait)
            elif (need := self.queue.take()) is None:
                self._reached.end_shortage()
                self._outage.end()
                await self._pause(self.queue.seconds_to_due())
            elif need.as_of and (wait := self._pace()) > 0:
                self.queue.put_back(need.account_id)
                await self._pause(wait)
            else:
                await self._fetch(need)

    async def _inform(self) -> None:
        try:
            listing = await self._sources.directory.list()
        except TallygateError as error:
            self._log.note_no_directory(error)
            return
        if self.set_merchants(listing.names) or not self._is_informed:
            unknown = self.queue.list_unknown()
            for start in range(0, len(unknown), _CHUNK):
                await self._sources.look_up(unknown[start : start + _CHUNK])
        self._is_informed = True
        self._log.note_size(len(self.queue))
        self._changed.set()

    def _wait_seconds(self) -> float:
        """Return the seconds until a fetch may start, 0 if it may now."""
        if not (self.demand.is_ours and self._is_informed):
            self._reached.forget_window()
            self._outage.end()
            return _PERIOD_SECONDS / 4
        breaker_seconds = self._sources.pause_seconds()
        if breaker_seconds > 0 and self._outage.has_lasted(self._monotonic()):
            self.demand.hand_over()
        if (pause := max(breaker_seconds, self._budget.rate.pause_seconds())) > 0:
            self._reached.forget_window()
            return min(pause, _PERIOD_SECONDS)
        self._reached.check(self._monotonic())
        headroom = self.options.headroom
        slots = 1 if self.queue.refusal else self.options.concurrency - headroom  # one call finds out if that is over
        if self._in_flight >= slots or not self._budget.permits.is_free(headroom):
            return _BLOCKED_SECONDS
        return max(self._budget.rate.wait_seconds(), self._not_before - self._monotonic())

    def _pace(self) -> float:
        """Take a turn for a known merchant, or return the seconds until there is one."""
        share = 1.0 if self._budget.rate.is_shared else 1 / self._budget.rate.active_replicas
        return self._refreshes.acquire(self._monotonic(), share=share)

    async def _fetch(self, need: Need) -> None:
        """Start a fetch, and wait until it has a permit, or is known not to get one."""
        decided = asyncio.get_running_loop().create_future()

        def decide(_: object = None) -> None:
            if not decided.done():
                decided.set_result(None)

        request = PermitRequest(Priority.SWEEP, on_permit=decide)
        oldest = need.as_of + 1 if need.as_of else self.now_ms() - round(self.options.stale_seconds * 1000)
        task = self._sources.cache.loads.start(need.account_id, oldest, request)
        if task is None:  # a caller's load is under way
            self.queue.put_back(need.account_id, pause_ms=_BUSY_MS)
            return
        self._in_flight += 1
        task.add_done_callback(partial(self._on_done, need))
        task.add_done_callback(decide)
        await decided

    def _on_done(self, need: Need, task: asyncio.Task[LoadResult]) -> None:
        self._in_flight -= 1
        self._changed.set()
        result = None if task.cancelled() or task.exception() else task.result()
        match result:
            case NoPermit(error):
                self._hold(error.retry_after_seconds or 0)
            case LoadFailed(BreakerOpen() | BudgetSpent() | UpstreamBusy() as error):
                self._hold(error.retry_after_seconds or 0)
            case LoadFailed(TokenRefused() | AccessRefused() as error):
                self._reached.forget_window()
                self.queue.fail(need.account_id, error)
                self._hold(_REFUSED_SECONDS)
            case LoadFailed(error):
                self._count(need)
                self.queue.fail(need.account_id, error)
            case Loaded(_, began_at):
                self._outage.end()
                if began_at is not None:
                    self._count(need)
            case None:
                pass
        self.queue.put_back(need.account_id, pause_ms=_BUSY_MS if result is None else 0)

    def _hold(self, seconds: float) -> None:
        """Start no fetch for a while. A merchant's own failure does not come here."""
        self._not_before = self._monotonic() + min(max(seconds, _LEAST_PAUSE_SECONDS), _REFUSED_SECONDS)

    def _count(self, need: Need) -> None:
        options = self.options
        self._reached.count(self._monotonic(), options.per_second * (1 if need.as_of == UNKNOWN else options.share))

    async def _pause(self, seconds: float) -> None:
        """Sleep, but no longer than until something changed."""
        self._changed.clear()
        await self._wait_for(self._changed, seconds)

    async def _wait_for(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for an event, but no longer than so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
