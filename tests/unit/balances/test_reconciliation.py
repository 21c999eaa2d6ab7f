import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.balances.amounts import Amount
from app.balances.reconciliation import Finding, Survey, Verdict, needs_another_look, reconcile
from app.balances.snapshots import Snapshot
from app.balances.totals import Totals
from tests.support.amounts import amounts, as_units, make_row, make_snapshot

MATCH, MOVING, MISMATCH, INCOMPLETE = Verdict.MATCH, Verdict.MOVING, Verdict.MISMATCH, Verdict.INCOMPLETE
UNIT = "0.000000000000000001"


def aggregate(amount: str | None) -> Snapshot:
    return make_snapshot("0", [] if amount is None else [make_row("BTC", Amount(amount))])


def make_survey(before: str | None, after: str | None, *merchants: str, missing: int = 0) -> Survey:
    parts = (make_snapshot(str(number), [make_row("BTC", Amount(one))]) for number, one in enumerate(merchants, 1))
    return Survey(aggregate(before), aggregate(after), Totals(parts).list(), missing)


def verdict(*looks: Survey) -> Verdict:
    (finding,) = reconcile(looks)
    return finding.verdict


QUIET = make_survey("3", "3", "1", "2")
OFF = make_survey(f"3{UNIT[1:]}", f"3{UNIT[1:]}", "1", "2")
OFF_OTHERWISE = make_survey("3.5", "3.5", "1", "2")
MOVED = make_survey("3", "4", "1", "2")


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([QUIET], MATCH),
        ([MOVED], MOVING),
        ([make_survey("4", "3", "1", "2")], MOVING),
        ([make_survey("3", "3", "1", missing=1)], INCOMPLETE),
        ([make_survey("1", "1", "1", missing=1)], INCOMPLETE),
        ([make_survey("1", "2", "1", missing=1)], INCOMPLETE),
        ([OFF], MOVING),
        ([OFF, OFF], MISMATCH),
        ([OFF, QUIET], MATCH),
        ([OFF, MOVED], MOVING),
        ([OFF, OFF_OTHERWISE], MOVING),
        ([MOVED, OFF], MOVING),
        ([MOVED, OFF, OFF], MISMATCH),
        ([OFF, MOVED, OFF], MOVING),
        ([make_survey("2", "2", "1", missing=1), make_survey("3", "3", "1", "2")], MATCH),
        ([make_survey("3.5", "3.5", "1", "2", missing=1), OFF_OTHERWISE], MOVING),
        ([OFF, make_survey("4", "4", "1", missing=1)], INCOMPLETE),
    ],
)
def test_the_verdict(looks: list[Survey], expected: Verdict) -> None:
    assert verdict(*looks) is expected


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([QUIET], False),
        ([MOVED], False),
        ([OFF], True),
        ([OFF, OFF], False),
        ([OFF, QUIET], False),
        ([OFF, OFF_OTHERWISE], True),
        ([MOVED, OFF], True),
        ([make_survey("3", "3", "1", missing=1)], False),
    ],
)
def test_a_difference_at_rest_is_read_again_until_it_stands(looks: list[Survey], expected: bool) -> None:
    assert needs_another_look(looks) is expected


@given(st.lists(amounts, min_size=1, max_size=6), amounts)
def test_the_difference_is_exact_and_the_smallest_one_counts(merchants: list[str], aggregate: str) -> None:
    one = make_survey(aggregate, aggregate, *merchants)
    (finding,) = reconcile([one, one])
    difference = as_units(aggregate) - sum(map(as_units, merchants))
    assert as_units(finding.difference.total) == difference
    assert finding.verdict is (MISMATCH if difference else MATCH)


@pytest.mark.parametrize("field", ["total", "free", "locked"])
def test_each_of_the_three_amounts_counts(field: str) -> None:
    amounts = {"free": "1", "locked": "1", "total": "1"}
    merchant = make_row("BTC", *(Amount(amounts[name]) for name in ("free", "locked", "total")))
    amounts[field] = "2"
    row = make_row("BTC", *(Amount(amounts[name]) for name in ("free", "locked", "total")))
    one = Survey(
        make_snapshot("0", [row]), make_snapshot("0", [row]), Totals([make_snapshot("1", [merchant])]).list(), 0
    )
    assert verdict(one, one) is MISMATCH


def test_an_asset_that_only_one_side_lists_is_reported_as_such() -> None:
    only_merchants, only_aggregate = make_survey(None, None, "0.5"), make_survey("0.5", "0.5")
    (one,), (other,) = reconcile([only_merchants] * 2), reconcile([only_aggregate] * 2)
    assert (one.verdict, one.difference.free, bool(one.aggregate)) == (MISMATCH, "-0.5", False)
    assert (other.verdict, other.difference.free, bool(other.sum)) == (MISMATCH, "0.5", False)
    assert verdict(make_survey(None, None, "0")) is MATCH


def test_an_aggregate_that_begins_to_list_an_asset_is_moving() -> None:
    assert verdict(make_survey(None, "0", "0")) is MOVING


def test_assets_are_judged_each_by_itself_and_listed_in_order() -> None:
    rows = [make_row("USDT", Amount("1")), make_row("BTC", Amount("1"))]
    quiet = make_snapshot("0", rows)
    moved = make_snapshot("0", [rows[0], make_row("BTC", Amount("2"))])
    found: tuple[Finding, ...] = reconcile([Survey(quiet, moved, Totals([make_snapshot("1", rows)]).list(), 0)])
    assert [(one.asset_id, one.verdict) for one in found] == [("BTC", MOVING), ("USDT", MATCH)]
