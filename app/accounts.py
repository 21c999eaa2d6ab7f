"""The questions that one can ask, each told in order. Whoever asks here may have the answer: that was settled before."""

from collections.abc import Collection
from typing import Final

from msgspec import Struct

from app.balances.snapshots import AGGREGATE, Absence, AccountId, Row, Snapshot, find_row
from app.cache.cache import Cache, Served
from app.cache.freshness import RequestDirectives
from app.errors import TallygateError, UnknownAsset, UnknownMerchant


class Available(Struct, frozen=True, gc=False):
    """What is known about an account, and how it was come by."""

    snapshot: Snapshot
    served: Served


class Unavailable(Struct, frozen=True):
    """Why nothing is known about an account."""

    account_id: AccountId
    error: TallygateError


AccountResult = Available | Unavailable
"""What there is to say about one account of many."""


class Question(Struct, frozen=True):
    """On which terms a caller asks."""

    caller: str
    directives: RequestDirectives


class Accounts:
    """Answer questions about balances. Raises what `Cache.read` raises, besides what is told below."""

    def __init__(self, cache: Cache) -> None:
        self._cache: Final = cache

    async def get(self, key: AccountId, question: Question) -> Available:
        """Tell the balances of a merchant. Raises `UnknownMerchant` if the upstream knows none of this id."""
        part = as_result(key, await self._cache.read(key, question.directives, question.caller))
        if isinstance(part, Unavailable):
            raise part.error
        return part

    async def get_many(self, keys: Collection[AccountId], question: Question) -> tuple[AccountResult, ...]:
        """Tell the balances of many merchants in this order, or of each why it cannot be told."""
        found = await self._cache.read_many(keys, question.directives, question.caller)
        return tuple(as_result(key, one) for key, one in found.items())

    def get_now(self, key: AccountId, directives: RequestDirectives) -> Available | None:
        """Tell the balances of an account if memory has an answer that needs no waiting."""
        served = self._cache.read_now(key, directives)
        if served is None or isinstance(served.entry, Absence):
            return None
        return Available(served.entry, served)

    def refresh_if_due(self, snapshot: Snapshot, now: int) -> None:
        """Let a fresh snapshot that is told again at `now` (Unix milliseconds) be refreshed in time, as each read does."""
        self._cache.refresh_if_due(snapshot, now)

    def is_current(self, snapshot: Snapshot) -> bool:
        """Tell whether what is known of an account is still this very snapshot."""
        return self._cache.is_current(snapshot)

    async def tell_portfolio(self, question: Question) -> Available:
        """Tell the upstream's own aggregate over all merchants."""
        return await self.get(AGGREGATE, question)

    async def tell_asset(self, key: AccountId, asset_id: str, question: Question) -> tuple[Row, Available]:
        """Tell one row of an account. Raises `UnknownAsset` if it has none, which does not mean zero."""
        told = await self.get(key, question)
        return take_row(told.snapshot, asset_id), told


def take_row(snapshot: Snapshot, asset_id: str) -> Row:
    """Give the row of an asset. Raises `UnknownAsset` if there is none."""
    row = find_row(snapshot.balances, asset_id)
    if row is None:
        raise UnknownAsset("The account lists no such asset.")
    return row


def as_result(key: AccountId, found: Served | TallygateError) -> AccountResult:
    """Return what there is to say about an account: an absent one is unavailable."""
    if isinstance(found, TallygateError):
        return Unavailable(key, found)
    if isinstance(found.entry, Absence):
        return Unavailable(key, UnknownMerchant("There is no such merchant."))
    return Available(found.entry, found)
