"""Portfolio: questions over all merchants, for callers who are authorised already."""

from typing import Final

import msgspec

from app.accounts import AccountResult, Accounts, Available, as_result
from app.balances.snapshots import AccountId
from app.cache.freshness import RequestDirectives
from app.errors import TallygateError, UnknownAsset
from app.fleet.view_versions import ViewVersions
from app.history.past import no_history
from app.portfolio.directory import Listing, MerchantDirectory
from app.portfolio.holders import Holders, find_holders
from app.portfolio.known_reads import KnownReads
from app.portfolio.parts import Parts, Sort, order
from app.portfolio.past_parts import PastParts, read_past
from app.portfolio.reconciler import Reconciler, Reconciliation
from app.portfolio.running_totals import RunningTotals
from app.portfolio.sweep_figures import SweepStatus


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
        known_reads: KnownReads,
    ) -> None:
        self._directory: Final = directory
        self._accounts: Final = accounts
        self._running_totals: Final = running_totals
        self.reconciler: Final = reconciler
        self.versions: Final = versions
        self._known_reads: Final = known_reads
        self._sweep: Final = known_reads.sweep

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

    async def get_parts(
        self, readable: frozenset[AccountId] | str, directives: RequestDirectives, caller: str
    ) -> Parts:
        """Tell every readable merchant's balances, the totals of the very parts that are there, and the names known here.

        Raises the `UpstreamError` that prevents a list of merchants.
        """
        if isinstance(readable, frozenset):
            listing = Listing(self._directory.names(), None, is_stale=False)
            parts = await self._accounts.get_many(sorted(readable, key=int), directives, caller)
        else:
            self._sweep.ask()
            listing = await self._directory.list()
            self._sweep.set_merchants(listing.names)
            found = await self._known_reads.read(list(listing.names), directives, caller)
            parts = tuple(as_result(account_id, one) for account_id, one in found.items())
        totals = self._running_totals.total_of(
            {part.snapshot.account_id: part.snapshot for part in parts if isinstance(part, Available)}
        )
        return Parts(parts, totals, listing.names, listing.as_of, listing.is_stale, self.sweep_status(readable))

    def sweep_status(self, readable: frozenset[AccountId] | str) -> SweepStatus | None:
        """Return how the sweep is, to those who may read all: it tells how many merchants there are."""
        return None if isinstance(readable, frozenset) else self._sweep.status()

    async def start_reconciliation(self) -> Reconciliation:
        """Start a reconciliation, unless one is running: then return that one. Raises `StoreUnavailable`."""
        self._sweep.ask()
        return await self.reconciler.start()

    async def get_breakdown(
        self, readable: frozenset[AccountId] | str, sort: Sort, directives: RequestDirectives, caller: str
    ) -> tuple[Parts, list[AccountResult]]:
        """Tell every readable merchant's balances in an order. Raises `UnknownAsset` if it is known that nobody lists its asset."""
        parts = await self.get_parts(readable, directives, caller)
        if sort.asset_id is not None and parts.is_complete and not parts.lists(sort.asset_id):
            raise UnknownAsset("sort names an asset that no merchant lists.")
        return parts, order(parts.parts, sort)

    async def get_past(self, readable: frozenset[AccountId] | str, moment: int) -> PastParts:
        """Return what is known of every readable merchant at a moment (Unix ms). The list of merchants is that of now.

        Raises `NoHistory` where none is kept, `StoreUnavailable`, or the `UpstreamError` that prevents a list.
        """
        past = self._accounts.histories.past
        if past is None:
            raise no_history()
        if isinstance(readable, frozenset):
            listing = Listing(dict.fromkeys(sorted(readable, key=int), ""), None, is_stale=False)
            names = self._directory.names()
        else:
            listing = await self._directory.list()
            names = listing.names
        parts, totals = await read_past(past, list(listing.names), moment)
        return PastParts(parts, totals, names, listing.as_of, listing.is_stale)

    async def get_holders(
        self, readable: frozenset[AccountId] | str, asset_id: str, directives: RequestDirectives, caller: str
    ) -> tuple[Parts, Holders]:
        """Tell who holds an asset. Raises `UnknownAsset` if it is known that nobody readable lists it."""
        parts = await self.get_parts(readable, directives, caller)
        holders = find_holders(parts, asset_id)
        if parts.is_complete and not parts.lists(asset_id):
            raise UnknownAsset("No merchant lists such an asset.")
        return parts, holders
