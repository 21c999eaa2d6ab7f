"""Requests as they arrive on a connection (RFC 9112).

The parser is llhttp in its strict mode. It refuses two lengths, a length beside chunks, folded lines and bare line feeds.
"""

from typing import Any, Final, Protocol

import httptools
from litestar.types import HTTPScope
from msgspec import Struct

from app.decoding import Undecodable, decode_percent

MAX_HEAD_BYTES: Final = 2 * 1024 * 1024
"""How many bytes the head of a request may have that is answered at all. The application refuses far smaller ones."""

_BAD_REQUEST: Final = 400
_HEAD_TOO_LARGE: Final = 431
_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_SPACE: Final = b" \t"


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
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._is_in_head = False
        self._is_in_body = False
        self._head_bytes = 0

    @property
    def is_between(self) -> bool:
        """Whether the last request is whole and no other has begun."""
        return not (self._is_in_head or self._is_in_body)

    def feed(self, data: bytes) -> None:
        """Read on. Raises `NotHttp`."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:  # to another protocol: not accepted, so that HTTP goes on
            self._parser = httptools.HttpRequestParser(self)
            if rest := data[upgrade.args[0] :]:
                self.feed(rest)
        except httptools.HttpParserError:
            raise NotHttp(_BAD_REQUEST) from None
        self._head_bytes = self._head_bytes + len(data) if self._is_in_head else 0
        if self._head_bytes > MAX_HEAD_BYTES:
            raise NotHttp(_HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._target, self._headers, self._is_in_head = b"", [], True

    def on_url(self, part: bytes) -> None:
        """Take a part of the target."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. After the body come trailers, which nobody reads."""
        if self._is_in_head:
            self._headers.append((name.lower(), value.rstrip(_SPACE)))

    def on_headers_complete(self) -> None:
        """Hand over the head. What is raised here ends the reading."""
        self._is_in_head, self._is_in_body = False, True
        scope, parser = self._scope(), self._parser
        keeps_alive = parser.should_keep_alive() and scope["method"] != "CONNECT"
        expected = [value for name, value in scope["headers"] if name == b"expect"]
        expects_continue = scope["http_version"] == "1.1" and [value.lower() for value in expected] == [b"100-continue"]
        self._receiver.begin_request(RequestHead(scope, keeps_alive, expects_continue))

    def on_body(self, data: bytes) -> None:
        """Hand over a part of the body."""
        self._receiver.take_body(data)

    def on_message_complete(self) -> None:
        """Hand over the end."""
        self._is_in_body = False
        self._receiver.end_request()

    def _scope(self) -> HTTPScope:
        version = self._parser.get_http_version()
        if version not in _VERSIONS:
            raise ValueError("a version of HTTP that is not spoken here")
        raw_path, _, query = self._target.partition(b"#")[0].partition(b"?")
        if raw_path[:1] != b"/" and b"://" in raw_path:
            url = httptools.parse_url(self._target)
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
