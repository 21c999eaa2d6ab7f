"""Hot path: answers repeated reads of one account from memory, before the web framework.

It applies no rules of its own. It replays what the read procedure decided up to a second ago, for a request of the same
bytes, while nothing changes that the decision depends on. Every other request is passed on uncounted, with what was
decided about it, so the hot path only ever answers 200 and 304.
"""

from collections.abc import Iterable
from typing import Final

from litestar.types import HTTPScope

from app.access.callers import Caller, Callers
from app.accounts import Accounts, Available
from app.api.reads.account_reads import AccountReads, KnownRead, ReadRequest, pass_on
from app.api.reads.memo import Memo, MemoKey, memo_table, request_index
from app.api.reads.resources import find_route
from app.api.rendering.responses import with_age
from app.api.replies import SAFE, Messages, RawHeaders, as_body, as_raw
from app.api.requests.hosts import HOST, is_host
from app.api.requests.paths import route_path
from app.api.requests.request_ids import REQUEST_ID, RequestIds
from app.balances.snapshots import Snapshot
from app.cache.freshness import FreshnessPolicy, RequestDirectives, age_ms, constant_age_span, early_refresh_from
from app.errors import TooFast
from app.ingress.responses import date_line, write_head, write_lines
from app.runtime import Runtime

_PLAIN_BYTES: Final = 4 * 1024
_MEMO_TABLE_BYTES: Final = 32 * 1024 * 1024
_REQUEST_INDEX_BYTES: Final = 16 * 1024 * 1024
_KEY_HEADERS: Final = (
    b"authorization",
    b"x-bh-token",
    b"accept",
    b"if-none-match",
    b"accept-encoding",
    REQUEST_ID,
    HOST,
)
_UNUSUAL: Final = (b"cache-control", b"content-length", b"transfer-encoding", b"traceparent", b"prefer")
# Beside a tag, `fetch` adds `no-cache` or `max-age=0`, unless there is a directive: ours adds this one, which changes nothing.
_WITHOUT_EFFECT: Final = (b"cache-control", b"no-transform")
_find_place: Final = ({name: place for place, name in enumerate(_KEY_HEADERS)} | dict.fromkeys(_UNUSUAL, -1)).get


