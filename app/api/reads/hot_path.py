"""The fast front: hot reads of the plainest kind, answered from their rendered sheets. It decides nothing by itself.

It asks the same functions as the slow way behind it: who is it, may they, how fast, how old, in what form. What they said
is remembered for a request of the same bytes, as long as nothing changes that they looked at. What is not plain, not hot or
not allowed is handed on, untouched and uncounted; so all that the front ever says is 200 and 304.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

from litestar.types import HTTPScope

from app.access.callers import Caller, Callers, authorise
from app.accounts import Accounts
from app.api.reads.memo import Memo, MemoKey, MemoTable, RawRequest, RawRequestIndex
from app.api.rendering.representations import RepresentationCache
from app.api.rendering.responses import ResponsePreferences, render_response
from app.api.replies import SAFE, Messages, RawHeaders, RawReply, as_body, as_raw
from app.api.requests.credentials import find_credential
from app.api.requests.formats import Format, choose_format
from app.api.requests.request_ids import REQUEST_ID, RequestIds
from app.balances.snapshots import AGGREGATE, AccountId
from app.cache.freshness import FreshnessPolicy, RequestDirectives, age_ms, constant_age_span, early_refresh_from
from app.errors import TallygateError, TooFast
from app.telemetry.metrics import Metrics

_PLAIN_BYTES: Final = 4 * 1024
_MEMOS_BYTES: Final = 32 * 1024 * 1024
_READINGS: Final = 2_000
_METHODS: Final = frozenset({"GET", "HEAD"})
_HEEDED: Final = (b"authorization", b"x-bh-token", b"accept", b"if-none-match", b"accept-encoding", REQUEST_ID)
_UNUSUAL: Final = (b"cache-control", b"content-length", b"transfer-encoding", b"traceparent")
_find_place: Final = ({name: place for place, name in enumerate(_HEEDED)} | dict.fromkeys(_UNUSUAL, -1)).get


class HotPath:
    """Answer what is hot. `now_ms` is Unix time in milliseconds, `monotonic` gives seconds."""

    def __init__(
        self,
        *,
        callers: Callers,
        accounts: Accounts,
        representations: RepresentationCache,
        policy: FreshnessPolicy,
        metrics: Metrics,
        request_ids: RequestIds,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._callers: Final = callers
        self._accounts: Final = accounts
        self._holds: Final = accounts.is_current
        self._representations: Final = representations
        self._policy: Final = policy
        self._metrics: Final = metrics
        self._request_ids: Final = request_ids
        self._now_ms: Final = now_ms
        self._monotonic: Final = monotonic
        self._memos: Final = MemoTable(_MEMOS_BYTES)
        self._readings: Final = RawRequestIndex(_READINGS)

    def answer(self, scope: HTTPScope, began: float) -> Messages | None:
        """Give the answer to a request that began at `began` (seconds), or None if it is to be handed on."""
        came: RawRequest = scope["method"], scope["raw_path"], scope["query_string"], *scope["headers"]
        asked, given_id = self._readings.recall(came), None
        if asked is None:
            heeded = _read_plain(scope["headers"])
            if heeded is None:
                return None
            given_id = heeded.pop()
            asked = (scope["method"], scope["raw_path"], scope["query_string"], *heeded)
        now = self._now_ms()
        memo = self._memos.recall(asked)
        if (
            memo is None
            or not memo.since <= now < memo.until
            or memo.generation != self._callers.generation
            or not self._holds(memo.snapshot)
        ):
            memo = self._judge(asked, now)
            if memo is None:
                return None
            if given_id is None:
                self._readings.remember(came, asked)
        elif now >= memo.early:
            self._accounts.refresh_if_due(memo.snapshot, now)
        limits = () if memo.rated is None else self._admit(memo.rated)
        if limits is None:
            return None
        headers = [*memo.headers, *limits, (REQUEST_ID, self._request_ids.name(given_id))]
        memo.series.count(self._monotonic() - began, now - memo.as_of)
        return {"type": "http.response.start", "status": memo.status, "headers": headers}, memo.body

    def _judge(self, asked: MemoKey, now: int) -> Memo | None:
        """Find out what a request gets, and remember it if it will get the same a moment later."""
        method, raw_path, query_string, *heeded = asked
        authorization, token, accept, *preferences = heeded
        name = raw_path.decode("latin-1"), query_string.decode("latin-1")
        target = read_target(*name)
        if target is None or method not in _METHODS or choose_format(_as_text(accept)) is not Format.JSON:
            return None
        template, key = target
        try:
            caller = self._callers.find_known(find_credential(_as_lines(authorization), _as_lines(token)))
            if caller is None:
                return None
            authorise(caller, key)
            told = self._accounts.get_now(key, RequestDirectives(now))
            representation = None if told is None else self._representations.find(name, told.snapshot)
        except TallygateError:
            return None
        if told is None or representation is None:
            return None
        reply = RawReply.of(
            render_response(
                representation, told.served, self._policy, now, ResponsePreferences(*map(_as_text, preferences))
            )
        )
        since, until = constant_age_span(told.snapshot, now, self._policy)
        memo = Memo(
            generation=self._callers.generation,
            snapshot=told.snapshot,
            as_of=now - age_ms(told.snapshot, now),
            since=since,
            until=until,
            early=early_refresh_from(told.snapshot, self._policy),
            rated=None if caller.rate is None else caller,
            status=reply.status,
            headers=[*reply.headers, *SAFE],
            body=as_body(b"" if method == "HEAD" else reply.body),
            series=self._metrics.hot(template, method, reply.status),
        )
        if since <= now < until and not caller.has_token:  # a token ends at any moment
            self._memos.remember(asked, memo)
        return memo

    def _admit(self, caller: Caller) -> RawHeaders | None:
        """Count a request against a caller's rate and give the headers that say what is left; None if there is nothing."""
        try:
            self._callers.admit(caller)
        except TooFast:
            return None
        return as_raw(self._callers.limits(caller))


def read_target(path: str, query: str) -> tuple[str, AccountId] | None:
    """Give the template of a path, and whose balances are asked for: that is settled before anything is looked up."""
    match path.split("/"):
        case ["", "v1", "merchants", merchant, "balances"]:
            return "/v1/merchants/{merchantId}/balances", AccountId(merchant)
        case ["", "v1", "merchants", merchant, "balances", _]:
            return "/v1/merchants/{merchantId}/balances/{assetId}", AccountId(merchant)
        case ["", "v1", "portfolio"]:
            return path, AGGREGATE
        case ["", "v2", "assets", "account", "assets"]:
            return path, AccountId(query.removeprefix("merchantId="))
        case _:
            return None


def _read_plain(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes | None] | None:
    """Give the headers that matter, in the order of `_HEEDED`; None if the request is a special one.

    That is if one makes it so, or comes twice, or they are many.
    """
    heeded: list[bytes | None] = [None] * len(_HEEDED)
    size = 0
    for name, value in headers:
        size += len(value)
        place = _find_place(name)
        if place is None:
            size += len(name)
        elif place < 0 or heeded[place] is not None:
            return None
        else:
            heeded[place] = value
    return heeded if size <= _PLAIN_BYTES else None


def _as_text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _as_lines(value: bytes | None) -> tuple[str, ...]:
    return () if value is None else (value.decode("latin-1"),)
