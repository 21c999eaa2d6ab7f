"""Long polls: a read that found what its caller knows waits until the content differs, or its time is up."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from msgspec import Struct

from app.balances.snapshots import AccountId, Entry, Snapshot
from app.errors import TallygateError
from app.resilience.draining import Drain
from app.runtime import Runtime
from app.watch.demand import WatchDemand
from app.watch.news import AccountNews

_PAUSE_SECONDS: Final = 0.2
"""How long a view of many accounts is left alone between two looks: each takes milliseconds."""

_LAST_LOOK_SECONDS: Final = 0.5
_DRAIN_SHARE: Final = 0.8

T = TypeVar("T")


class LongPollOptions(Struct, frozen=True, kw_only=True):
    """Times in seconds: the longest wait, the age that is kept meanwhile, and how long a draining replica lasts."""

    longest_seconds: float
    within_seconds: float
    drain_seconds: float


class LongPolls:
    """Let reads wait. Only one whose accounts have other balances than before looks again, so none wakes for nothing.

    While it waits, its accounts are kept young. `all_accounts` names those that a view of all consists of. When the
    replica drains, each wait ends early, at a time drawn at random.
    """

    def __init__(
        self,
        demand: WatchDemand,
        news: AccountNews,
        peek: Callable[[AccountId], Entry | None],
        all_accounts: Callable[[], Iterable[AccountId]],
        drain: Drain,
        options: LongPollOptions,
        runtime: Runtime,
    ) -> None:
        self._demand: Final = demand
        self._news: Final = news
        self._peek: Final = peek
        self._all_accounts: Final = all_accounts
        self._drain: Final = drain
        self.options: Final = options
        self._random: Final = runtime.random
        self._outcomes: Final = runtime.metrics.watch.long_polls
        self._waits: Final[set[_Wait]] = set()
        drain.watch(self._end_soon)

    def __len__(self) -> int:
        return len(self._waits)

    async def wait(
        self,
        account_ids: Collection[AccountId] | None,
        seconds: float,
        look: Callable[[], Awaitable[T]],
        known: T,
        is_known: Callable[[T], bool],
    ) -> T:
        """Return the first result of `look` that is not known, or a last known one after so many seconds.

        `known` is what was found just now, without awaiting anything since. None for the accounts stands for all.
        Raises what `look` raises. May be cancelled.
        """
        with self._waiting(account_ids) as wait:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(seconds, self.options.longest_seconds)):
                    while await wait.changed():
                        known = await look()
                        if not is_known(known):
                            self._outcomes.add("changed")
                            return known
                        await asyncio.sleep(wait.pause_seconds)
            self._outcomes.add("draining" if wait.is_over else "unchanged")
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_LOOK_SECONDS):  # for an age that is right
                return await look()
        return known

    @contextmanager
    def _waiting(self, account_ids: Collection[AccountId] | None) -> Iterator["_Wait"]:
        ids = list(self._all_accounts() if account_ids is None else account_ids)
        wait = _Wait({account_id: self._peek(account_id) for account_id in ids})
        within_ms = round(1000 * self.options.within_seconds)
        self._waits.add(wait)
        if self._drain.is_on:
            wait.end()
        if account_ids is None:
            self._news.follow_all(wait)
        else:
            self._demand.add(account_ids, within_ms)
            for account_id in account_ids:
                self._news.follow(account_id, wait)
        try:
            yield wait
        finally:
            self._waits.discard(wait)
            if account_ids is None:
                self._news.unfollow_all(wait)
            else:
                self._demand.remove(account_ids, within_ms)
                for account_id in account_ids:
                    self._news.unfollow(account_id, wait)

    def _end_soon(self) -> None:
        loop = asyncio.get_running_loop()
        for wait in self._waits:
            loop.call_later(_DRAIN_SHARE * self.options.drain_seconds * self._random(), wait.end)


class _Wait:
    """One wait, and the entries that it has seen."""

    def __init__(self, seen: dict[AccountId, Entry | None]) -> None:
        self._seen: Final = seen
        self._news: Final = asyncio.Event()
        self.is_over = False
        self.pause_seconds: Final = _PAUSE_SECONDS if len(seen) > 1 else 0

    async def changed(self) -> bool:
        """Wait for other content. Return false once the wait is over."""
        await self._news.wait()
        self._news.clear()
        return not self.is_over

    def end(self) -> None:
        """End the wait early."""
        self.is_over = True
        self._news.set()

    def on_entry(self, entry: Entry, /) -> None:
        """Look again if the content is another one."""
        seen, self._seen[entry.account_id] = self._seen.get(entry.account_id), entry
        if not _has_content_of(seen, entry):
            self._news.set()

    def on_failure(self, account_id: AccountId, error: TallygateError, /) -> None:
        """Stay: the next look says whether an entry covers the failure."""

    def on_forgotten(self, account_id: AccountId, /) -> None:
        """Stay: the account is loaded again."""


def _has_content_of(seen: Entry | None, entry: Entry) -> bool:
    if not isinstance(seen, Snapshot) or not isinstance(entry, Snapshot):
        return type(seen) is type(entry)
    return (seen.can_deposit, seen.balances, seen.anomalies) == (entry.can_deposit, entry.balances, entry.anomalies)