class HotPath:
    """Answer hot reads of one account."""

    def __init__(
        self,
        reads: AccountReads,
        callers: Callers,
        accounts: Accounts,
        policy: FreshnessPolicy,
        request_ids: RequestIds,
        runtime: Runtime,
    ) -> None:
        self._reads: Final = reads
        self._callers: Final = callers
        self._accounts: Final = accounts
        self._is_current: Final = accounts.is_current
        self._policy: Final = policy
        self._request_ids: Final = request_ids
        self._metrics: Final = runtime.metrics
        self._unix_ms: Final = runtime.unix_ms
        self._monotonic: Final = runtime.monotonic
        self._memos: Final = memo_table(_MEMO_TABLE_BYTES)
        self._requests: Final = request_index(_REQUEST_INDEX_BYTES)

    def recall(self, request: bytes) -> bytes | None:
        """Return the whole answer to a request of these bytes, from the status line on, or None to have it read."""
        key = self._requests.recall(request)
        if key is None:
            return None
        began, now = self._monotonic(), self._unix_ms()
        memo = self._bring_up_to_date(self._memos.recall(key), key, now)
        if not isinstance(memo, Memo):
            return None
        limits = b""
        if memo.rated is not None:
            admitted = self._admit(memo.rated)
            if admitted is None:
                return None
            limits = write_lines(admitted)
        if memo.head is None:
            memo.head = write_head(memo.status, memo.headers)
        name, date = self._request_ids.name(None), date_line(now // 1000)
        memo.series.count(self._monotonic() - began, now - memo.as_of)
        return b"%b%bx-request-id: %b\r\n%b\r\n%b" % (memo.head, limits, name, date, memo.body["body"])

    def answer(self, scope: HTTPScope, began: float, request: bytes | None = None) -> Messages | None:
        """Return the answer to a request that began at `began` (monotonic seconds), or None to pass it on.

        `request` has all of its bytes, if they are known: `recall` answers their like from then on.
        """
        headers = read_plain_headers(scope["headers"])
        if headers is None:
            pass_on(scope, None)
            return None
        given_id = headers.pop()
        key: MemoKey = (scope["method"], scope["raw_path"], scope["query_string"], *headers)
        now = self._unix_ms()
        memo = self._bring_up_to_date(self._memos.recall(key), key, now)
        if not isinstance(memo, Memo):
            pass_on(scope, memo)
            return None
        limits = () if memo.rated is None else self._admit(memo.rated)
        if limits is None:
            return None
        if request is not None and given_id is None:
            self._requests.remember(request, key)
        sent = [*memo.headers, *limits, (REQUEST_ID, self._request_ids.name(given_id))]
        memo.series.count(self._monotonic() - began, now - memo.as_of)
        return {"type": "http.response.start", "status": memo.status, "headers": sent}, memo.body

    def _bring_up_to_date(self, memo: Memo | None, key: MemoKey, now: int) -> Memo | KnownRead | None:
        """Return a memo that holds `now`, or what was decided about its request, to pass it on."""
        if (
            memo is None
            or not memo.since <= now < memo.until
            or memo.generation != self._callers.generation
            or not self._is_current(memo.snapshot)
        ):
            return self._renew(memo, key, now)
        if now >= memo.early:
            self._accounts.refresh_if_due(memo.snapshot, now)
        return memo

    def _renew(self, memo: Memo | None, key: MemoKey, now: int) -> Memo | KnownRead | None:
        """Answer from as much of the last answer as still holds, or return what was decided, to pass it on."""
        if memo is None or memo.generation != self._callers.generation or not memo.read.caller.validity.has(now):
            read = self._find_read(key, now)
            return None if read is None else self._answer_from_memory(key, read, None, now)
        span = self._span(memo.read.caller, memo.snapshot, now)
        if not span[0] <= now < span[1] or not self._accounts.use(memo.snapshot):
            return self._answer_from_memory(key, memo.read, memo, now)
        if now >= memo.early:
            self._accounts.refresh_if_due(memo.snapshot, now)
        return self._age(memo, span, now)

    def _answer_from_memory(self, key: MemoKey, read: KnownRead, memo: Memo | None, now: int) -> Memo | KnownRead:
        """Answer with what memory has, or return the read to pass it on. An answer that stays the same is memoised."""
        found = self._accounts.get_now(read.account_id, RequestDirectives(now))
        if found is None:
            return read
        span = self._span(read.caller, found.snapshot, now)
        if memo is not None and memo.snapshot is found.snapshot:
            return self._age(memo, span, now)
        memo = self._make_memo(key[0], read, found, span, now)
        if memo is None:
            return read
        if span[0] <= now < span[1] and not read.caller.has_token:  # a token may expire
            self._memos.remember(key, memo)
        return memo

    def _find_read(self, key: MemoKey, now: int) -> KnownRead | None:
        """Find what a request asks for, or None to pass it on."""
        method, raw_path, query, *headers = key
        authorization, token, *preferences = headers
        if method not in {"GET", "HEAD"} or len(raw_path) + len(query) > _PLAIN_BYTES or not raw_path.isascii():
            return None
        path = route_path(raw_path, raw_path.decode("ascii"))
        if find_route(path) is None:
            return None
        request = ReadRequest(path, query, _as_lines(authorization), _as_lines(token), *map(_as_text, preferences))
        return self._reads.find_known(request, now)

    def _make_memo(
        self, method: str, read: KnownRead, found: Available, span: tuple[int, int], now: int
    ) -> Memo | None:
        """Make the memo of an answer; None for a refusal."""
        reply = self._reads.respond_now(read, found, now)
        if reply is None:
            return None
        snapshot = found.snapshot
        return Memo(
            generation=self._callers.generation,
            read=read,
            snapshot=snapshot,
            as_of=now - age_ms(snapshot, now),
            since=span[0],
            until=span[1],
            early=early_refresh_from(snapshot, self._policy),
            rated=None if read.caller.rate is None else read.caller,
            status=reply.status,
            headers=[*reply.headers, *SAFE],
            body=as_body(b"" if method == "HEAD" else reply.body),
            series=self._metrics.hot(read.resource.route, method, reply.status),
        )

    def _age(self, memo: Memo, span: tuple[int, int], now: int) -> Memo:
        """Bring a memo to the age that its snapshot has now."""
        memo.since, memo.until = span
        memo.as_of = now - age_ms(memo.snapshot, now)
        memo.headers, memo.head = with_age(memo.headers, memo.snapshot, self._policy, now), None
        return memo

    def _span(self, caller: Caller, snapshot: Snapshot, now: int) -> tuple[int, int]:
        """Return the span around `now` in which the answer stays the same; `now` is outside of it if none does."""
        return caller.validity.clip(*constant_age_span(snapshot, now, self._policy))

    def _admit(self, caller: Caller) -> RawHeaders | None:
        """Count a request against a caller's rate and return the rate headers; None if the rate is used up."""
        try:
            self._callers.admit(caller)
        except TooFast:
            return None
        return as_raw(self._callers.limits(caller))


def read_plain_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes | None] | None:
    """Return the headers that an answer depends on, in the order of `_KEY_HEADERS`; None if the request is not plain.

    A plain request has no unusual header that has an effect, none of the others twice, a valid host, and few bytes of
    headers.
    """
    found: list[bytes | None] = [None] * len(_KEY_HEADERS)
    size = 0
    for name, value in headers:
        size += len(value)
        place = _find_place(name)
        if place is None:
            size += len(name)
        elif place < 0:
            if (name, value) != _WITHOUT_EFFECT:
                return None
        elif found[place] is not None:
            return None
        else:
            found[place] = value
    host = found.pop()  # no answer depends on it
    return found if size <= _PLAIN_BYTES and host is not None and is_host(host) else None


def _as_text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _as_lines(value: bytes | None) -> tuple[str, ...]:
    return () if value is None else (value.decode("latin-1"),)
