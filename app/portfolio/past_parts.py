"""Past parts: what is known of many merchants at one moment, and the exact sum of that."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from app.accounts import Unavailable
from app.balances.snapshots import AccountId, Snapshot
from app.balances.totals import Total, Totals
from app.errors import HistoryGone, NoHistory, UnknownMerchant
from app.history.past import Past, PastState

_AT_ONCE: Final = 200


class PastKnown(Struct, frozen=True):
    """The balances of a merchant at a moment, and how certain they are."""

    snapshot: Snapshot
    past: PastState


PastResult = PastKnown | Unavailable
"""What is known of one merchant of many."""


class PastParts(Struct, frozen=True):
    """Every merchant's part by id, the sum of those that are known, and the names that are known now.

    The list of merchants is that of now: `directory_as_of` as in `Parts`.
    """

    parts: Sequence[PastResult]
    totals: tuple[Total, ...]
    names: Mapping[AccountId, str]
    directory_as_of: int | None = None
    is_directory_stale: bool = False

    @property
    def known(self) -> list[PastKnown]:
        """The parts of which something is known."""
        return [part for part in self.parts if isinstance(part, PastKnown)]

    @property
    def is_complete(self) -> bool:
        """Whether the totals were those of all: every part is whole and `seen`, and the directory is not stale."""
        known = self.known
        return (
            len(known) == len(self.parts)
            and not self.is_directory_stale
            and all(part.past.is_seen and part.snapshot.is_whole for part in known)
        )

    def name_of(self, part: PastResult) -> str | None:
        """Return the name of a part's merchant, if it is known."""
        return self.names.get(part.snapshot.account_id if isinstance(part, PastKnown) else part.account_id) or None


async def read_past(
    past: Past, account_ids: Sequence[AccountId], moment: int
) -> tuple[list[PastResult], tuple[Total, ...]]:
    """Read each account at a moment (Unix ms), and sum what is known. Raises `StoreUnavailable`. May be cancelled."""
    parts: list[PastResult] = []
    totals = Totals()
    for start in range(0, len(account_ids), _AT_ONCE):
        found = await asyncio.gather(*(_read(past, one, moment) for one in account_ids[start : start + _AT_ONCE]))
        for part in found:
            if isinstance(part, PastKnown):
                totals.add(part.snapshot)
        parts += found
    return parts, totals.list()


async def _read(past: Past, account_id: AccountId, moment: int) -> PastResult:
    try:
        found = await past.at(account_id, moment)
    except (NoHistory, HistoryGone) as error:
        return Unavailable(account_id, error)
    if found.state.content is None:
        return Unavailable(account_id, UnknownMerchant("The upstream knew no such merchant then."))
    return PastKnown(found.state.content.as_of(account_id, found.state.since), found)
