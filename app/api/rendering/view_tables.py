"""Views as tables: columns and rows, one function for each view."""

from codecs import BOM_UTF8
from collections.abc import Iterable, Sequence
from typing import Final, assert_never

import msgspec
from msgspec import UNSET, UnsetType

from app.api.rendering.tables import ColumnKind, Table, render_csv, render_text
from app.api.requests.formats import Format
from app.api.views.batch import BatchView
from app.api.views.merchants import MerchantsView
from app.api.views.parts import PartView
from app.api.views.portfolio import BreakdownView, FindingView, HoldersView, HolderView, ReconciliationView, SweepView
from app.balances.reconciliation import Sums
from app.balances.snapshots import AnomalyKind, Row
from app.balances.totals import Total

Tabular = PartView | BatchView | BreakdownView | HoldersView | MerchantsView | ReconciliationView

_PLAIN, _NAME, _NUMBER = ColumnKind


def _columns(kind: ColumnKind, *names: str) -> dict[str, ColumnKind]:
    return dict.fromkeys(names, kind)


_AMOUNTS: Final = _columns(_NUMBER, "total", "free", "locked")
_ASSET: Final = {**_columns(_NAME, "assetId", "asset", "assetName"), **_AMOUNTS}
_AGE: Final = _columns(_PLAIN, "status", "asOf")
_PART: Final = {**_AGE, "canDeposit": _PLAIN, **_ASSET, **_columns(_PLAIN, "anomalies", "problem")}
_MERCHANT: Final = {"merchantId": _PLAIN, "merchantName": _NAME}
_WHOLE: Final = {**_columns(_NUMBER, "merchants", "unavailable"), "directoryAsOf": _PLAIN}
_NO_WHOLE: Final = ("",) * len(_WHOLE)
_HOLDER: Final = {**_MERCHANT, **_AGE, "assetId": _NAME, **_AMOUNTS, "share": _NUMBER, "noShares": _PLAIN}
_SUMS: Final = ("aggregate", "sum", "partialSum", "difference")
_FINDING: Final = {
    **_columns(_PLAIN, "state", "finishedAt"),
    "assetId": _NAME,
    "verdict": _PLAIN,
    **_columns(
        _NUMBER, *(f"{name}{amount.capitalize()}" for name in _SUMS for amount in _AMOUNTS), "merchants", "missing"
    ),
    "detail": _PLAIN,
}
_NO_ASSET: Final = ("",) * len(_ASSET)
_NO_AMOUNTS: Final = ("",) * len(_AMOUNTS)
_NAMED: Final = 20


def write(view: Tabular, output_format: Format) -> bytes:
    """Encode a view."""
    match output_format:
        case Format.JSON:
            return msgspec.json.encode(view)
        case Format.TEXT:
            return render_text(to_table(view))
        case Format.CSV:
            return render_csv(to_table(view))
        case Format.CSV_WITH_BOM:
            return BOM_UTF8 + render_csv(to_table(view))
        case _:
            assert_never(output_format)


def to_table(view: Tabular) -> Table:
    """Convert a view to a table. An unavailable part has a row of its own, with empty amounts."""
    match view:
        case PartView():
            note = f"as of {_text(view.as_of)}; {view.status}"
            return Table({"merchantId": _PLAIN, **_PART}, _part_rows(view), note)
        case BatchView():
            rows = [row for part in view.merchants for row in _part_rows(part)]
            return Table({"merchantId": _PLAIN, **_PART}, rows, _note(view, view.merchants))
        case BreakdownView():
            return _breakdown_table(view)
        case HoldersView():
            return _holders_table(view)
        case MerchantsView():
            merchants = [(str(one.merchant_id), _text(one.merchant_name)) for one in view.merchants]
            notes = [f"{len(merchants)} merchants", *_directory_note(view), *_next_page_note(view.next)]
            return Table(_MERCHANT, merchants, "; ".join(notes))
        case ReconciliationView():
            return _reconciliation_table(view)
        case _:
            assert_never(view)


def _part_rows(part: PartView) -> list[tuple[str, ...]]:
    """Return a row for each asset, or one row without an asset for a merchant that has none or is unavailable."""
    about = (str(part.merchant_id), part.status, _text(part.as_of), _text(part.can_deposit))
    problem = "" if part.problem is UNSET else part.problem.type.rpartition("/")[2]
    odd: dict[str, str] = {}
    unreadable: list[str] = []
    for anomaly in part.anomalies or ():
        asset_id = anomaly.asset_id or ""
        if anomaly.kind is AnomalyKind.UNREADABLE_ASSET:
            unreadable.append(asset_id)
        else:
            odd[asset_id] = f"{odd.get(asset_id, '')} {anomaly.kind}".lstrip()
    assets = [(*_asset_cells(row), odd.get(row.asset_id, "")) for row in part.balances or ()]
    assets += [(asset_id, *_NO_ASSET[1:], AnomalyKind.UNREADABLE_ASSET) for asset_id in unreadable]
    return [(*about, *asset, problem) for asset in assets or [(*_NO_ASSET, "")]]


def _asset_cells(row: Row | Total) -> tuple[str, ...]:
    return (row.asset_id, row.asset, row.asset_name, *_amount_cells(row))


