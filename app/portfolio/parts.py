"""Parts: what is known of each of many merchants at one moment, how much of the whole that is, and in which order."""

from collections.abc import Callable, Collection, Iterable
from decimal import Decimal
from typing import Final

from msgspec import Struct

from app.balances.snapshots import Key, Snapshot, find_row
from app.balances.totals import Total
from app.cache.cache import Cache, Served
from app.cache.freshness import Policy, age_ms
from app.cache.tally import Tally
from app.desk import Question
from app.errors import TallygateError, UnknownMerchant


class Known(Struct, frozen=True):
    """A snapshot that the request accepts, and whether it is older than fresh."""

    snapshot: Snapshot
    is_stale: bool
    served: Served


class Unavailable(Struct, frozen=True):
    """Why there is none of a merchant."""

    key: Key
    error: TallygateError


Part = Known | Unavailable


class Parts(Struct, frozen=True):
    """Every merchant's part, and the exact sum of those that are there."""

    parts: tuple[Part, ...]
    totals: tuple[Total, ...]

    @property
    def known(self) -> list[Known]:
        """Give the parts that there are."""
        return [part for part in self.parts if isinstance(part, Known)]

    @property
    def is_complete(self) -> bool:
        """Tell whether no merchant is missing, so that the totals are those of all."""
        return len(self.known) == len(self.parts)


class Gathering:
    """Read many merchants. `now_ms` is Unix time in milliseconds."""

    def __init__(self, *, cache: Cache, tally: Tally, policy: Policy, now_ms: Callable[[], int]) -> None:
        self._cache: Final = cache
        self._tally: Final = tally
        self._policy: Final = policy
        self._now_ms: Final = now_ms

    async def gather(self, keys: Collection[Key], question: Question) -> Parts:
        """Read each merchant on the question's terms, all at once: no part waits as long as a single read may.

        A part that fails is told as such; none makes the others fail. The totals are those of the very parts given.
        """
        found = await self._cache.read_many(keys, question.terms, question.caller)
        now = self._now_ms()
        parts = tuple(self._tell(key, part, now) for key, part in found.items())
        totals = self._tally.add_up({part.snapshot.key: part.snapshot for part in parts if isinstance(part, Known)})
        return Parts(parts, totals.list())

    def _tell(self, key: Key, found: Served | TallygateError, now: int) -> Part:
        if isinstance(found, TallygateError):
            return Unavailable(key, found)
        if not isinstance(found.entry, Snapshot):
            return Unavailable(key, UnknownMerchant("There is no such merchant."))
        return Known(found.entry, age_ms(found.entry, now) > self._policy.fresh_ms, found)


class Sort(Struct, frozen=True):
    """An order: by the total of an asset, or, without one, by merchant."""

    asset_id: str | None = None
    descending: bool = False


def key_of(part: Part) -> Key:
    """Tell whose part it is."""
    return part.snapshot.key if isinstance(part, Known) else part.key


def order(parts: Iterable[Part], sort: Sort) -> list[Part]:
    """Put parts in order. Equal amounts stand by merchant; who is not known to hold the asset stands last either way."""
    by_merchant = sorted(parts, key=lambda part: int(key_of(part)))
    if sort.asset_id is None:
        return by_merchant[::-1] if sort.descending else by_merchant
    amounts = {key_of(part): _amount(part, sort.asset_id) for part in by_merchant}
    holding = [part for part in by_merchant if amounts[key_of(part)] is not None]
    others = [part for part in by_merchant if amounts[key_of(part)] is None]
    holding.sort(key=lambda part: amounts[key_of(part)] or Decimal(0), reverse=sort.descending)
    return holding + others


def _amount(part: Part, asset_id: str) -> Decimal | None:
    row = find_row(part.snapshot.balances, asset_id) if isinstance(part, Known) else None
    return None if row is None else Decimal(row.total)
