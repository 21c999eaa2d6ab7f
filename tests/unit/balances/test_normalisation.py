import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.balances.normalisation import normalise, unknown_fields
from app.balances.snapshots import AGGREGATE, Absence, AccountId, Anomaly, AnomalyKind, Entry, Row, Snapshot
from app.errors import MalformedAnswer, UnknownAsset

EXAMPLES = Path(__file__).parents[2] / "sandbox" / "examples"
AMOUNTS = ("total", "free", "locked")


def _row(asset: str = "USDT", total: object = "3", free: object = "2", locked: object = "1") -> dict[str, Any]:
    return {"asset": asset, "assetId": asset, "assetName": asset, "total": total, "free": free, "locked": locked}


def _normalise(*rows: dict[str, Any]) -> Snapshot:
    return normalise(AccountId("7"), {"canDeposit": True, "balances": list(rows)}, 5)


def test_the_document_is_read_to_the_letter() -> None:
    merchant = json.loads((EXAMPLES / "merchant-12345.json").read_text())["data"]
    assert normalise(AccountId("12345"), merchant, 17) == Snapshot(
        account_id=AccountId("12345"),
        as_of=17,
        can_deposit=True,
        balances=(
            Row(asset_id="BTC", asset="BTC", asset_name="BTC", total="0.5", free="0.3", locked="0.2"),  # type: ignore[arg-type]
            Row(asset_id="USDT", asset="USDT", asset_name="USDT", total="1000", free="800", locked="200"),  # type: ignore[arg-type]
        ),
    )
    aggregate = json.loads((EXAMPLES / "aggregate.json").read_text())["data"]
    assert [row.total for row in normalise(AGGREGATE, aggregate, 17).balances] == ["2", "5000"]


def test_rows_come_sorted_by_asset() -> None:
    assert [row.asset_id for row in _normalise(_row("b"), _row("a"), _row("C")).balances] == ["C", "a", "b"]


def test_doubled_rows_are_added_up_and_counted() -> None:
    snapshot = _normalise(_row(total="3"), _row("BTC"), _row(total="0.5", free="0.3", locked="0.2"))
    assert [(row.asset_id, row.total, row.free, row.locked) for row in snapshot.balances] == [
        ("BTC", "3", "2", "1"),
        ("USDT", "3.5", "2.3", "1.2"),
    ]
    assert snapshot.anomalies == (Anomaly(asset_id="USDT", kind=AnomalyKind.DUPLICATE_ASSET, rows=2),)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (_row(total="3.000000000000000001"), AnomalyKind.TOTAL_MISMATCH),
        (_row(total="3", free="3", locked="1"), AnomalyKind.TOTAL_MISMATCH),
        (_row(total="3", free="2", locked="0"), AnomalyKind.TOTAL_MISMATCH),
        (_row(total="-3", free="-3", locked="0"), AnomalyKind.NEGATIVE_AMOUNT),
        (_row(total="1", free="2", locked="-1"), AnomalyKind.NEGATIVE_AMOUNT),
        (_row(total="1", free="-1", locked="2"), AnomalyKind.NEGATIVE_AMOUNT),
    ],
)
def test_an_anomaly_is_flagged_and_not_corrected(row: dict[str, Any], kind: AnomalyKind) -> None:
    snapshot = _normalise(row)
    assert snapshot.anomalies == (Anomaly(asset_id="USDT", kind=kind),)
    assert [getattr(snapshot.balances[0], field) for field in AMOUNTS] == [row[field] for field in AMOUNTS]


def test_a_negative_total_is_flagged_besides_what_it_is_not() -> None:
    kinds = [anomaly.kind for anomaly in _normalise(_row(total="-3")).anomalies]
    assert kinds == [AnomalyKind.NEGATIVE_AMOUNT, AnomalyKind.TOTAL_MISMATCH]


def test_anomalies_that_cancel_out_in_a_doubled_asset_are_still_flagged() -> None:
    snapshot = _normalise(_row(total="4"), _row(total="2"), _row(total="-1", free="-1", locked="0"))
    assert {anomaly.kind for anomaly in snapshot.anomalies} == set(AnomalyKind) - {AnomalyKind.UNREADABLE_ASSET}


def test_a_row_with_nothing_odd_hides_no_anomaly_of_its_double() -> None:
    snapshot = _normalise(_row(total="1", free="1", locked="0"), _row(total="-1", free="0", locked="0"))
    assert {anomaly.kind for anomaly in snapshot.anomalies} == set(AnomalyKind) - {AnomalyKind.UNREADABLE_ASSET}


def test_equal_names_share_their_memory() -> None:
    (one,), (other,) = (_normalise(json.loads(json.dumps(_row("Some coin")))).balances for _ in range(2))
    assert one.asset_id is other.asset_id is one.asset is one.asset_name