def _amount_cells(amounts: Row | Total | HolderView | Sums | UnsetType) -> tuple[str, ...]:
    return _NO_AMOUNTS if isinstance(amounts, UnsetType) else (amounts.total, amounts.free, amounts.locked)


def _breakdown_table(view: BreakdownView) -> Table:
    """Show a page of the breakdown. The totals follow on the last one, partial if a merchant is missing."""
    parts = view.merchants or ()
    rows = [
        ("merchant", merchant_id, _text(part.merchant_name), *quota, *_NO_WHOLE)
        for part in parts
        for merchant_id, *quota in _part_rows(part)
    ]
    if view.next is UNSET:
        about, whole = _whole_cells(view)
        rows += [
            (*about, "", *_asset_cells(total), "", "", str(total.merchants), *whole)
            for total in view.totals or view.partial_totals or ()
        ]
    return Table({"row": _PLAIN, **_MERCHANT, **_PART, **_WHOLE}, rows, _note(view, parts))


def _holders_table(view: HoldersView) -> Table:
    """Show a page of the holders. The total follows on the last one, partial if a merchant is missing."""
    holders = view.holders or ()
    rows = [
        (
            *("holder", str(one.merchant_id), _text(one.merchant_name), one.status, _text(one.as_of), view.asset_id),
            *(*_amount_cells(one), _text(one.share), "", *_NO_WHOLE),
        )
        for one in holders
    ]
    if view.next is UNSET:
        about, whole = _whole_cells(view)
        total = view.total or view.partial_total
        listed = str(total.merchants if total else 0)
        rows.append((*about, view.asset_id, *_amount_cells(total), "", _text(view.no_shares), listed, *whole))
    return Table({"row": _PLAIN, **_HOLDER, **_WHOLE}, rows, _note(view, holders))


def _whole_cells(view: BreakdownView | HoldersView) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the first and the last cells of a row of totals: its name, status and age; who is missing, and the list's age."""
    coverage = view.coverage
    name = "total" if view.complete else "partial-total"
    status = "stale" if coverage.stale else "fresh" if coverage.fresh else "unavailable"
    about = (name, "", "", status, _text(view.oldest_as_of))
    return about, (str(coverage.unavailable), _text(view.directory_as_of))


def _reconciliation_table(view: ReconciliationView) -> Table:
    """Show the findings by asset, or one row with the state of the job before there are any."""
    how = (view.state, _text(view.finished_at))
    end = (str(view.missing), _text(view.detail))
    rows = [(*how, *_finding_cells(finding), *end) for finding in view.assets or ()]
    nothing = ("",) * (len(_FINDING) - len(how) - len(end))
    verdicts = [f"{count} {verdict}" for verdict, count in (view.verdicts or {}).items()]
    notes = [f"{view.state}; {view.read} of {view.expected} merchants read, {view.missing} missing"]
    notes += [f"missing: {_name(view.missing_merchants, view.missing)}"] if view.missing else []
    return Table(_FINDING, rows or [(*how, *nothing, *end)], "; ".join([*notes, *verdicts]))


def _finding_cells(finding: FindingView) -> tuple[str, ...]:
    sums = (finding.aggregate, finding.sum, finding.partial_sum, finding.difference)
    amounts = [amount for each in sums for amount in _amount_cells(each)]
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
    notes += [] if isinstance(view, BatchView) else _directory_note(view)
    for status in ("stale", "unavailable"):
        ids = [part.merchant_id for part in parts if part.status == status]
        notes += [f"{status} here: {_name(ids, len(ids))}"] if ids else []
    if not isinstance(view, BatchView):
        notes += [*_sweep_note(view.sweep), *_next_page_note(view.next)]
    return "; ".join(notes)


def _name(merchants: Sequence[int], count: int) -> str:
    """Name the first merchants of so many, and count the rest."""
    named = [str(merchant) for merchant in merchants[:_NAMED]]
    return ", ".join([*named, *([f"and {count - len(named)} more"] if count > len(named) else [])])


def _directory_note(view: BreakdownView | HoldersView | MerchantsView) -> list[str]:
    """State the age of the directory, and whether merchants may be missing from it."""
    if isinstance(view.directory_as_of, UnsetType):
        return []
    doubt = ", and is stale: merchants may be missing" if view.directory_stale else ""
    return [f"the directory is as of {view.directory_as_of}{doubt}"]


def _sweep_note(sweep: SweepView | UnsetType) -> list[str]:
    """Say how long it takes until every merchant is known, and what a round takes."""
    if isinstance(sweep, UnsetType):
        return []
    whole = f"every merchant is known in {sweep.seconds_to_whole} s, " if sweep.seconds_to_whole else ""
    return [f"the sweep is {sweep.state}: {whole}a round takes {sweep.seconds_to_round} s at the whole rate"]


def _next_page_note(after: str | UnsetType) -> list[str]:
    return [] if isinstance(after, UnsetType) else [f"more with after={after}"]


def _text(value: str | bool | UnsetType) -> str:  # noqa: FBT001  # it is a value to show, not a switch
    match value:
        case UnsetType():
            return ""
        case bool():
            return str(value).lower()
        case _:
            return value
