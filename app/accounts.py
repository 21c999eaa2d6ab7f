"""The questions that one can ask, each told in order. Whoever asks here may have the answer: that was settled before."""

from collections.abc import Collection
from typing import Final

from msgspec import Struct

from app.balances.snapshots import AGGREGATE, Absence, Key, Row, Snapshot, find_row
from app.cache.cache import Cache, Served
from app.cache.freshness import Terms
from app.errors import TallygateError, UnknownAsset, UnknownMerchant


class Told(Struct, frozen=True, gc=False):
    """What is known about an account, and how it was come by."""

    snapshot: Snapshot
    served: Served


class Missing(Struct, frozen=True):
    """Why nothing is known about an account."""

    key: Key
    error: TallygateError


Part = Told | Missing
"""What there is to say about one account of many."""


class Question(Struct, frozen=True):
    """On which terms a caller asks."""

    caller: str
    terms: Terms


class Desk:
    """Answer questions about balances. Raises what `Cache.read` raises, besides what is told below."""

    def __init__(self, cache: Cache) -> None:
        self._cache: Final = cache

    async def tell_account(self, key: Key, question: Question) -> Told:
        """Tell the balances of a merchant. Raises `UnknownMerchant` if the upstream knows none of this id."""
        part = _as_part(key, await self._cache.read(key, question.terms, question.caller))
        if isinstance(part, Missing):
            raise part.error
        return part

    async def tell_many(self, keys: Collection[Key], question: Question) -> tuple[Part, ...]:
        """Tell the balances of many merchants in this order, or of each why it cannot be told."""
        found = await self._cache.read_many(keys, question.terms, question.caller)
        return tuple(_as_part(key, one) for key, one in found.items())

    def tell_at_once(self, key: Key, terms: Terms) -> Told | None:
        """Tell the balances of an account if memory has an answer that needs no waiting."""
        served = self._cache.read_at_once(key, terms)
        if served is None or isinstance(served.entry, Absence):
            return None
        return Told(served.entry, served)

    def note_read(self, snapshot: Snapshot, now: int) -> None:
        """Let a fresh snapshot that is told again at `now` (Unix milliseconds) be refreshed in time, as each read does."""
        self._cache.refresh_if_due(snapshot, now)

    def holds(self, snapshot: Snapshot) -> bool:
        """Tell whether what is known of an account is still this very snapshot."""
        return self._cache.holds(snapshot)

    async def tell_portfolio(self, question: Question) -> Told:
        """Tell the upstream's own aggregate over all merchants."""
        return await self.tell_account(AGGREGATE, question)

    async def tell_asset(self, key: Key, asset_id: str, question: Question) -> tuple[Row, Told]:
        """Tell one row of an account. Raises `UnknownAsset` if it has none, which does not mean zero."""
        told = await self.tell_account(key, question)
        return take_row(told.snapshot, asset_id), told


def take_row(snapshot: Snapshot, asset_id: str) -> Row:
    """Give the row of an asset. Raises `UnknownAsset` if there is none."""
    row = find_row(snapshot.balances, asset_id)
    if row is None:
        raise UnknownAsset("The account lists no such asset.")
    return row


def _as_part(key: Key, found: Served | TallygateError) -> Part:
    if isinstance(found, TallygateError):
        return Missing(key, found)
    if isinstance(found.entry, Absence):
        return Missing(key, UnknownMerchant("There is no such merchant."))
    return Told(found.entry, found)
