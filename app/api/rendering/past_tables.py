"""Past views as tables. A last row, `page`, has what holds for the whole answer, so that a CSV lacks nothing."""

from collections.abc import Sequence
from typing import Final, assert_never

from msgspec import UNSET, UnsetType

from app.api.rendering.table_cells import (
    AMOUNTS,
    ASSET,
    MERCHANT,
    NO_AMOUNTS,
    amount_cells,
    asset_cells,
    balance_rows,
    columns,
    directory_note,
    next_page_note,
    text_of,
)
from app.api.rendering.tables import ColumnKind, Table
from app.api.views.history import ChangesView, ChangeView, FeedView, Holds, PastView
from app.api.views.past_breakdown import PastBreakdownView, PastPartView

PastTabular = PastView | PastBreakdownView | ChangesView | FeedView

_PLAIN, _NAME, _NUMBER = ColumnKind
_CERTAINTY: Final = {
    **columns(_PLAIN, "at", "certainty", "asOf", "confirmedUntil", "changedBy"),
    **columns(_NUMBER, "looks", "longestGapSeconds", "sequence"),
    **columns(_PLAIN, "epoch", "canDeposit"),
    **ASSET,
    "anomalies": _PLAIN,
}
_CHANGE: Final = {
    "row": _PLAIN,
    "merchantId": _PLAIN,
    "epoch": _PLAIN,
    "sequence": _NUMBER,
    **columns(_PLAIN, "after", "until", "first", "canDepositBefore", "canDepositAfter", "absent"),
    **columns(_NAME, "assetId", "asset", "assetName"),
    **columns(_NUMBER, *(f"{name}{when}" for when in ("Before", "After", "Change") for name in AMOUNTS)),
    **columns(_PLAIN, "keptFrom", "complete", "next"),
}
_END: Final = ("", "", "")
_NO_ROW: Final = ("",) * 3 + NO_AMOUNTS * 3


def to_past_table(view: PastTabular) -> Table:
    """Convert a view of the past to a table."""
    match view:
        case PastView():
            rows = _certainty_rows(view, view.at)
            return Table({"merchantId": _PLAIN, **_CERTAINTY}, rows, f"at {view.at}; {view.certainty}")
        case PastBreakdownView():
            return _breakdown_table(view)
        case ChangesView():
            found = [row for change in view.changes for row in _change_rows(change, view.merchant_id, view.epoch)]
            return _changes_table(found, len(view.changes), (str(view.merchant_id), view), view.next)
        case FeedView():
            found = [
                row
                for change in view.changes
                for row in _change_rows(change, change.merchant_id or 0, change.epoch or "")
            ]
            return _changes_table(found, len(view.changes), ("", view), view.next)
        case _:
            assert_never(view)


def _certainty_rows(view: PastView | PastPartView, at: str) -> list[tuple[str, ...]]:
    """Return a row for each asset, or one without an asset."""
    holds: Holds = {} if isinstance(view.holds, UnsetType) else view.holds
    looks = ("", "", "")
    if not isinstance(view.looks, UnsetType):
        looks = (str(view.looks), str(view.longest_gap_seconds), str(view.sequence))
    about = (
        *(str(view.merchant_id), at, view.certainty, text_of(view.as_of)),
        *(holds.get("confirmedUntil", ""), holds.get("changedBy", "")),
        *(*looks, text_of(view.epoch), text_of(view.can_deposit)),
    )
    return [(*about, *cells) for cells in balance_rows(view.balances or (), view.anomalies or ())]


def _breakdown_table(view: PastBreakdownView) -> Table:
    """Show a page of the breakdown. The totals follow on the last one: partial unless all is `seen`."""
    rows = [
        ("merchant", merchant_id, text_of(part.merchant_name), *cells, _problem(part), "")
        for part in view.merchants or ()
        for merchant_id, *cells in _certainty_rows(part, view.at)
    ]
    empty = ("",) * (len(_CERTAINTY) - len(ASSET) - 2)
    name = "total" if view.complete else "partial-total"
    if view.next is UNSET:
        rows += [
            (name, "", "", view.at, *empty, *asset_cells(total), "", "", str(total.merchants))
            for total in view.totals or view.partial_totals or ()
        ]
    found = view.coverage
    counts = f"{found.seen} seen, {found.between} between, {found.unavailable} unavailable of {found.expected}"
    notes = [f"at {view.at}", counts, *directory_note(view.directory_as_of, is_stale=view.directory_stale)]
    table = {"row": _PLAIN, **MERCHANT, **_CERTAINTY, "problem": _PLAIN, "merchants": _NUMBER}
    return Table(table, rows, "; ".join([*notes, *next_page_note(view.next)]))


def _problem(part: PastPartView) -> str:
    return "" if isinstance(part.problem, UnsetType) else part.problem.type.rpartition("/")[2]


def _changes_table(
    rows: Sequence[tuple[str, ...]], count: int, of: tuple[str, ChangesView | FeedView], after: str | UnsetType
) -> Table:
    merchant_id, view = of
    complete = text_of(view.complete) if isinstance(view, FeedView) else ""
    page = ("page", merchant_id, view.epoch, "", *("",) * 6, *_NO_ROW, view.kept_from, complete, text_of(after))
    notes = [f"{count} changes", f"kept from {view.kept_from}"]
    if isinstance(view, FeedView):
        notes.append(f"go on with after={view.next}")  # a feed has no last page
    else:
        notes += next_page_note(after)
    return Table(_CHANGE, [*rows, page], "; ".join(notes))


def _change_rows(change: ChangeView, merchant_id: int, epoch: str) -> list[tuple[str, ...]]:
    """Return a row for each asset that changed, or one without an asset."""
    between = change.observed_between
    about = (
        *("change", str(merchant_id), epoch, str(change.sequence), text_of(between.after), between.until),
        *map(text_of, (change.first, change.can_deposit_before, change.can_deposit_after, change.absent)),
    )
    rows = [
        (row.asset_id, row.asset, row.asset_name, *(cell for each in states for cell in amount_cells(each)))
        for row in change.rows
        for states in [(row.before, row.after, row.change)]
    ]
    return [(*about, *cells, *_END) for cells in rows or [_NO_ROW]]
