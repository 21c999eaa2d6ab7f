"""The portfolio's questions, for callers whose rights were settled before."""

from typing import Final

import msgspec

from app.accounts import Desk, Part, Question, Told
from app.balances.snapshots import Key
from app.errors import TallygateError, UnknownAsset
from app.fleet.view_versions import Versions
from app.portfolio.directory import Listing, Roll
from app.portfolio.holders import Holders, find_holders
from app.portfolio.parts import Parts, Sort, order
from app.portfolio.reconciler import Reconciler
from app.portfolio.running_totals import Tally


class Portfolio:
    """Answer questions about all the merchants that a caller may read. The others are in no answer, total or count."""

    def __init__(self, *, roll: Roll, desk: Desk, tally: Tally, reconciler: Reconciler, versions: Versions) -> None:
        self._roll: Final = roll
        self._desk: Final = desk
        self._tally: Final = tally
        self.reconciler: Final = reconciler
        self.versions: Final = versions

    async def tell_merchants(self, readable: frozenset[Key] | str) -> Listing:
        """Tell which merchants there are of the readable ones, with the names that are known.

        Raises the `UpstreamError` that keeps us from knowing who there is, to those who may read all.
        """
        if not isinstance(readable, frozenset):
            return await self._roll.list()
        try:
            listing = await self._roll.list()
        except TallygateError:
            listing = Listing({}, None, is_stale=False)
        names = {key: listing.names.get(key, "") for key in sorted(readable, key=int)}
        return msgspec.structs.replace(listing, names=names)

    async def tell_parts(self, readable: frozenset[Key] | str, question: Question) -> Parts:
        """Tell every readable merchant's balances, the totals of the very parts that are there, and the names known here.

        Raises the `UpstreamError` that keeps us from knowing who there is.
        """
        if isinstance(readable, frozenset):
            listing = Listing(self._roll.names(), None, is_stale=False)
            keys = sorted(readable, key=int)
        else:
            listing = await self._roll.list()
            keys = list(listing.names)
        parts = await self._desk.tell_many(keys, question)
        totals = self._tally.add_up({part.snapshot.key: part.snapshot for part in parts if isinstance(part, Told)})
        return Parts(parts, totals, listing.names, listing.as_of, listing.is_stale)

    async def tell_breakdown(
        self, readable: frozenset[Key] | str, sort: Sort, question: Question
    ) -> tuple[Parts, list[Part]]:
        """Tell every readable merchant's balances in an order. Raises `UnknownAsset` if it is known that nobody lists its asset."""
        parts = await self.tell_parts(readable, question)
        if sort.asset_id is not None and parts.is_complete and not parts.lists(sort.asset_id):
            raise UnknownAsset("sort names an asset that no merchant lists.")
        return parts, order(parts.parts, sort)

    async def tell_holders(
        self, readable: frozenset[Key] | str, asset_id: str, question: Question
    ) -> tuple[Parts, Holders]:
        """Tell who holds an asset. Raises `UnknownAsset` if it is known that nobody readable lists it."""
        parts = await self.tell_parts(readable, question)
        holders = find_holders(parts, asset_id)
        if parts.is_complete and not parts.lists(asset_id):
            raise UnknownAsset("No merchant lists such an asset.")
        return parts, holders
