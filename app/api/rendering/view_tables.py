"""Views as tables: columns and rows, one function for each view."""

from codecs import BOM_UTF8
from collections.abc import Iterable, Sequence
from typing import Final, assert_never

import msgspec
from msgspec import UNSET, UnsetType

from app.api.rendering.past_tables import PastTabular, to_past_table
from app.api.rendering.table_cells import (
    AMOUNTS,
    ASSET,
    MERCHANT,
    amount_cells,
    asset_cells,
    balance_rows,
    columns,
    directory_note,
    next_page_note,
    text_of,
)
from app.api.rendering.tables import ColumnKind, Table, render_csv, render_text
from app.api.requests.formats import Format
from app.api.views.batch import BatchView
from app.api.views.history import ChangesView, FeedView, PastView
from app.api.views.merchants import MerchantsView
from app.api.views.parts import PartView
from app.api.views.past_breakdown import PastBreakdownView
from app.api.views.portfolio import BreakdownView, FindingView, HoldersView, HolderView, ReconciliationView, SweepView

PresentTabular = PartView | BatchView | BreakdownView | HoldersView | MerchantsView | ReconciliationView
Tabular = PresentTabular | PastTabular

_PLAIN, _NAME, _NUMBER = ColumnKind


_AGE: Final = columns(_PLAIN, "status", "asOf")
_PART: Final = {**_AGE, "canDeposit": _PLAIN, **ASSET, **columns(_PLAIN, "anomalies", "problem")}
_WHOLE: Final = {**columns(_NUMBER, "merchants", "unavailable"), "directoryAsOf": _PLAIN}
_NO_WHOLE: Final = ("",) * len(_WHOLE)
_HOLDER: Final = {**MERCHANT, **_AGE, "assetId": _NAME, **AMOUNTS, "share": _NUMBER, "noShares": _PLAIN}
_SUMS: Final = ("aggregate", "sum", "partialSum", "difference")
_FINDING: Final = {
    **columns(_PLAIN, "state", "finishedAt"),
    "assetId": _NAME,
    "verdict": _PLAIN,
    **columns(
        _NUMBER, *(f"{name}{amount.capitalize()}" for name in _SUMS for amount in AMOUNTS), "merchants", "missing"
    ),
    "detail": _PLAIN,
}
_NAMED: Final = 20


def write(view: Tabular, output_format: Format) -> bytes:
    """Encode a view."""
    match output_format:
        case Format.JSON:
            return msgspec.json.encode(view)
        case Format.TEXT:
            return render_text(_to_table(view))
        case Format.CSV:
            return render_csv(_to_table(view))
        case Format.CSV_WITH_BOM:
            return BOM_UTF8 + render_csv(_to_table(view))
        case _:
            assert_never(output_format)


def _to_table(view: Tabular) -> Table:
    if isinstance(view, PastView | PastBreakdownView | ChangesView | FeedView):
        return to_past_table(view)
    return to_table(view)


def to_table(view: PresentTabular) -> Table:
    """Convert a view to a table. An unavailable part has a row of its own, with empty amounts."""
    match view:
        case PartView():
            note = f"as of {text_of(view.as_of)}; {view.status}"
            return Table({"merchantId": _PLAIN, **_PART}, _part_rows(view), note)
        case BatchView():
            rows = [row for part in view.merchants for row in _part_rows(part)]
            return Table({"merchantId": _PLAIN, **_PART}, rows, _note(view, view.merchants))
        case BreakdownView():
            return _breakdown_table(view)
        case HoldersView():
            return _holders_table(view)
        case MerchantsView():
            merchants = [(str(one.merchant_id), text_of(one.merchant_name)) for one in view.merchants]
            notes = [
                f"{len(merchants)} merchants",
                *directory_note(view.directory_as_of, is_stale=view.directory_stale),
                *next_page_note(view.next),
            ]
            return Table(MERCHANT, merchants, "; ".join(notes))
        case ReconciliationView():
            return _reconciliation_table(view)
        case _:
            assert_never(view)


def _part_rows(part: PartView) -> list[tuple[str, ...]]:
    """Return a row for each asset, or one row without an asset for a merchant that has none or is unavailable."""
    about = (str(part.merchant_id), part.status, text_of(part.as_of), text_of(part.can_deposit))
    problem = "" if part.problem is UNSET else part.problem.type.rpartition("/")[2]
    return [(*about, *cells, problem) for cells in balance_rows(part.balances or (), part.anomalies or ())]


