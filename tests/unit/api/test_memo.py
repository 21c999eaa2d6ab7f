"""The front's memory is bounded."""

from app.api.reads.memo import Memo, MemoKey, MemoTable, RawRequestIndex
from app.api.replies import as_body
from app.balances.snapshots import AccountId, Snapshot
from app.telemetry.metrics import HotSeries


def _asked(number: int) -> MemoKey:
    return "GET", b"/%d" % number, b"", b"Bearer key"


def _memo(size: int) -> Memo:
    snapshot = Snapshot(AccountId("1"), 0, True, ())
    return Memo(1, snapshot, 0, 0, 1000, 900, None, 200, [], as_body(b"x" * size), HotSeries())


def test_a_memo_is_found_by_all_that_was_asked() -> None:
    memos, memo = MemoTable(10**6), _memo(10)
    memos.remember(_asked(1), memo)
    assert memos.recall(_asked(1)) is memo
    assert memos.recall(_asked(2)) is None
    assert memos.recall(("GET", b"/1", b"", b"Bearer other")) is None


def test_memos_never_take_more_than_they_may() -> None:
    memos = MemoTable(100_000)
    for number in range(1_000):
        memos.remember(_asked(number), _memo(8_000))
        assert memos.recall(_asked(number)) is not None
        assert len(memos) <= 10
    assert len(memos) > 1


def test_a_memo_that_takes_the_place_of_another_is_not_counted_twice() -> None:
    memos = MemoTable(100_000)
    memos.remember(_asked(1), _memo(8_000))
    for _ in range(1_000):
        memos.remember(_asked(2), _memo(8_000))
    assert memos.recall(_asked(1)) is not None


def test_a_reading_is_found_by_every_header_and_there_are_no_more_of_them_than_there_may_be() -> None:
    readings = RawRequestIndex(10)
    for number in range(100):
        header = b"user-agent", b"%d" % number
        assert readings.recall(("GET", b"/1", b"", header)) is None
        readings.remember(("GET", b"/1", b"", header), _asked(number))
        assert readings.recall(("GET", b"/1", b"", header)) == _asked(number)
        assert len(readings) <= 10
