"""Stored states: every content that a snapshot may have is read back as it was, whichever way it was packed."""

import zlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.balances.snapshots import Absence, Snapshot
from app.history.recording import NO_MERCHANT, OF_ENTRY, compress, content_of, has_same_content, pack
from app.history.states import Content, Looks, read_history
from app.redis.results import WrongShape
from tests.support.record_strategies import values_of

NUMBERS = st.integers(0, 10**15 - 1)
EPOCH = b"1796021343041-657c4b31"


def head(newest: int, looks: Looks) -> list[bytes]:
    return [EPOCH, *(str(one).encode() for one in (newest, 0, looks.until, looks.until, looks.looks, looks.gap_ms))]


@settings(max_examples=60, deadline=None)
@given(
    snapshot=values_of(Snapshot), since=NUMBERS, before=st.builds(Looks, NUMBERS, NUMBERS, NUMBERS), whole=st.booleans()
)
def test_every_content_is_read_back(snapshot: Snapshot, since: int, before: Looks, whole: bool) -> None:
    encoded = msgspec.json.encode(snapshot)
    packed = encoded if whole else zlib.compress(content_of(encoded), 1)
    text = f"{since} {before.until} {before.looks} {before.gap_ms}\n".encode() + packed
    found = read_history([head(0, before), 0, [text]])
    assert found is not None
    (state,) = found.states
    assert state.content == Content(snapshot.can_deposit, snapshot.balances, snapshot.anomalies)
    assert (state.since, state.before) == (since, before if before.looks else None)
    assert state.content is not None
    assert has_same_content(state.content.as_of(snapshot.account_id, snapshot.as_of), snapshot)


@settings(max_examples=30, deadline=None)
@given(values_of(Absence))
def test_an_absent_merchant_has_no_content(absence: Absence) -> None:
    assert content_of(msgspec.json.encode(Absence(absence.account_id, absence.as_of))) == b""
    found = read_history([head(0, Looks(1, 1, 0)), 0, [b"1 0 0 0\n" + NO_MERCHANT]])
    assert found is not None
    assert found.states[0].content is None


@settings(max_examples=60, deadline=None)
@given(snapshot=values_of(Snapshot), data=st.data())
def test_what_is_wrong_with_a_state_is_one_error(snapshot: Snapshot, data: st.DataObject) -> None:
    good = b"1 0 0 0\n" + zlib.compress(content_of(msgspec.json.encode(snapshot)), 1)
    at = data.draw(st.integers(0, len(good) - 1))
    for bad in (good[:at], good[:at] + data.draw(st.binary(min_size=1, max_size=3)) + good[at + 1 :]):
        try:
            read_history([head(0, Looks(1, 1, 0)), 0, [bad]])
        except WrongShape:
            continue


@pytest.mark.parametrize("bad", [b"", b"1 0 0 0\n", b"1 0 0\n-", b"x 0 0 0\n-", b"1 0 0 0\n{", "1 0 0 0\n-", None])
def test_no_other_text_is_a_state(bad: object) -> None:
    with pytest.raises(WrongShape):
        read_history([head(0, Looks(1, 1, 0)), 0, [bad]])


@settings(max_examples=30, deadline=None)
@given(values_of(Snapshot), values_of(Snapshot), values_of(Absence))
def test_a_content_is_sent_apart_only_where_another_one_is_known(
    snapshot: Snapshot, other: Snapshot, absence: Absence
) -> None:
    content = content_of(msgspec.json.encode(snapshot))
    assert pack(snapshot, content, None) == pack(snapshot, content, snapshot) == OF_ENTRY
    is_same = has_same_content(snapshot, other)
    assert pack(snapshot, content, other) == (OF_ENTRY if is_same else compress(content))
    assert pack(snapshot, content, absence) == compress(content)
    assert pack(absence, b"", snapshot) == pack(absence, b"", None) == NO_MERCHANT
