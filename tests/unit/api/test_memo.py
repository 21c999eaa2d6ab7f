"""The memory of the hot path is bounded."""

from app.access.callers import Caller
from app.api.reads.account_reads import KnownRead, ReadRequest
from app.api.reads.memo import Memo, MemoKey, memo_table, request_index
from app.api.reads.resources import ACCOUNT, Resource
from app.api.replies import as_body
from app.api.views.accounts import UpstreamEnvelope
from app.balances.snapshots import AccountId, Snapshot
from app.telemetry.metrics import HotSeries


def _key(number: int) -> MemoKey:
    return "GET", b"/%d" % number, b"", b"Bearer key"


def _memo(size: int) -> Memo:
    request = ReadRequest("/v1/merchants/1/balances", b"", (), (), None, None, None)
    resource = Resource(ACCOUNT, (request.path, ""), UpstreamEnvelope.of, None)
    read = KnownRead(Caller("web", "", "all"), AccountId("1"), resource, request)
    snapshot = Snapshot(AccountId("1"), 0, True, ())
    return Memo(1, read, snapshot, 0, 0, 1000, 900, None, 200, [], as_body(b"x" * size), HotSeries())


def test_a_memo_is_found_by_all_that_was_key() -> None:
    memos, memo = memo_table(10**6), _memo(10)
    memos.remember(_key(1), memo)
    assert memos.recall(_key(1)) is memo
    assert memos.recall(_key(2)) is None
    assert memos.recall(("GET", b"/1", b"", b"Bearer other")) is None


def test_memos_never_take_more_than_they_may() -> None:
    memos = memo_table(100_000)
    for number in range(1_004):
        memos.remember(_key(number), _memo(8_000))
        assert memos.recall(_key(number)) is not None
        assert len(memos) <= 10
    assert len(memos) > 1


def test_a_memo_that_takes_the_place_of_another_is_not_counted_twice() -> None:
    memos = memo_table(100_000)
    memos.remember(_key(1), _memo(8_000))
    for _ in range(1_000):
        memos.remember(_key(2), _memo(8_000))
    assert memos.recall(_key(1)) is not None


def test_a_request_is_known_by_all_of_its_bytes_and_there_are_no_more_of_them_than_there_may_be() -> None:
    requests = request_index(10_000)
    for number in range(100):
        request = b"GET /1 HTTP/1.1\r\nuser-agent: %d\r\n\r\n" % number
        assert requests.recall(request) is None
        requests.remember(request, _key(number))
        assert requests.recall(request) == _key(number)
        assert 0 < len(requests) <= 14
