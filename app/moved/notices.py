"""Notices: accounts that moved are marked at every replica, and then chased."""

import asyncio
from collections.abc import Iterable
from typing import Final

from app.balances.snapshots import AGGREGATE, AccountId
from app.cache.moves import Moves
from app.moved.chases import Chases


class Notices:
    """Take notice of moves, from programs of ours and from the upstream."""

    def __init__(self, moves: Moves, chases: Chases) -> None:
        self._moves: Final = moves
        self._chases: Final = chases

    async def take(self, account_ids: Iterable[AccountId]) -> int:
        """Mark accounts, and the aggregate with them, as moved now. Return when that was, in Unix milliseconds.

        It may be repeated. The looks go on after it. Without Redis only this replica marks.
        """
        moved = list(dict.fromkeys([*account_ids, AGGREGATE]))
        marked = await asyncio.gather(*(self._moves.mark(account_id) for account_id in moved))
        for account_id in moved:
            self._chases.start(account_id)
        return min(move.at for move in marked)