@pytest.mark.parametrize("value", [None, True, 1.5, 1e3, "", "NaN", "1_000", " 1", [], {}, "1e99"])
@pytest.mark.parametrize("field", AMOUNTS)
def test_an_amount_that_is_none_makes_the_whole_answer_malformed_and_is_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"\$\.balances\[1\]\.{field}"):
        _normalise(_row("BTC"), _row() | {field: value})


@pytest.mark.parametrize("name", ["asset", "assetName"])
@pytest.mark.parametrize("value", [None, 5, "\ud800", "a" * 257, ["x"]])
def test_a_row_with_a_name_that_is_no_text_is_left_out_and_reported(name: str, value: object) -> None:
    snapshot = _normalise(_row("BTC"), _row() | {name: value}, _row("ü"))
    assert [row.asset_id for row in snapshot.balances] == ["BTC", "ü"]
    assert snapshot.anomalies == (Anomaly(asset_id="USDT", kind=AnomalyKind.UNREADABLE_ASSET, rows=1),)
    assert not snapshot.is_whole
    assert (snapshot.lacks("USDT"), snapshot.lacks("BTC")) == (True, False)
    with pytest.raises(MalformedAnswer):
        snapshot.row("USDT")
    with pytest.raises(UnknownAsset):
        snapshot.row("ETH")


@pytest.mark.parametrize("value", [None, 5, "\ud800", "", "a" * 257])
def test_rows_whose_id_is_unreadable_are_counted_without_one(value: object) -> None:
    rows = [_row("BTC"), _row() | {"assetId": value}, _row() | {"assetId": value, "asset": None}]
    snapshot = _normalise(*rows)
    assert [row.asset_id for row in snapshot.balances] == ["BTC"]
    assert snapshot.anomalies == (Anomaly(kind=AnomalyKind.UNREADABLE_ASSET, rows=2),)


@pytest.mark.parametrize(
    "name", ["ibc/27394FB092D2ECCD56123C74F36E4C1F926001CEADA9CA97EA622B25F41E5EB2A", "a" * 256, "\n", "%", " "]
)
def test_a_long_or_odd_name_is_a_name(name: str) -> None:
    snapshot = _normalise(_row(name))
    assert ([row.asset_id for row in snapshot.balances], snapshot.anomalies) == ([name], ())
    assert snapshot.is_whole


@pytest.mark.parametrize("name", ["asset", "assetId", "assetName"])
def test_a_name_that_is_missing_makes_the_whole_answer_malformed(name: str) -> None:
    row = _row()
    del row[name]
    with pytest.raises(ValueError, match=rf"`{name}` - at `\$\.balances\[1\]`"):
        _normalise(_row("BTC"), row)


@pytest.mark.parametrize("field", AMOUNTS)
def test_a_bad_amount_makes_the_answer_malformed_also_in_a_row_without_a_name(field: str) -> None:
    for bad in (None, "NaN"):
        with pytest.raises(ValueError, match=rf"\$\.balances\[1\]\.{field}"):
            _normalise(_row("BTC"), _row() | {"assetId": None, field: bad})


def test_what_is_wrong_is_named_without_its_value() -> None:
    with pytest.raises(ValueError, match="balances") as caught:
        _normalise(_row(total="secret-777"))
    assert "777" not in str(caught.value)


def test_unknown_fields_pass_and_are_counted() -> None:
    data = {"canDeposit": True, "balances": [_row() | {"frozen": "1"}, _row() | {"fee": "2"}], "note": 1}
    assert normalise(AccountId("7"), data, 5).balances
    assert unknown_fields(data) == {"note", "frozen", "fee"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
)
odd_rows = st.fixed_dictionaries(
    {name: st.sampled_from(["USDT", "BTC", ""]) | json_values for name in ("asset", "assetId", "assetName")}
    | {name: st.sampled_from(["1", "0E-8", "-2.50"]) | json_values for name in AMOUNTS}
)
odd_accounts = st.fixed_dictionaries(
    {"canDeposit": st.booleans() | json_values, "balances": st.lists(odd_rows, max_size=4) | json_values}
)


@given(odd_accounts | json_values)
def test_nothing_that_is_sent_gives_anything_but_a_snapshot_or_a_value_error(data: object) -> None:
    unknown_fields(data)
    try:
        snapshot = normalise(AccountId("7"), data, 5)
    except ValueError:
        return
    stored = msgspec.json.encode(snapshot)
    assert msgspec.json.decode(stored, type=Entry) == snapshot
    ids = [row.asset_id for row in snapshot.balances]
    assert ids == sorted(set(ids))


def test_an_absence_is_stored_and_read_back() -> None:
    absence = Absence(AccountId("7"), 5)
    assert msgspec.json.decode(msgspec.json.encode(absence), type=Entry) == absence
