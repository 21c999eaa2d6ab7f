"""The short way of a plain answer gives what the long way gives, and takes nothing that the long way would not."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.balances.normalisation import normalise, normalise_plain, unknown_fields
from app.balances.snapshots import AccountId, Row, Snapshot
from app.errors import TallygateError
from app.upstream.envelope import UpstreamResponse, parse_envelope, read_plain

KEY = AccountId("7")
ROW = {"asset": "B", "assetId": "B", "assetName": "B", "total": "3.50", "free": "3.5", "locked": "0E-8"}
ANSWER = {"code": 200, "msg": "SUCCESS", "data": {"canDeposit": True, "balances": [ROW]}}


def _short(response: UpstreamResponse) -> Snapshot | str | None:
    account = read_plain(response)
    try:
        return None if account is None else normalise_plain(KEY, account, 5)
    except ValueError as error:
        return str(error)


def _long(response: UpstreamResponse) -> tuple[Snapshot | str | None, frozenset[str]]:
    try:
        data = parse_envelope(response, 0)
    except TallygateError:
        return None, frozenset()
    try:
        return normalise(KEY, data, 5), unknown_fields(data)
    except ValueError as error:
        return str(error), unknown_fields(data)


def _agree(response: UpstreamResponse) -> bool:
    short = _short(response)
    assert short is None or _long(response) == (short, frozenset())
    return short is not None


amounts = st.sampled_from(
    [
        "0",
        "1",
        "-1",
        "0E-8",
        "0E-30",
        "1.50",
        "12.0",
        "0.3",
        "-0",
        "00",
        "1E-8",
        "9" * 30,
        "9" * 31,
        "0." + "1" * 31,
        "",
    ]
) | st.decimals(-(10**20), 10**20, places=8).map(str)
names = st.sampled_from(["BTC", "USDT", "", "ü", "a\nb", "a" * 257]) | st.text(max_size=3)
rows = st.fixed_dictionaries(
    dict.fromkeys(("asset", "assetId", "assetName"), names) | dict.fromkeys(("total", "free", "locked"), amounts)
)


@given(st.lists(rows, max_size=4), st.booleans())
@example([ROW, ROW], True)
@example([ROW, ROW | {"assetId": "a", "total": "2"}], True)
def test_a_plain_answer_reads_the_same_either_way(balances: list[dict[str, str]], as_ascii: bool) -> None:
    body = json.dumps(ANSWER | {"data": {"canDeposit": True, "balances": balances}}, ensure_ascii=as_ascii)
    _agree(UpstreamResponse(200, {}, body.encode("utf-8", "surrogatepass")))


TOKENS = [
    b'"',
    b"{",
    b"}",
    b":",
    b",",
    b'"a":',
    b'"code":200,',
    b'"total":"1",',
    b"\\",
    b"\n",
    b"\xff",
    b"1",
    b"null",
    b"NaN",
]
TEXT = json.dumps(ANSWER).encode()


@given(st.integers(0, len(TEXT)), st.integers(0, 12), st.lists(st.sampled_from(TOKENS), max_size=3))
def test_no_spoiled_answer_reads_otherwise_by_the_short_way(place: int, removed: int, put: list[bytes]) -> None:
    _agree(UpstreamResponse(200, {}, TEXT[:place] + b"".join(put) + TEXT[place + removed :]))


def test_the_documented_answer_takes_the_short_way() -> None:
    assert _agree(UpstreamResponse(200, {}, TEXT))
    assert _agree(UpstreamResponse(200, {"content-encoding": "identity"}, TEXT))
    assert _agree(UpstreamResponse(200, {}, TEXT.replace(b'"B"', b'"\\u0042"')))


def _row_of(text: bytes) -> Row:
    snapshot = _short(UpstreamResponse(200, {}, text))
    assert isinstance(snapshot, Snapshot)
    return snapshot.balances[0]


def test_a_row_that_comes_as_it_was_is_not_read_again() -> None:
    assert _row_of(TEXT) is _row_of(TEXT.replace(b"true", b"false"))


@pytest.mark.parametrize(("name", "other"), [("asset", "C"), ("assetId", "C"), ("assetName", "C"), ("free", "3.4")])
def test_a_row_that_differs_in_anything_is_another(name: str, other: str) -> None:
    changed = _with(data={"canDeposit": True, "balances": [ROW | {name: other}]})
    assert _row_of(TEXT) != _row_of(changed)


@pytest.mark.parametrize("amount", ["-1", "1e0", "1" * 31])
def test_what_is_not_plain_is_not_kept_however_long_it_is(amount: str) -> None:
    text = TEXT.replace(b"3.50", amount.encode())
    assert _row_of(text) == _row_of(text)
    assert _row_of(text) is not _row_of(text)


@pytest.mark.parametrize("odd", [{"total": "4"}, {"free": "0", "locked": "0"}])
def test_an_anomaly_is_found_each_time_that_its_row_comes(odd: dict[str, str]) -> None:
    response = UpstreamResponse(200, {}, _with(data={"canDeposit": True, "balances": [ROW | odd]}))
    for snapshot in (_short(response), _short(response)):
        assert isinstance(snapshot, Snapshot)
        assert snapshot.anomalies


def _with(**changes: Any) -> bytes:
    return json.dumps(ANSWER | changes).encode()


@pytest.mark.parametrize(
    "response",
    [
        UpstreamResponse(503, {}, TEXT),
        UpstreamResponse(200, {"content-encoding": "gzip"}, TEXT),
        UpstreamResponse(200, {}, _with(code=-5006, data=None)),
        UpstreamResponse(200, {}, _with(code=0)),
        UpstreamResponse(200, {}, _with(note=None)),
        UpstreamResponse(200, {}, _with(data={"canDeposit": True, "balances": [ROW | {"fee": 1}]})),
        UpstreamResponse(200, {}, _with(data={"canDeposit": True, "balances": [ROW], "x": []})),
        UpstreamResponse(200, {}, _with(data={"canDeposit": True, "balances": [ROW | {"total": 1}]})),
        UpstreamResponse(200, {}, _with(msg='{"data":1}')),
        UpstreamResponse(200, {}, TEXT.replace(b'"canDeposit": true', b'"canDeposit": true, "canDeposit": true')),
        UpstreamResponse(200, {}, TEXT.replace(b'"total"', b'"total": "1", "total"')),
        UpstreamResponse(200, {}, TEXT.replace(b'"B"', b'"\\ud800"')),
        UpstreamResponse(200, {}, TEXT.replace(b'"B"', b'"\n"')),
        UpstreamResponse(200, {}, TEXT.replace(b'"B"', b'"\xed\xa0\x80"')),
    ],
)
def test_an_answer_with_anything_besides_takes_the_long_way(response: UpstreamResponse) -> None:
    assert read_plain(response) is None
