"""The questions that one can ask, each told in order. Whoever asks here may have the answer: that was settled before."""

from collections.abc import Collection
from typing import Final

from msgspec import Struct

from app.balances.snapshots import AGGREGATE, Absence, Key, Row, Snapshot, find_row
from app.cache.cache import Cache, Served
from app.cache.freshness import Terms
from app.errors import TallygateError, UnknownAsset, UnknownMerchant


class Told(Struct, frozen=True):
    """What is known about an account, and how it was come by."""

    snapshot: Snapshot
    served: Served


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
        told = _as_told(await self._cache.read(key, question.terms, question.caller))
        if isinstance(told, TallygateError):
            raise told
        return told

    async def tell_many(self, keys: Collection[Key], question: Question) -> dict[Key, Told | TallygateError]:
        """Tell the balances of many merchants, or of each why it cannot be told."""
        parts = await self._cache.read_many(keys, question.terms, question.caller)
        return {key: _as_told(part) for key, part in parts.items()}

    def tell_at_once(self, key: Key, terms: Terms) -> Told | None:
        """Tell the balances of an account if memory has an answer that needs no waiting."""
        served = self._cache.read_at_once(key, terms)
        if served is None or isinstance(served.entry, Absence):
            return None
        return Told(served.entry, served)

    async def tell_portfolio(self, question: Question) -> Told:
        """Tell the upstream's own aggregate over all merchants."""
        return await self.tell_account(AGGREGATE, question)

    async def tell_asset(self, key: Key, asset_id: str, question: Question) -> tuple[Row, Told]:
        """Tell one row of an account. Raises `UnknownAsset` if it has none, which does not mean zero."""
        told = await self.tell_account(key, question)
        row = find_row(told.snapshot.balances, asset_id)
        if row is None:
            raise UnknownAsset("The account lists no such asset.")
        return row, told


def _as_told(part: Served | TallygateError) -> Told | TallygateError:
    if isinstance(part, TallygateError):
        return part
    if isinstance(part.entry, Absence):
        return UnknownMerchant("There is no such merchant.")
    return Told(part.entry, part)
