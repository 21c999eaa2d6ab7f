"""World state: which merchant holds what now, and how balances move."""

import time
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from random import Random

from sandbox.accounts import Account, Aggregate, Row
from sandbox.disagreement import NONE, Disagreement
from sandbox.motion import CALM, Motion
from sandbox.truth import Truth

AGGREGATE = 0
"""The merchant id of all merchants of the user together."""


class World:
    """Keep the merchants' accounts and, moved along with each of them, their exact aggregate.

    Moves are drawn from `random`: the same seed and the same calls make the same world. `truth` has its past.
    """

    def __init__(
        self,
        merchants: Mapping[int, Account],
        random: Random,
        disagreement: Disagreement = NONE,
        *,
        motion: Motion = CALM,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.truth = Truth(clock)
        self._random = random
        self._disagreement = disagreement
        self._motion = motion
        self._idle_moves = 0
        self._moved_at = self.truth.now()
        self._before: dict[int, Account] = {}
        self._merchants: dict[int, Account] = {}
        self._sums = Aggregate()
        self._aggregate: Account | None = None
        self._holders: list[int] | None = None
        self.on_move: Callable[[int], None] = lambda _: None  # called with each merchant that moved, or was set
        for merchant_id, account in merchants.items():
            self._replace(merchant_id, account)

    @property
    def merchant_ids(self) -> list[int]:
        """Every merchant there is, in rising order."""
        return sorted(self._merchants)

    def account(self, merchant_id: int) -> Account | None:
        """Return what a merchant (0: all together) holds; None when there is no such merchant."""
        if merchant_id != AGGREGATE:
            return self._merchants.get(merchant_id)
        if self._aggregate is None:
            can_deposit = any(account.can_deposit for account in self._merchants.values())
            self._aggregate = self._disagreement.apply(Account(can_deposit=can_deposit, balances=self._sums.rows()))
            self.truth.note(AGGREGATE, self._aggregate, self._moved_at)
        return self._aggregate

    def set(self, merchant_id: int, balances: Iterable[Row], *, can_deposit: bool = True) -> None:
        """Create or replace a merchant. Its rows are sent as given, consistent or not. Raises `ValueError` for a wrong id."""
        if merchant_id <= AGGREGATE:
            raise ValueError(f"no merchant can have the id {merchant_id}")
        self._replace(merchant_id, Account(can_deposit=can_deposit, balances=tuple(balances)))
        self._holders = None
        self.on_move(merchant_id)

    def delete(self, merchant_id: int) -> None:
        """Forget a merchant; raise KeyError when there is none."""
        self._sums.remove(self._merchants.pop(merchant_id))
        self.truth.note(merchant_id, None)
        self._holders = None
        self._forget_aggregate()

    def move(self, merchant_id: int | None = None) -> int | None:
        """Change a merchant as the scenario has it, or any merchant that has rows; return whose it was.

        By default one row changes. A named merchant without rows gets its first one; raise KeyError when there is none
        of that name. None is returned when nobody has rows. Where a world moves in bursts, a move does nothing or
        changes one merchant many times.
        """
        if merchant_id is None:
            if self._holders is None:
                self._holders = [one for one in self.merchant_ids if self._merchants[one].balances]
            if not self._holders:
                return None
            merchant_id = self._random.choice(self._holders)
        self._idle_moves += 1
        if self._idle_moves >= self._motion.burst:
            self._idle_moves = 0
            for _ in range(self._motion.burst):
                self._change(merchant_id)
            self.on_move(merchant_id)
        return merchant_id

    def disturb(self, asset: str, amount: Decimal) -> None:
        """Let the aggregate of an asset differ from the sum by `amount`; 0 removes the difference."""
        self._sums.disturb(asset, amount)
        self._forget_aggregate()

    def disagree(self, disagreement: Disagreement) -> None:
        """Let the aggregate differ from the sum in other ways than before."""
        self._disagreement = disagreement
        self._forget_aggregate()

    def _change(self, merchant_id: int) -> None:
        account = self._merchants[merchant_id]
        if not account.balances:
            self._holders = None
        self._replace(merchant_id, self._motion.change(account, self._before.get(merchant_id), self._random))

    def _replace(self, merchant_id: int, account: Account) -> None:
        if (before := self._merchants.get(merchant_id)) is not None:
            self._sums.remove(before)
            self._before[merchant_id] = before
        self._sums.add(account)
        self._merchants[merchant_id] = account
        self.truth.note(merchant_id, account)
        self._forget_aggregate()

    def _forget_aggregate(self) -> None:
        self._aggregate, self._moved_at = None, self.truth.now()