def _breakdown_table(view: BreakdownView) -> Table:
    """Show a page of the breakdown. The totals follow on the last one, partial if a merchant is missing."""
    parts = view.merchants or ()
    rows = [
        ("merchant", merchant_id, text_of(part.merchant_name), *quota, *_NO_WHOLE)
        for part in parts
        for merchant_id, *quota in _part_rows(part)
    ]
    if view.next is UNSET:
        about, whole = _whole_cells(view)
        rows += [
            (*about, "", *asset_cells(total), "", "", str(total.merchants), *whole)
            for total in view.totals or view.partial_totals or ()
        ]
    return Table({"row": _PLAIN, **MERCHANT, **_PART, **_WHOLE}, rows, _note(view, parts))


def _holders_table(view: HoldersView) -> Table:
    """Show a page of the holders. The total follows on the last one, partial if a merchant is missing."""
    holders = view.holders or ()
    rows = [
        (
            *(
                "holder",
                str(one.merchant_id),
                text_of(one.merchant_name),
                one.status,
                text_of(one.as_of),
                view.asset_id,
            ),
            *(*amount_cells(one), text_of(one.share), "", *_NO_WHOLE),
        )
        for one in holders
    ]
    if view.next is UNSET:
        about, whole = _whole_cells(view)
        total = view.total or view.partial_total
        listed = str(total.merchants if total else 0)
        rows.append((*about, view.asset_id, *amount_cells(total), "", text_of(view.no_shares), listed, *whole))
    return Table({"row": _PLAIN, **_HOLDER, **_WHOLE}, rows, _note(view, holders))


def _whole_cells(view: BreakdownView | HoldersView) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the first and the last cells of a row of totals: its name, status and age; who is missing, and the list's age."""
    coverage = view.coverage
    name = "total" if view.complete else "partial-total"
    status = "stale" if coverage.stale else "fresh" if coverage.fresh else "unavailable"
    about = (name, "", "", status, text_of(view.oldest_as_of))
    return about, (str(coverage.unavailable), text_of(view.directory_as_of))


def _reconciliation_table(view: ReconciliationView) -> Table:
    """Show the findings by asset, or one row with the state of the job before there are any."""
    how = (view.state, text_of(view.finished_at))
    end = (str(view.missing), text_of(view.detail))
    rows = [(*how, *_finding_cells(finding), *end) for finding in view.assets or ()]
    nothing = ("",) * (len(_FINDING) - len(how) - len(end))
    verdicts = [f"{count} {verdict}" for verdict, count in (view.verdicts or {}).items()]
    notes = [f"{view.state}; {view.read} of {view.expected} merchants read, {view.missing} missing"]
    notes += [f"missing: {_name(view.missing_merchants, view.missing)}"] if view.missing else []
    return Table(_FINDING, rows or [(*how, *nothing, *end)], "; ".join([*notes, *verdicts]))


def _finding_cells(finding: FindingView) -> tuple[str, ...]:
    sums = (finding.aggregate, finding.sum, finding.partial_sum, finding.difference)
    amounts = [amount for each in sums for amount in amount_cells(each)]
    return (finding.asset_id, finding.verdict, *amounts, str(finding.merchants))


def _note(view: BatchView | BreakdownView | HoldersView, parts: Iterable[PartView | HolderView]) -> str:
    """Summarise a view of many merchants: its ages, its coverage, what is stale or missing here, and the next page."""
    coverage, parts = view.coverage, list(parts)
    times = dict.fromkeys(time for time in (view.oldest_as_of, view.newest_as_of) if time is not UNSET)
    counts = (
        f"{coverage.fresh} fresh, {coverage.stale} stale, {coverage.unavailable} unavailable of {coverage.expected}"
    )
    notes = [f"as of {' to '.join(times)}"] if times else []
    notes.append(counts)
    notes += [] if isinstance(view, BatchView) else directory_note(view.directory_as_of, is_stale=view.directory_stale)
    for status in ("stale", "unavailable"):
        ids = [part.merchant_id for part in parts if part.status == status]
        notes += [f"{status} here: {_name(ids, len(ids))}"] if ids else []
    if not isinstance(view, BatchView):
        notes += [*_sweep_note(view.sweep), *next_page_note(view.next)]
    return "; ".join(notes)


def _name(merchants: Sequence[int], count: int) -> str:
    """Name the first merchants of so many, and count the rest."""
    named = [str(merchant) for merchant in merchants[:_NAMED]]
    return ", ".join([*named, *([f"and {count - len(named)} more"] if count > len(named) else [])])


def _sweep_note(sweep: SweepView | UnsetType) -> list[str]:
    """Say how long it takes until every merchant is known, and what a round takes."""
    if isinstance(sweep, UnsetType):
        return []
    whole = f"every merchant is known in {sweep.seconds_to_whole} s, " if sweep.seconds_to_whole else ""
    return [f"the sweep is {sweep.state}: {whole}a round takes {sweep.seconds_to_round} s at the whole rate"]
