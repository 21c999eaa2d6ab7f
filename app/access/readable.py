"""Readable accounts: the one place that decides which merchants a question about many shows to a caller."""

from collections.abc import Sequence
from typing import Self

from msgspec import Struct

from app.access.callers import ALL, Caller, authorise
from app.balances.snapshots import AGGREGATE, AccountId


class Readable(Struct, frozen=True):
    """The merchants that a caller reads: `accounts`, or all there are for None. The aggregate is none of them.

    `has` judges by the caller's rights at that moment, so it holds for what comes later, too.
    """

    caller: Caller
    accounts: Sequence[AccountId] | None
    _named: frozenset[AccountId] | None

    @classmethod
    def of(cls, caller: Caller, wanted: Sequence[AccountId] | None) -> Self:
        """Read the merchants that are wanted, all that may be read for None. Raises `Forbidden` for a wanted one."""
        for account_id in wanted or ():
            authorise(caller, account_id)
        if wanted is None and caller.merchants != ALL:
            wanted = sorted(AccountId(one) for one in caller.merchants)
        return cls(caller, wanted, None if wanted is None else frozenset(wanted))

    def has(self, account_id: AccountId) -> bool:
        """Check that the caller reads an account here."""
        if account_id == AGGREGATE or not self.caller.may_read(account_id):
            return False
        return self._named is None or account_id in self._named
