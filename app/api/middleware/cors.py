"""CORS: the web apps whose pages may read answers (Fetch standard)."""

from collections.abc import Collection, Iterable
from typing import Final

from litestar.types import HTTPResponseStartEvent, HTTPScope, Message, Send

from app.api.replies import RawHeaders

Header = tuple[bytes, bytes]

READABLE: Final = (
    b"access-control-expose-headers",
    b"Age, Cache-Status, ETag, Link, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id",
)
_TRACING: Final = b"baggage, traceparent, tracestate"
"""Headers that OpenTelemetry adds to the requests of a page (W3C Trace Context, W3C Baggage)."""

SENDABLE: Final = (
    b"access-control-allow-headers",
    b"Accept, Authorization, Cache-Control, Content-Type, If-None-Match, Last-Event-ID, Prefer, X-BH-TOKEN, "
    b"X-Request-Id, %b" % _TRACING,
)
REMEMBERED: Final = (b"access-control-max-age", b"7200")
"""Two hours, the most that Chromium accepts."""

_METHODS: Final = (b"GET", b"HEAD", b"POST")
_BODY_HEADERS: Final = frozenset({b"allow", b"content-length", b"content-type"})


class Cors:
    """Let pages of these origins, compared byte by byte, read every answer, problems too: with a key, never with cookies.

    Every answer varies by `Origin`, even without one in the request. Otherwise a shared cache could lock a page out.
    """

    def __init__(self, origins: Collection[str]) -> None:
        self._origins: Final = frozenset(origin.encode() for origin in origins)

    def wrap(self, scope: HTTPScope, send: Send) -> Send:
        """Wrap `send` with the CORS headers of a request."""
        send = _with_headers(send, permission := self._permission(scope))
        return _as_preflight(send) if permission and _is_preflight(scope) else send

    def mark(self, scope: HTTPScope, start: HTTPResponseStartEvent) -> HTTPResponseStartEvent:
        """Return the start of an answer to a GET with these headers."""
        return _mark(start, self._permission(scope))

    def _permission(self, scope: HTTPScope) -> Collection[Header]:
        """Return the headers that let the page of a request read its answer; none for other pages, and for no page."""
        given = [value for name, value in scope["headers"] if name == b"origin"]
        if len(given) != 1 or given[0] not in self._origins:
            return ()
        return ((b"access-control-allow-origin", given[0]), READABLE)


def _is_preflight(scope: HTTPScope) -> bool:
    return scope["method"] == "OPTIONS" and any(
        name == b"access-control-request-method" for name, _ in scope["headers"]
    )


def _with_headers(send: Send, more: Iterable[Header]) -> Send:
    async def send_with_headers(message: Message) -> None:
        await send(_mark(message, more) if message["type"] == "http.response.start" else message)

    return send_with_headers


def _mark(start: HTTPResponseStartEvent, more: Iterable[Header]) -> HTTPResponseStartEvent:
    """Return a start with more headers. Other answers may share those that it has: they are copied."""
    return {**start, "headers": [*_by_origin(start["headers"]), *more]}


def _by_origin(headers: Iterable[Header]) -> RawHeaders:
    headers = list(headers)
    varies = [value for name, value in headers if name == b"vary"]
    return [*(header for header in headers if header[0] != b"vary"), (b"vary", b", ".join([*varies, b"Origin"]))]


def _as_preflight(send: Send) -> Send:
    """Turn the answer to OPTIONS into one to a preflight, which succeeds for unknown paths too.

    Otherwise no page could read the 404 of the request after it.
    """
    succeeds = False

    async def send_preflight(message: Message) -> None:
        nonlocal succeeds
        if message["type"] == "http.response.start":
            succeeds = message["status"] in {204, 404}
            if succeeds:
                message = {**message, "status": 204, "headers": _permissions(message["headers"])}
        elif message["type"] == "http.response.body" and succeeds:
            message = {**message, "body": b""}
        await send(message)

    return send_preflight


def _permissions(headers: Iterable[Header]) -> RawHeaders:
    headers = list(headers)
    allow = next((value for name, value in headers if name == b"allow"), b"GET, HEAD").split(b", ")
    methods = b", ".join(method for method in _METHODS if method in allow)
    kept = [header for header in headers if header[0] not in _BODY_HEADERS]
    return [*kept, (b"access-control-allow-methods", methods), SENDABLE, REMEMBERED]
