"""The portfolio's questions, for callers whose rights were settled before."""

from collections.abc import Mapping
from typing import Final

from app.balances.snapshots import Key
from app.cache.tally import Tally
from app.cache.versions import Versions
from app.desk import Desk, Question, Told
from app.errors import TallygateError, UnknownAsset
from app.portfolio.holders import Holders, find_holders
from app.portfolio.parts import Parts
from app.portfolio.reconciler import Reconciler
from app.portfolio.roll import Roll


class Portfolio:
    """Answer questions about all the merchants that a caller may read. The others are in no answer, total or count."""

    def __init__(self, *, roll: Roll, desk: Desk, tally: Tally, reconciler: Reconciler, versions: Versions) -> None:
        self._roll: Final = roll
        self._desk: Final = desk
        self._tally: Final = tally
        self.reconciler: Final = reconciler
        self.versions: Final = versions

    async def tell_merchants(self, readable: frozenset[Key] | str) -> Mapping[Key, str]:
        """Tell which merchants there are of the readable ones, in order, with the names that are known.

        Raises the `UpstreamError` that keeps us from knowing who there is, to those who may read all.
        """
        if not isinstance(readable, frozenset):
            names = await self._roll.name()
            return {key: names[key] for key in sorted(names, key=int)}
        try:
            names = await self._roll.name()
        except TallygateError:
            names = {}
        return {key: names.get(key, "") for key in sorted(readable, key=int)}

    async def tell_parts(self, readable: frozenset[Key] | str, question: Question) -> Parts:
        """Tell every readable merchant's balances, the totals of the very parts that are there, and the names known here.

        Raises the `UpstreamError` that keeps us from knowing who there is.
        """
        keys = sorted(readable, key=int) if isinstance(readable, frozenset) else await self._roll.list()
        parts = await self._desk.tell_many(keys, question)
        totals = self._tally.add_up({part.snapshot.key: part.snapshot for part in parts if isinstance(part, Told)})
        return Parts(parts, totals, self._roll.names())

    async def tell_holders(
        self, readable: frozenset[Key] | str, asset_id: str, question: Question
    ) -> tuple[Parts, Holders]:
        """Tell who holds an asset. Raises `UnknownAsset` if it is known that nobody readable lists it."""
        parts = await self.tell_parts(readable, question)
        holders = find_holders(parts, asset_id)
        if not holders.holders and parts.is_complete:
            raise UnknownAsset("No merchant lists such an asset.")
        return parts, holders
