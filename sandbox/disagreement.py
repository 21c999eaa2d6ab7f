"""Disagreement of the aggregate with the sum of its merchants. No I/O."""

from typing import Literal

import msgspec

from sandbox.accounts import Account, Row

Order = Literal["seen", "reversed", "by-name"]


class Disagreement(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Change what the aggregate says; by default nothing. Discrepancies of amounts come besides.

    `missing` assets are left out, `extra` rows added, as given. `renamed` assets have other names, by asset id.
    """

    missing: frozenset[str] = frozenset()
    extra: tuple[dict[str, object], ...] = ()
    renamed: dict[str, str] = {}
    can_deposit: bool | None = None
    order: Order = "seen"

    def apply(self, aggregate: Account) -> Account:
        """Return the aggregate that is sent instead of the true one."""
        rows = [self._rename(row) for row in aggregate.balances if str(row["assetId"]) not in self.missing]
        rows += self.extra
        match self.order:
            case "reversed":
                rows.reverse()
            case "by-name":
                rows.sort(key=lambda row: str(row.get("assetName")))
            case "seen":
                pass
        can_deposit = aggregate.can_deposit if self.can_deposit is None else self.can_deposit
        return Account(can_deposit=can_deposit, balances=tuple(rows))

    def _rename(self, row: Row) -> Row:
        name = self.renamed.get(str(row["assetId"]))
        return row if name is None else {**row, "asset": name, "assetName": name}


NONE = Disagreement()
