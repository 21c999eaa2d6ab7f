"""The view of a batch: the merchants that a caller named."""

from collections.abc import Sequence
from typing import Self

import msgspec
from msgspec import UNSET, Struct, UnsetType

from app.accounts import AccountResult
from app.api.views.accounts import RowFilter, Time
from app.api.views.parts import Coverage, PartView, as_of_range


class BatchView(Struct, frozen=True, rename="camel", omit_defaults=True):
    """The balances of many merchants, in the order asked for; only if `complete` is every one of them there, with all of its rows."""

    complete: bool
    coverage: Coverage
    oldest_as_of: Time | UnsetType = UNSET
    newest_as_of: Time | UnsetType = UNSET
    merchants: tuple[PartView, ...] = ()

    @classmethod
    def of(cls, parts: Sequence[AccountResult], keep: RowFilter) -> Self:
        """Show parts with the rows to keep."""
        return msgspec.structs.replace(cls.head(parts), merchants=tuple(PartView.of(part, keep) for part in parts))

    @classmethod
    def head(cls, parts: Sequence[AccountResult]) -> Self:
        """Show what holds for all parts, without the parts."""
        coverage = Coverage.of(parts)
        oldest, newest = as_of_range(parts)
        return cls(not (coverage.unavailable or coverage.partial), coverage, oldest, newest)
