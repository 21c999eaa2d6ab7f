"""Records that are stored in Redis, sent between replicas, or shared by processes: each reads back as it was written."""

import ast
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.requests.parameters import read_cursor
from app.api.routes import paging
from app.api.views.parts import PartView
from app.api.views.past_breakdown import PastBreakdownView, PastPartView
from app.api.views.portfolio import BreakdownView, HoldersView, HolderView
from app.balances.merchants import Directory
from app.balances.reconciliation import Finding
from app.balances.snapshots import Absence, Anomaly, Entry, Row, Snapshot
from app.decoding import JsonDecoder, MsgpackDecoder, Undecodable
from app.fleet import bus, view_versions
from app.fleet.bus import Failure
from app.history.states import Content
from app.portfolio.directory import _pack, _unpack
from app.portfolio.reconciler import Reconciliation
from app.secret import Secret
from app.telemetry.samples import MetricsSample, WorkerHealth
from app.upstream import token_sealing
from app.upstream.token_sealing import Seal
from tests.support.record_strategies import values_of

ROOT = Path(__file__).parents[2]

JSON_RECORDS: list[Any] = [
    Row,
    Anomaly,
    Snapshot,
    Absence,
    Entry,
    Failure,
    bus._Message,
    Directory,
    token_sealing._Content,
    Finding,
    Reconciliation,
    view_versions._Head,
    paging._Head,
    PartView,
    HolderView,
    BreakdownView,
    HoldersView,
    Content,
    PastPartView,
    PastBreakdownView,
]
MSGPACK_RECORDS: list[Any] = [WorkerHealth, MetricsSample]


def name(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}" if isinstance(kind, type) else str(kind)


def read_back(kind: Any, value: Any) -> Any:
    if kind in MSGPACK_RECORDS:
        packed: MsgpackDecoder[Any] = MsgpackDecoder(kind)
        return packed.decode(msgspec.msgpack.encode(value))
    decoder: JsonDecoder[Any] = JsonDecoder(kind)
    return decoder.decode(msgspec.json.encode(value))


@pytest.mark.parametrize("kind", [*JSON_RECORDS, *MSGPACK_RECORDS], ids=name)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_value_that_a_type_allows_is_read_back_as_it_was(kind: Any, data: st.DataObject) -> None:
    value = data.draw(values_of(kind))
    assert read_back(kind, value) == value


@pytest.mark.parametrize("kind", [*JSON_RECORDS, *MSGPACK_RECORDS], ids=name)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_a_newer_version_adds_is_ignored(kind: Any, data: st.DataObject) -> None:
    value = data.draw(values_of(kind))
    encoding = msgspec.msgpack if kind in MSGPACK_RECORDS else msgspec.json
    more = encoding.decode(encoding.encode(value)) | {"addedLater": [{"a": None}]}
    decoder: Any = MsgpackDecoder(kind) if kind in MSGPACK_RECORDS else JsonDecoder(kind)
    assert decoder.decode(encoding.encode(more)) == value


@pytest.mark.parametrize("kind", [*JSON_RECORDS, *MSGPACK_RECORDS], ids=name)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_whatever_is_wrong_with_a_record_is_one_error(kind: Any, data: st.DataObject) -> None:
    """Truncated, with a byte changed, or with a field of another type: it reads as a value of the type, or not at all."""
    encode: Any = msgspec.msgpack.encode if kind in MSGPACK_RECORDS else msgspec.json.encode
    decoder: Any = MsgpackDecoder(kind) if kind in MSGPACK_RECORDS else JsonDecoder(kind)
    good = encode(data.draw(values_of(kind)))
    at = data.draw(st.integers(0, len(good) - 1))
    for bad in (good[:at], good[:at] + data.draw(st.binary(min_size=1, max_size=3)) + good[at + 1 :]):
        try:
            value = decoder.decode(bad)
        except Undecodable:
            continue
        assert encode(value) is not None


@given(values_of(Directory))
def test_a_packed_directory_is_read_back(directory: Directory) -> None:
    assert _unpack(_pack(directory)) == directory


@given(values_of(token_sealing._Content))
def test_a_sealed_token_is_read_back(content: token_sealing._Content) -> None:
    seal = Seal(Secret("s3cret"), "tests")
    token, life_seconds = seal.unseal(seal.seal(Secret(content.token), content.life_seconds))
    assert (token.reveal(), life_seconds) == (content.token, content.life_seconds)


@given(version=st.from_regex(r"[0-9a-f]{24}", fullmatch=True), seen=st.integers(1, 10**9 - 1))
def test_a_cursor_is_read_back(version: str, seen: int) -> None:
    assert read_cursor(f"{version}-{seen}") == (version, seen)


def test_a_field_that_may_be_unset_may_be_missing() -> None:
    """What is unset is not written. Without a default, such a value could never be read again."""
    fields = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "app").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AnnAssign) and "UnsetType" in ast.unparse(node.annotation) and node.value is None
    ]
    assert not fields
