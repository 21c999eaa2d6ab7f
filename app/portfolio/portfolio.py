"""Portfolio: questions over all merchants, for callers who are authorised already."""

from typing import Final

import msgspec

from app.accounts import AccountResult, Accounts, Available, Question
from app.balances.snapshots import AccountId
from app.errors import TallygateError, UnknownAsset
from app.fleet.view_versions import ViewVersions
from app.portfolio.directory import Listing, MerchantDirectory
from app.portfolio.holders import Holders, find_holders
from app.portfolio.parts import Parts, Sort, order
from app.portfolio.reconciler import Reconciler
from app.portfolio.running_totals import RunningTotals


class Portfolio:
    """Answer questions over the merchants that a caller may read. The others are in no answer, total or count."""

    def __init__(
        self,
        *,
        directory: MerchantDirectory,
        accounts: Accounts,
        running_totals: RunningTotals,
        reconciler: Reconciler,
        versions: ViewVersions,
    ) -> None:
        self._directory: Final = directory
        self._accounts: Final = accounts
        self._running_totals: Final = running_totals
        self.reconciler: Final = reconciler
        self.versions: Final = versions

    async def list_merchants(self, readable: frozenset[AccountId] | str) -> Listing:
        """Return the readable merchants that exist, with the names that are known.

        For callers who may read all, raises the `UpstreamError` that prevents a list.
        """
        if not isinstance(readable, frozenset):
            return await self._directory.list()
        try:
            listing = await self._directory.list()
        except TallygateError:
            listing = Listing({}, None, is_stale=False)
        names = {key: listing.names.get(key, "") for key in sorted(readable, key=int)}
        return msgspec.structs.replace(listing, names=names)

    async def get_parts(self, readable: frozenset[AccountId] | str, question: Question) -> Parts:
        """Tell every readable merchant's balances, the totals of the very parts that are there, and the names known here.

        Raises the `UpstreamError` that prevents a list of merchants.
        """
        if isinstance(readable, frozenset):
            listing = Listing(self._directory.names(), None, is_stale=False)
            keys = sorted(readable, key=int)
        else:
            listing = await self._directory.list()
            keys = list(listing.names)
        parts = await self._accounts.get_many(keys, question)
        totals = self._running_totals.total_of(
            {part.snapshot.account_id: part.snapshot for part in parts if isinstance(part, Available)}
        )
        return Parts(parts, totals, listing.names, listing.as_of, listing.is_stale)

    async def get_breakdown(
        self, readable: frozenset[AccountId] | str, sort: Sort, question: Question
    ) -> tuple[Parts, list[AccountResult]]:
        """Tell every readable merchant's balances in an order. Raises `UnknownAsset` if it is known that nobody lists its asset."""
        parts = await self.get_parts(readable, question)
        if sort.asset_id is not None and parts.is_complete and not parts.lists(sort.asset_id):
            raise UnknownAsset("sort names an asset that no merchant lists.")
        return parts, order(parts.parts, sort)

    async def get_holders(
        self, readable: frozenset[AccountId] | str, asset_id: str, question: Question
    ) -> tuple[Parts, Holders]:
        """Tell who holds an asset. Raises `UnknownAsset` if it is known that nobody readable lists it."""
        parts = await self.get_parts(readable, question)
        holders = find_holders(parts, asset_id)
        if parts.is_complete and not parts.lists(asset_id):
            raise UnknownAsset("No merchant lists such an asset.")
        return parts, holders
