"""Exchange: one request, and the answer to it, as ASGI wants them."""

import asyncio
from typing import Any, Final, Protocol

import structlog
from litestar.types import ASGIApp, Message

from app.clock import unix_ms
from app.ingress.requests import RequestHead
from app.ingress.responses import Header, date_line, write_head

BODY_BUFFER_BYTES: Final = 64 * 1024
"""How much of a body may wait to be read by the application before no more is read from the connection."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_WITHOUT_BODY: Final = frozenset({204, 304})
_CLOSE: Final = (b"connection", b"close")
_CHUNKED: Final = (b"transfer-encoding", b"chunked")

log = structlog.get_logger()


class Wire(Protocol):
    """What carries an exchange: a connection, as far as an exchange uses it."""

    def write(self, data: bytes) -> None:
        """Send bytes, or do nothing if the peer is gone."""

    async def drain(self) -> None:
        """Wait until the peer has taken so much that more may be sent, or is gone."""

    def read_on(self) -> None:
        """Read more of the body."""

    def finish(self, exchange: "Exchange") -> None:
        """Go on after an answer that is whole."""

    def abort(self) -> None:
        """End the connection immediately."""


class Exchange:
    """A request whose head is here, and its answer. The connection feeds its body, and says when it is whole.

    `keeps_alive` says whether the connection may carry another one, `may_be_followed` whether the caller may have sent
    one already. An answer that begins before its request is whole ends the connection, since nobody reads the rest of
    that body.
    """

    def __init__(self, wire: Wire, head: RequestHead) -> None:
        self._wire: Final = wire
        self.scope: Final = head.scope
        self.keeps_alive = self.may_be_followed = head.keeps_alive
        self.is_received = False
        self.is_answered = False
        self._expects_continue = head.expects_continue
        self._body = bytearray()
        self._gives_more = True
        self._has_ended = False
        self._woken: asyncio.Future[None] | None = None
        self.has_begun = False
        self._head = b""
        self._has_body = True
        self._is_chunked = False
        self._left: int | None = None

    def feed(self, data: bytes) -> bool:
        """Take a part of the body. Return whether the connection shall pause, until `read_on` is called."""
        self._body += data
        self._wake()
        return len(self._body) > BODY_BUFFER_BYTES

    def end_request(self) -> None:
        """Take note that the request is whole."""
        self.is_received = True
        self._wake()

    def disconnect(self) -> None:
        """Take note that the caller is gone, or asks for nothing more."""
        self._has_ended = True
        self._wake()

    async def run(self, app: ASGIApp) -> None:
        """Have the application answer. Where it fails, the caller gets a bare 500, or half an answer that ends.

        Where it is cancelled, the connection ends, since nobody else would answer.
        """
        try:
            await app(self.scope, self.receive, self.send)  # type: ignore[arg-type]
        except asyncio.CancelledError:
            if not self.is_answered:
                self._wire.abort()
            raise
        except Exception:
            log.exception("request.crashed")
        if self.is_answered:
            return
        if self.has_begun:
            self._wire.abort()
            return
        self.keeps_alive = False
        await self.send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]})
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def receive(self) -> dict[str, Any]:
        """Wait for more of the request (ASGI). After all of it, wait until the caller is gone. May be cancelled."""
        if self._expects_continue and not (self.has_begun or self._body or self.is_received):
            self._wire.write(_CONTINUE)
        self._expects_continue = False
        while True:
            if self._gives_more and (self._body or self.is_received):
                body, self._body = bytes(self._body), bytearray()
                self._gives_more = not self.is_received
                if self._gives_more:
                    self._wire.read_on()
                return {"type": "http.request", "body": body, "more_body": self._gives_more}
            if self._has_ended or self.is_answered:
                return {"type": "http.disconnect"}
            self._woken = asyncio.get_running_loop().create_future()
            await self._woken

    async def send(self, message: Message) -> None:
        """Send a part of the answer (ASGI). Waits while the caller takes nothing. May be cancelled.

        Raises `ValueError` for an answer that is none, and `RuntimeError` for messages out of order.
        """
        if message["type"] == "http.response.start" and not self.has_begun:
            self._begin(message["status"], list(message["headers"]))
        elif message["type"] == "http.response.body" and self.has_begun and not self.is_answered:
            self._go_on(message["body"], more=message.get("more_body", False))
            if not self.is_answered:
                await self._wire.drain()
        else:
            raise RuntimeError(f"an application sent {message['type']} out of order")

    def _begin(self, status: int, headers: list[Header]) -> None:
        self._has_body = self.scope["method"] != "HEAD" and status not in _WITHOUT_BODY
        length = next((value for name, value in headers if name == b"content-length"), None)
        self._left = None if length is None else int(length)
        self.keeps_alive &= self.is_received and _CLOSE not in headers
        if self._has_body and length is None:
            self._is_chunked = self.scope["http_version"] == "1.1"
            headers += [_CHUNKED] * self._is_chunked
        if not self.keeps_alive and _CLOSE not in headers:
            headers.append(_CLOSE)
        head = write_head(status, headers)
        self.has_begun = True
        self._head = b"%b%b\r\n" % (head, date_line(unix_ms() // 1000))
        if length is None:  # a stream: what comes next may take long
            self._write(b"")

    def _go_on(self, body: bytes, *, more: bool) -> None:
        if not self._has_body:
            body = b""
        elif self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise ValueError("an answer is not as long as it says")
        elif self._is_chunked:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        self._write(body)
        if not more:
            self.is_answered = True
            self._wake()
            self._wire.finish(self)

    def _write(self, data: bytes) -> None:
        head, self._head = self._head, b""
        self._wire.write(head + data)

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
