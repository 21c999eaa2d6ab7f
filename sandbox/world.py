"""World state: which merchant holds what now, and how balances move."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from random import Random

from sandbox.accounts import Account, Aggregate, Row, row, texts
from sandbox.amounts import awkward
from sandbox.disagreement import NONE, Disagreement

AGGREGATE = 0
"""The merchant id of all merchants of the user together."""


class World:
    """Keep the merchants' accounts and, moved along with each of them, their exact aggregate.

    Moves are drawn from `random`: the same seed and the same calls make the same world.
    """

    def __init__(self, merchants: Mapping[int, Account], random: Random, disagreement: Disagreement = NONE) -> None:
        self._random = random
        self._disagreement = disagreement
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
        self._aggregate = self._holders = None

    def move(self, merchant_id: int | None = None) -> int | None:
        """Change one row of a merchant, or of any merchant that has rows; return whose it was.

        A named merchant without rows gets its first one; raise KeyError when there is none of that name. None is
        returned when nobody has rows.
        """
        if merchant_id is None:
            if self._holders is None:
                self._holders = [one for one in self.merchant_ids if self._merchants[one].balances]
            if not self._holders:
                return None
            merchant_id = self._random.choice(self._holders)
        self._replace(merchant_id, self._moved(self._merchants[merchant_id]))
        self.on_move(merchant_id)
        return merchant_id

    def disturb(self, asset: str, amount: Decimal) -> None:
        """Let the aggregate of an asset differ from the sum by `amount`; 0 removes the difference."""
        self._sums.disturb(asset, amount)
        self._aggregate = None

    def disagree(self, disagreement: Disagreement) -> None:
        """Let the aggregate differ from the sum in other ways than before."""
        self._disagreement = disagreement
        self._aggregate = None

    def _moved(self, account: Account) -> Account:
        if not account.balances:
            self._holders = None
            first = row("USDT", "USDT", awkward(self._random), awkward(self._random))
            return Account(can_deposit=account.can_deposit, balances=(first,))
        place = self._random.randrange(len(account.balances))
        old = new = account.balances[place]
        while new == old:
            new = {**old, **texts(awkward(self._random), awkward(self._random))}
        rows = (*account.balances[:place], new, *account.balances[place + 1 :])
        return Account(can_deposit=account.can_deposit, balances=rows)

    def _replace(self, merchant_id: int, account: Account) -> None:
        if (before := self._merchants.get(merchant_id)) is not None:
            self._sums.remove(before)
        self._sums.add(account)
        self._merchants[merchant_id] = account
        self._aggregate = None
