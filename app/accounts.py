"""Accounts: questions about the balances of one account, or of many by id. The caller's rights were checked before."""

from collections.abc import Callable, Collection
from typing import Final

from msgspec import Struct

from app.balances.snapshots import Absence, AccountId, Entry, Snapshot
from app.cache.cache import Cache
from app.cache.freshness import RequestDirectives
from app.cache.served import Served
from app.errors import TallygateError, UnknownMerchant
from app.history.histories import NO_HISTORIES, Histories


class Available(Struct, frozen=True, gc=False):
    """The balances of an account, and how the cache found them."""

    snapshot: Snapshot
    served: Served


class Unavailable(Struct, frozen=True):
    """Why nothing is known about an account."""

    account_id: AccountId
    error: TallygateError


AccountResult = Available | Unavailable
"""The result for one account of many."""


class Accounts:
    """Answer questions about balances. `caller` names who asks, and takes turns with others for the upstream's budget.

    `histories` answer those about the past. `is_current` and `use` are those of memory, which each hot read asks.
    """

    histories: Histories = NO_HISTORIES
    is_current: Callable[[Entry], bool]
    use: Callable[[Entry], bool]

    def __init__(self, cache: Cache, histories: Histories = NO_HISTORIES) -> None:
        self._cache: Final = cache
        self.is_current = cache.is_current
        self.use = cache.use
        self.histories = histories

    async def get(self, account_id: AccountId, directives: RequestDirectives, caller: str) -> Available:
        """Return the balances of an account. Raises `UnknownMerchant`, and what `Cache.read` raises."""
        part = as_result(account_id, await self._cache.read(account_id, directives, caller))
        if isinstance(part, Unavailable):
            raise part.error
        return part

    async def get_many(
        self, account_ids: Collection[AccountId], directives: RequestDirectives, caller: str
    ) -> tuple[AccountResult, ...]:
        """Return the result for each account, in this order."""
        found = await self._cache.read_many(account_ids, directives, caller)
        return tuple(as_result(account_id, one) for account_id, one in found.items())

    def get_now(self, account_id: AccountId, directives: RequestDirectives) -> Available | None:
        """Return the balances of an account if memory has them and no waiting is needed."""
        served = self._cache.read_now(account_id, directives)
        if served is None or isinstance(served.entry, Absence):
            return None
        return Available(served.entry, served)

    def refresh_if_due(self, snapshot: Snapshot, now: int) -> None:
        """Start the early refresh of a snapshot that is served again at `now` (Unix milliseconds), as each read may do."""
        self._cache.refresh_if_due(snapshot, now)


def as_result(account_id: AccountId, found: Served | TallygateError) -> AccountResult:
    """Return the result for an account: an absent one is unavailable."""
    if isinstance(found, TallygateError):
        return Unavailable(account_id, found)
    if isinstance(found.entry, Absence):
        return Unavailable(account_id, UnknownMerchant("There is no such merchant."))
    return Available(found.entry, found)
