"""Browsers: the web apps whose pages may read our answers (CORS, as the Fetch standard has it)."""

from collections.abc import Collection, Iterable
from typing import Final

from litestar.types import HTTPScope, Message, Send

from app.api.replies import RawHeaders

Header = tuple[bytes, bytes]

READABLE: Final = (
    b"access-control-expose-headers",
    b"Age, Cache-Status, ETag, Link, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id",
)
SENDABLE: Final = (
    b"access-control-allow-headers",
    b"Accept, Authorization, Cache-Control, Content-Type, If-None-Match, X-BH-TOKEN, X-Request-Id",
)
REMEMBERED: Final = (b"access-control-max-age", b"7200")
"""Two hours: what Chromium takes at most."""

_METHODS: Final = (b"GET", b"HEAD", b"POST")
_ABOUT_THE_BODY: Final = frozenset({b"allow", b"content-length", b"content-type"})


class Cors:
    """Let pages of these origins, compared to the byte, read every answer, problems too: with a key, never with cookies.

    Every answer varies by `Origin`, also to who sends none: a cache that kept one of those would shut a page out.
    """

    def __init__(self, origins: Collection[str]) -> None:
        self._origins: Final = frozenset(origin.encode() for origin in origins)

    def wrap(self, scope: HTTPScope, send: Send) -> Send:
        """Give what sends the answers to a request with what its browser has to be told."""
        given = [value for name, value in scope["headers"] if name == b"origin"]
        if len(given) != 1 or given[0] not in self._origins:
            return _with_headers(send, ())
        tell = _with_headers(send, ((b"access-control-allow-origin", given[0]), READABLE))
        return _as_preflight(tell) if _is_preflight(scope) else tell


def _is_preflight(scope: HTTPScope) -> bool:
    return scope["method"] == "OPTIONS" and any(
        name == b"access-control-request-method" for name, _ in scope["headers"]
    )


def _with_headers(send: Send, more: Iterable[Header]) -> Send:
    async def tell(message: Message) -> None:
        if (
            message["type"] == "http.response.start"
        ):  # its headers may be those of other answers too: they stay as they are
            message = {**message, "headers": [*_by_origin(message["headers"]), *more]}
        await send(message)

    return tell


def _by_origin(headers: Iterable[Header]) -> RawHeaders:
    headers = list(headers)
    varies = [value for name, value in headers if name == b"vary"]
    return [*(header for header in headers if header[0] != b"vary"), (b"vary", b", ".join([*varies, b"Origin"]))]


def _as_preflight(send: Send) -> Send:
    """Make the answer to OPTIONS the one to a preflight, which ends well also where nothing is served.

    Else no page could ever read the 404 that it goes on to ask for.
    """
    is_well = False

    async def permit(message: Message) -> None:
        nonlocal is_well
        if message["type"] == "http.response.start":
            is_well = message["status"] in {204, 404}
            if is_well:
                message = {**message, "status": 204, "headers": _permissions(message["headers"])}
        elif message["type"] == "http.response.body" and is_well:
            message = {**message, "body": b""}
        await send(message)

    return permit


def _permissions(headers: Iterable[Header]) -> RawHeaders:
    headers = list(headers)
    allow = next((value for name, value in headers if name == b"allow"), b"GET, HEAD").split(b", ")
    methods = b", ".join(method for method in _METHODS if method in allow)
    kept = [header for header in headers if header[0] not in _ABOUT_THE_BODY]
    return [*kept, (b"access-control-allow-methods", methods), SENDABLE, REMEMBERED]
