"""Requests as they arrive on a connection (RFC 9112).

The parser is llhttp in its strict mode. It refuses two lengths, a length beside chunks, folded lines and bare line feeds.
It takes several spaces in a request line, and `RTSP/1.1` there: neither changes where a request ends.
"""

from typing import Any, Final, Protocol

import httptools
from litestar.types import HTTPScope
from msgspec import Struct

from app.decoding import Undecodable, decode_percent
from app.ingress.responses import write_lines

MAX_HEAD_BYTES: Final = 2 * 1024 * 1024
"""How many bytes the head of a request may have that is answered at all. The application refuses far smaller ones.

As many may come between two parts of a body, or after the last: extensions of chunks, and trailers.
"""

MAX_HEADERS: Final = 1000
"""How many headers may have come of a head that is not whole yet. Each takes far more memory than its bytes."""

_BAD_REQUEST: Final = 400
_HEAD_TOO_LARGE: Final = 431
_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_SPACE: Final = b" \t"
_CODING: Final = b"transfer-encoding"
_CHUNKED: Final = b"chunked"
_EXPECT: Final = b"expect"
_CONTINUE: Final = b"100-continue"
_TUNNEL: Final = "CONNECT"
_SPECIAL: Final = frozenset({_CODING, _EXPECT})


class RequestHead(Struct, frozen=True):
    """A head that is whole. `keeps_alive`: whether the connection may carry another request after this one.

    `expects_continue`: whether the caller waits for leave to send the body (RFC 9110, 10.1.1).
    """

    scope: HTTPScope
    keeps_alive: bool
    expects_continue: bool


class Receiver(Protocol):
    """What takes requests."""

    def begin_request(self, head: RequestHead) -> None:
        """Take a head."""

    def take_body(self, data: bytes) -> None:
        """Take a part of the body of the last head."""

    def end_request(self) -> None:
        """Take the end of that request."""


class NotHttp(Exception):
    """What arrived is no request that is answered. `status` is the answer to it, after which nothing more is read."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status: Final = status


class RequestReader:
    """Read requests out of bytes, and hand them to `receiver` piece by piece. `ends` is what a scope says about both ends.

    The parser calls the methods whose names begin with `on_`.
    """

    def __init__(self, receiver: Receiver, ends: dict[str, Any]) -> None:
        self._receiver: Final = receiver
        self._ends: Final = ends
        self._parser: Any = httptools.HttpRequestParser(self)
        self._target_parts: list[bytes] = []
        self._headers: list[tuple[bytes, bytes]] = []
        self._is_in_head = False
        self._is_in_body = False
        self._unused_bytes = 0

    @property
    def is_between(self) -> bool:
        """Whether the last request is whole and no other has begun."""
        return not (self._is_in_head or self._is_in_body)

    @property
    def _target(self) -> bytes:
        return b"".join(self._target_parts)

    def feed(self, data: bytes) -> None:
        """Read on. Raises `NotHttp`."""
        self._unused_bytes += len(data)
        rest: bytes | memoryview = data
        try:
            while rest:
                rest = self._read(rest)
        except httptools.HttpParserError:
            raise NotHttp(_BAD_REQUEST) from None
        if self._unused_bytes > MAX_HEAD_BYTES or (self._is_in_head and len(self._headers) > MAX_HEADERS):
            raise NotHttp(_HEAD_TOO_LARGE)

    def _read(self, data: bytes | memoryview) -> bytes | memoryview:
        """Read `data`, and return what is left of it after a head that asks for another protocol.

        The parser ends there. The protocol is not accepted, so that HTTP goes on: the head is read without its wish.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._is_in_head:
                method, version = self._parser.get_method(), self._parser.get_http_version().encode()
                lines = write_lines(header for header in self._headers if header[0] != b"upgrade")
                self._parser = httptools.HttpRequestParser(self)
                self._parser.feed_data(b"%b %b HTTP/%b\r\n%b\r\n" % (method, self._target, version, lines))
            return memoryview(data)[upgrade.args[0] :]
        return b""

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._target_parts, self._headers, self._is_in_head = [], [], True

    def on_url(self, part: bytes) -> None:
        """Take a part of the target."""
        self._target_parts.append(part)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. After the body come trailers, which nobody reads."""
        if self._is_in_head:
            self._headers.append((name.lower(), value.rstrip(_SPACE)))

    def on_headers_complete(self) -> None:
        """Hand over the head. What is raised here ends the reading."""
        scope, parser = self._scope(), self._parser
        is_tunnel = scope["method"] == _TUNNEL
        if parser.should_upgrade() and not is_tunnel:
            return
        self._is_in_head, self._is_in_body = False, True
        special = [(name, value.lower()) for name, value in self._headers if name in _SPECIAL]
        codings = [value for name, value in special if name == _CODING] if special else []
        if codings and codings != [_CHUNKED]:
            raise ValueError("a coding of bodies that is not spoken here")
        is_current = scope["http_version"] == "1.1"
        keeps_alive = is_current and parser.should_keep_alive() and not is_tunnel
        expects_continue = is_current and (_EXPECT, _CONTINUE) in special
        self._receiver.begin_request(RequestHead(scope, keeps_alive, expects_continue))

    def on_body(self, data: bytes) -> None:
        """Hand over a part of the body."""
        self._unused_bytes = 0
        self._receiver.take_body(data)

    def on_message_complete(self) -> None:
        """Hand over the end, unless the head is read once more."""
        if not self._is_in_head:
            self._is_in_body, self._unused_bytes = False, 0
            self._receiver.end_request()

    def _scope(self) -> HTTPScope:
        version = self._parser.get_http_version()
        if version not in _VERSIONS:
            raise ValueError("a version of HTTP that is not spoken here")
        target = self._target
        raw_path, _, query = target.partition(b"#")[0].partition(b"?")
        if raw_path[:1] != b"/" and b"://" in raw_path:
            url = httptools.parse_url(target)
            raw_path, query = url.path or b"/", url.query or b""
        scope: Any = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "scheme": "http",
            "method": self._parser.get_method().decode("ascii"),
            "root_path": "",
            "path": _decode(raw_path) if b"%" in raw_path else raw_path.decode("ascii"),
            "raw_path": raw_path,
            "query_string": query,
            "headers": self._headers,
            "state": {},
            **self._ends,
        }
        return scope  # type: ignore[no-any-return]


def _decode(raw_path: bytes) -> str:
    try:
        return decode_percent(raw_path)
    except Undecodable:
        return raw_path.decode("ascii")
