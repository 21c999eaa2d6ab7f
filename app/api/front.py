"""The fast front: hot reads of the plainest kind, answered from their rendered sheets. It decides nothing by itself.

It asks the same functions as the slow way behind it: who is it, may they, how fast, how old, in what form. What is not
plain, not hot or not allowed it hands on, untouched and uncounted; so all that it ever says is 200 and 304.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

from litestar.types import HTTPScope

from app.access.callers import Callers, authorise
from app.access.standing import Headers
from app.api.answers import Wish, render_answer
from app.api.formats import Format, choose_format
from app.api.guards import find_key
from app.api.replies import SAFE, RawReply
from app.api.request_ids import REQUEST_ID, RequestIds
from app.api.shelf import Sheet, Shelf
from app.balances.snapshots import AGGREGATE, Key
from app.cache.cache import Served
from app.cache.freshness import Policy, Terms, age_ms
from app.desk import Desk
from app.errors import TallygateError
from app.telemetry.metrics import Metrics

_PLAIN_BYTES: Final = 4 * 1024
_HEEDED: Final = frozenset(
    {b"authorization", b"x-bh-token", b"if-none-match", b"accept", b"accept-encoding", REQUEST_ID}
)
_UNUSUAL: Final = frozenset({b"cache-control", b"content-length", b"transfer-encoding", b"traceparent"})
_METHODS: Final = frozenset({"GET", "HEAD"})


class Front:
    """Answer what is hot. `now_ms` is Unix time in milliseconds, `monotonic` gives seconds."""

    def __init__(
        self,
        *,
        callers: Callers,
        desk: Desk,
        shelf: Shelf,
        policy: Policy,
        metrics: Metrics,
        request_ids: RequestIds,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._callers: Final = callers
        self._desk: Final = desk
        self._shelf: Final = shelf
        self._policy: Final = policy
        self._metrics: Final = metrics
        self._request_ids: Final = request_ids
        self._now_ms: Final = now_ms
        self._monotonic: Final = monotonic

    def answer(self, scope: HTTPScope, began: float) -> RawReply | None:
        """Give the answer to a request that began at `began` (seconds), or None if it is to be handed on."""
        path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
        target = _read_target(path, query)
        if target is None or scope["method"] not in _METHODS or (heeded := _read_plain(scope["headers"])) is None:
            return None
        if b"accept" in heeded and choose_format(heeded[b"accept"].decode("latin-1")) is not Format.JSON:
            return None
        template, key = target
        try:
            caller = self._callers.recall(_read_key(heeded))
            if caller is None:
                return None
            authorise(caller, key)
            now = self._now_ms()
            told = self._desk.tell_at_once(key, Terms(now))
            if told is None or (sheet := self._shelf.find((path, query), told.snapshot)) is None:
                return None
            self._callers.admit(caller)
        except TallygateError:
            return None
        age = age_ms(told.snapshot, now)
        reply = self._render(sheet, told.served, now, age // 1000, _read_wish(heeded))
        self._metrics.hot(template, scope["method"], reply.status, self._monotonic() - began, age)
        limits = () if caller.rate is None else self._callers.limits(caller)
        return self._sign(reply, limits, heeded.get(REQUEST_ID), bodiless=scope["method"] == "HEAD")

    def _render(self, sheet: Sheet, served: Served, now: int, second: int, wish: Wish) -> RawReply:
        """Render an answer, or give the one that the same wish was given in this second of the snapshot's age."""
        reply = sheet.recall(second, wish)
        if reply is None:
            reply = RawReply.of(render_answer(sheet, served, self._policy, now, wish))
            reply.headers.extend(SAFE)
            sheet.remember(second, wish, reply)
        return reply

    def _sign(self, reply: RawReply, limits: Headers, given_id: bytes | None, *, bodiless: bool) -> RawReply:
        told = [(name.lower().encode(), value.encode()) for name, value in limits]
        headers = [*reply.headers, *told, (REQUEST_ID, self._request_ids.name(given_id))]
        return RawReply(reply.status, headers, b"" if bodiless else reply.body)


def _read_target(path: str, query: str) -> tuple[str, Key] | None:
    """Give the template of a path, and whose balances are asked for: that is settled before anything is looked up."""
    match path.split("/"):
        case ["", "v1", "merchants", merchant, "balances"]:
            return "/v1/merchants/{merchantId}/balances", Key(merchant)
        case ["", "v1", "merchants", merchant, "balances", _]:
            return "/v1/merchants/{merchantId}/balances/{assetId}", Key(merchant)
        case ["", "v1", "portfolio"]:
            return path, AGGREGATE
        case ["", "v2", "assets", "account", "assets"]:
            return path, Key(query.removeprefix("merchantId="))
        case _:
            return None


def _read_plain(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes] | None:
    """Give the headers that matter; None if one makes the request a special one, or comes twice, or they are many."""
    heeded: dict[bytes, bytes] = {}
    size = 0
    for name, value in headers:
        size += len(name) + len(value)
        if name in _HEEDED:
            if name in heeded:
                return None
            heeded[name] = value
        elif name in _UNUSUAL:
            return None
    return heeded if size <= _PLAIN_BYTES else None


def _read_key(heeded: dict[bytes, bytes]) -> str | None:
    authorization, token = heeded.get(b"authorization"), heeded.get(b"x-bh-token")
    return find_key(
        () if authorization is None else (authorization.decode("latin-1"),),
        () if token is None else (token.decode("latin-1"),),
    )


def _read_wish(heeded: dict[bytes, bytes]) -> Wish:
    if_none_match, accept_encoding = heeded.get(b"if-none-match"), heeded.get(b"accept-encoding")
    return Wish(
        None if if_none_match is None else if_none_match.decode("latin-1"),
        None if accept_encoding is None else accept_encoding.decode("latin-1"),
    )
